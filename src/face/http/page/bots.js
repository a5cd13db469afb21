// @ts-check
// Bots: the silent ones first; and the page of one bot.

import { path, query } from './api.js';
import { useCalm, useHive, useLoad } from './hooks.js';
import { A, Block, Calm, Chip, Empty, Facts, Head, html, Loaded, past, plain, Rows, Same, Table, toBot, toTask, when } from './parts.js';
import { isSilent } from './now.js';
import { Versions } from './versions.js';
import { n, quoted } from './text.js';

const ROWS = 200;
/** A bot without a limit of its own may hold so many tasks. */
const HOLDS = 3;

export function Bots() {
  const { route } = useHive();
  return route.path[1] === undefined ? html`<${List} />` : html`<${BotPage} id=${route.path[1]} />`;
}

/** The claimed tasks: all, or those of a bot. @param {string} at @param {string} [bot] */
const claimed = (at, bot) => `api/queue${query({ state: 'claimed', limit: 200, at, preview: 1, bot })}`;

/** The bots that wait in the service for a task, which only the present knows. @param {string} at */
function useWaiting(at) {
  const service = useLoad(at ? '' : 'api/service', { every: 10000 });
  return new Set(service.data?.waiting);
}

/** By which a bot is known to live: the lock of its process, or its heartbeats. */
const alive = (bot, tasks) => (tasks.some((task) => task.holder.session !== null) ? html`lock<span class="how"> of its process</span>` : bot.last_heartbeat ? html`<span class="how">heartbeat </span>${when(bot.last_heartbeat)}` : html`<span class="faint">never heard of</span>`);

/** Its state, silent first. */
const doing = (tasks, silent, waits) => html`${silent ? html`<${Chip} s="bad" label="silent" />` : tasks.length ? html`<${Chip} s="claimed" label="at work" />` : !waits && html`<span class="faint">idle</span>`}${waits && html` <${Chip} s="waiting" label="waits" />`}`;
const holds = (bot, tasks) => `${tasks.length} of ${bot.max_concurrent ?? HOLDS}`;

function List() {
  const { route, at, now, pulse } = useHive();
  const { cursor = '' } = route.params;
  const bots = useLoad(`api/registry${query({ limit: ROWS, cursor, at })}`, { every: 10000 });
  const claims = useLoad(claimed(at), { every: 10000 });
  const waiting = useWaiting(at);
  const calm = useCalm(bots.data, `${cursor}|${at}`);
  const held = (bot) => (claims.data?.tasks ?? []).filter((task) => task.holder.bot === bot.id);
  const rows = (calm.items?.bots ?? []).map((bot) => ({ bot, tasks: held(bot), silent: !at && held(bot).some((task) => isSilent(task, now)) }));
  rows.sort((a, b) => Number(b.silent) - Number(a.silent));
  const silent = rows.filter((row) => row.silent).length;
  return html`<${Head} title="Bots">${!at && pulse && html`<span class="faint">${n(pulse.bots)} registered${silent ? `, ${silent} silent` : ''}</span>`}<//>
    <${Calm} calm=${calm} of=${bots}>${() => (rows.length === 0
    ? html`<${Empty}><h2>No bot is registered</h2><p>A bot may claim tasks without being registered; a registration tells the queue what the bot can.</p><p><code>hivekeep put registry BOT-222 '{"kind": "worker"}'</code></p><//>`
    : html`<${Table} kind="bots" label="Bots, the silent ones first" head=${['Bot', 'State', ['Holds', 'num'], 'Can', 'Status', 'Alive by']} rows=${rows.map(({ bot, tasks, silent }) => [bot.id, toBot(bot.id),
    doing(tasks, silent, waiting.has(bot.id)), holds(bot, tasks),
    html`${bot.specializations.slice(0, 8).map((word) => html`<span class="tag">${plain(word)}</span> `)}${bot.specializations.length > 8 && `and ${bot.specializations.length - 8} more`}`,
    plain(bot.status), alive(bot, tasks)])} />`)}<//>
    <${Same} cli=${`hivekeep get registry${past(at)}`} curl=${`api/registry${query({ at })}`} />`;
}
const facts = (bot, tasks, now, waits) => [
  ['State', doing(tasks, tasks.some((task) => isSilent(task, now)), waits)],
  ['Alive by', alive(bot, tasks)],
  ['Holds', holds(bot, tasks)],
  bot.status && ['Status', plain(bot.status)],
  bot.kind && ['Kind', plain(bot.kind)],
  bot.specializations.length > 0 && ['Can', plain(bot.specializations.join(', '))],
  bot.repo && ['Repository', plain(bot.repo)],
  bot.endpoint && ['Endpoint', plain(bot.endpoint)],
  bot.port !== null && ['Port', String(bot.port)],
  bot.pid !== null && ['Process', String(bot.pid)],
  ['Registered', when(bot.registered_at)],
];

function BotPage({ id }) {
  const { at, now } = useHive();
  const waiting = useWaiting(at);
  const claims = useLoad(claimed(at, id));
  const bot = useLoad(`api/registry/${path(id)}${query({ at })}`, { every: 10000 });
  const tasks = useLoad(`api/assignments${query({ bot: id, limit: 100, at })}`);
  const chat = useLoad(`api/chat${query({ bot: id, limit: 20, at, preview: 2000 })}`);
  const audit = useLoad(`api/audit${query({ bot: id, limit: 20, preview: 200 })}`, { news: 'audit' });
  return html`<${Head} title=${plain(id)} />
    <div class="columns"><section><h2>Registration</h2>${bot.error?.status === 404 ? html`<p class="faint">This bot is not registered${at ? ' at this point' : ''}. It may claim tasks nevertheless.</p>`
    : html`<${Loaded} of=${bot}>${(data) => html`<${Facts} rows=${facts(data, claims.data?.tasks ?? [], at ? 0 : now, waiting.has(id))} />
      ${Object.keys(data.attributes).length > 0 && html`<h3>Attributes</h3><${Block} v=${data.attributes} label="attributes" />`}`}<//>`}</section>
    <section><h2>Its tasks</h2><${Rows} of=${tasks} list="assignments" none="It holds none." label="Tasks of this bot" head=${['Task', 'Hold', 'Since']}
      row=${(hold) => [hold.task, toTask(hold.task), hold.hold, when(hold.since)]} /></section></div>
    <div class="columns"><section><h2>Chat</h2><${Loaded} of=${chat}>${(data) => (data.messages.length === 0 ? html`<p class="faint">No message.</p>`
    : html`<ol class="chat">${data.messages.map((message) => html`<li key=${message.sequence}><p class="faint">${plain(message.role)} in ${plain(message.conversation)}, ${when(message.timestamp)}</p><${Block} v=${message.content} label="message" /></li>`)}</ol>`)}<//></section>
    <section><h2>Audit</h2><${Loaded} of=${audit}>${(data) => (data.entries.length === 0 ? html`<p class="faint">No recent entry names it.</p>`
    : html`<ol class="events">${data.entries.map((entry) => html`<li key=${entry.sequence}>${when(entry.timestamp)} <span>${plain(entry.action)}</span> <span class="faint">${plain(entry.target)}</span></li>`)}</ol>
      <p><${A} to=${['log']} params=${{ show: 'audit', bot: id }}>All its entries<//></p>`)}<//></section></div>
    ${!bot.error && html`<${Versions} collection="registry" id=${id} />`}
    <${Same} cli=${`hivekeep get registry ${quoted(id)}${past(at)}`} curl=${`api/registry/${path(id)}${query({ at })}`} />`;
}
