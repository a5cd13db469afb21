// @ts-check
// Bots: the silent ones first; and the page of one bot.

import { path, query } from './api.js';
import { useCalm, useHive, useLoad } from './hooks.js';
import { A, Block, Calm, Chip, Empty, Facts, Head, html, Loaded, past, plain, Rows, Same, Table, toBot, toTask, when } from './parts.js';
import { Versions } from './versions.js';
import { n, quoted } from './text.js';

const ROWS = 200;
/** A bot without a limit of its own may hold so many tasks. */
const HOLDS = 3;

export function Bots() {
  const { route } = useHive();
  return route.path[1] === undefined ? html`<${List} />` : html`<${BotPage} id=${route.path[1]} />`;
}

/** Whether a bot holds a task and was not heard of for longer than its lease. @param {number} now */
function isSilent(bot, claims, now) {
  return claims.some((task) => {
    const heard = Math.max(Date.parse(bot.last_heartbeat ?? '') || 0, Date.parse(task.holder.since));
    return now - heard > Number(task.holder.lease_ms) || Date.parse(task.holder.deadline) < now;
  });
}

function List() {
  const { route, at, now, pulse } = useHive();
  const { cursor = '' } = route.params;
  const bots = useLoad(`api/registry${query({ limit: ROWS, cursor, at })}`, { every: 10000 });
  const claims = useLoad(`api/queue${query({ state: 'claimed', limit: 200, at, preview: 1 })}`, { every: 10000 });
  const calm = useCalm(bots.data, `${cursor}|${at}`);
  const held = (bot) => (claims.data?.tasks ?? []).filter((task) => task.holder.bot === bot.id);
  const rows = (calm.items?.bots ?? []).map((bot) => ({ bot, tasks: held(bot), silent: !at && isSilent(bot, held(bot), now) }));
  rows.sort((a, b) => Number(b.silent) - Number(a.silent));
  const silent = rows.filter((row) => row.silent).length;
  return html`<${Head} title="Bots">${!at && pulse && html`<span class="faint">${n(pulse.bots)} registered${silent ? `, ${silent} silent` : ''}</span>`}<//>
    <${Calm} calm=${calm} of=${bots}>${() => (rows.length === 0
    ? html`<${Empty}><h2>No bot is registered</h2><p>A bot may claim tasks without being registered; a registration tells the queue what the bot can.</p><p><code>hivekeep put registry BOT-222 '{"kind": "worker"}'</code></p><//>`
    : html`<${Table} kind="bots" label="Bots, the silent ones first" head=${['Bot', 'State', ['Holds', 'num'], 'Can', 'Status', 'Heard of']} rows=${rows.map(({ bot, tasks, silent }) => [bot.id, toBot(bot.id),
    silent ? html`<${Chip} s="bad" label="silent" />` : tasks.length ? html`<${Chip} s="claimed" label="at work" />` : html`<span class="faint">idle</span>`,
    `${tasks.length} of ${bot.max_concurrent ?? HOLDS}`,
    html`${bot.specializations.slice(0, 8).map((word) => html`<span class="tag">${plain(word)}</span> `)}${bot.specializations.length > 8 && `and ${bot.specializations.length - 8} more`}`,
    plain(bot.status), when(bot.last_heartbeat)])} />`)}<//>
    <${Same} cli=${`hivekeep get registry${past(at)}`} curl=${`api/registry${query({ at })}`} />`;
}
const facts = (bot) => [
  ['Heard of', when(bot.last_heartbeat)],
  bot.status && ['Status', plain(bot.status)],
  bot.kind && ['Kind', plain(bot.kind)],
  bot.specializations.length > 0 && ['Can', plain(bot.specializations.join(', '))],
  ['May hold', String(bot.max_concurrent ?? HOLDS)],
  bot.repo && ['Repository', plain(bot.repo)],
  bot.endpoint && ['Endpoint', plain(bot.endpoint)],
  bot.port !== null && ['Port', String(bot.port)],
  bot.pid !== null && ['Process', String(bot.pid)],
  ['Registered', when(bot.registered_at)],
];

function BotPage({ id }) {
  const { at } = useHive();
  const bot = useLoad(`api/registry/${path(id)}${query({ at })}`, { every: 10000 });
  const tasks = useLoad(`api/assignments${query({ bot: id, limit: 100, at })}`);
  const chat = useLoad(`api/chat${query({ bot: id, limit: 20, at, preview: 2000 })}`);
  const audit = useLoad(`api/audit${query({ bot: id, limit: 20, preview: 200 })}`);
  return html`<${Head} title=${plain(id)} />
    <div class="columns"><section><h2>Registration</h2>${bot.error?.status === 404 ? html`<p class="faint">This bot is not registered${at ? ' at this point' : ''}. It may claim tasks nevertheless.</p>`
    : html`<${Loaded} of=${bot}>${(data) => html`<${Facts} rows=${facts(data)} />
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
