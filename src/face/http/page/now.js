// @ts-check
// Now: is all well, and what is going on?

import { post } from './api.js';
import { NOT_READY, READY, STATUS } from './first.js';
import { useHive, useLoad } from './hooks.js';
import { A, Act, Chip, Command, counted, Digest, Empty, Head, html, Loaded, plain, Rows, Same, Spark, Table, toBot, toTask, When, when } from './parts.js';
import { ago, n } from './text.js';

/** The states in the order of a task's life. */
export const STATES = ['ready', 'claimed', 'waiting', 'scheduled', 'done', 'failed', 'dead', 'cancelled'];

/** A drill is worth repeating after so many days. */
const DRILL_DAYS = 30;

/** Whether the bot that holds a task was silent for longer than its lease. @param {number} now */
export const isSilent = (task, now) => Date.parse(task.holder.deadline) < now;

/**
 * The troubles, worst first, each with its next step.
 * @param {number} now
 */
function troubles(status, ready, pulse, claims, now) {
  const found = [];
  const add = (level, text, next) => found.push({ level, text, ...next });
  for (const [name, check] of Object.entries(ready?.checks ?? {})) {
    if (!check.ok) add('bad', `${name.replaceAll('_', ' ')}: ${check.detail ?? 'failing'}`, { to: ['health'], link: 'Health' });
  }
  const crash = status?.crash;
  if (crash) {
    const returned = Number(crash.tasks_returned) ? `${counted(crash.tasks_returned, 'claim')} returned` : 'claims stay with their bots until their leases end';
    add('warn', `${crash.program} (pid ${crash.pid}) crashed ${ago(crash.last_alive, now)}. Nothing acknowledged is lost; ${returned}.`, { command: 'hivekeep crash ack' });
  }
  const silent = claims.filter((task) => isSilent(task, now));
  for (const bot of new Set(silent.map((task) => task.holder.bot))) add('warn', `${bot} is silent for longer than its lease.`, { to: ['bots', bot], link: 'Show' });
  if (pulse && !pulse.latest) add('warn', 'There is no restore point yet.', { point: true });
  if (status?.archive.warning) add('warn', `${sentence(status.archive.warning)}.`, { to: ['health'], link: 'Health' });
  if (Number(pulse?.tasks.dead)) add('warn', `${counted(pulse.tasks.dead, 'task is', 'tasks are')} dead: no attempt is left.`, { to: ['queue'], params: { state: 'dead' }, link: 'Show' });
  return found.sort((a, b) => (a.level === b.level ? 0 : a.level === 'bad' ? -1 : 1));
}

/** @param {string} text */
export const sentence = (text) => text[0].toUpperCase() + text.slice(1);

/** The good news in one line. @param {number} now */
function wellness(status, pulse, now) {
  const parts = [];
  if (pulse?.latest) parts.push(`last point ${ago(pulse.latest.timestamp, now)}`);
  const archive = status?.archive.last;
  if (archive) {
    const state = archive.verified ? 'verified' : 'not read back yet';
    parts.push(status.archive.changed_since ? `last archive of ${ago(archive.state_at, now)}, ${state}` : `the archive has everything, ${state}`);
  }
  const replica = status?.replica?.shipping;
  if (replica?.complete_at) parts.push(`the replica had everything ${ago(replica.complete_at, now)}`);
  const drill = status?.last_drill;
  if (drill) parts.push(`last drill ${ago(drill.at, now)}${drill.scenarios.every((one) => one.met) ? '' : ', with a missed target'}`);
  return parts.length ? `${sentence(parts.join(', '))}.` : '';
}

function Verdict({ claims }) {
  const { pulse, now, writes } = useHive();
  const status = useLoad(STATUS, { every: 15000 });
  const ready = useLoad(READY, { ...NOT_READY, every: 15000 });
  if (!status.data || !ready.data || !pulse) {
    return status.error ? html`<${Loaded} of=${status} />` : html`<p class="verdict faint" role="status">Looking…</p>`;
  }
  const found = troubles(status.data, ready.data, pulse, claims.data?.tasks ?? [], now);
  const drill = status.data.last_drill;
  const isOld = drill && now - Date.parse(drill.at) > DRILL_DAYS * 86400000;
  const step = (one) => {
    if (one.command) return html`<${Command} text=${one.command} />`;
    if (one.point) return writes ? html`<${Act} run=${makePoint}>Make one now<//>` : html`<${Command} text="hivekeep point create" />`;
    return html`<${A} class="button" to=${one.to} params=${one.params}>${one.link}<//>`;
  };
  const level = found[0]?.level ?? 'ok';
  const headline = level === 'ok' ? 'All is well.' : level === 'bad' ? 'Something is broken.' : found.length === 1 ? 'One thing needs a look.' : `${found.length} things need a look.`;
  return html`<section class=${`verdict is-${level}`} aria-label="State of the store">
    <h2><${Chip} s=${level} label=${headline} /></h2>
    <p>${wellness(status.data, pulse, now)} ${!drill && html`<span class="faint">No drill yet; <code>hivekeep drill</code> rehearses a disaster on a copy.</span>`}${isOld && html`<span class="faint">It is time for another drill: <code>hivekeep drill</code>.</span>`}</p>
    ${found.length > 0 && html`<ul class="steps">${found.map((one) => html`<li class=${`is-${one.level}`}><span>${plain(one.text)}</span> ${step(one)}</li>`)}</ul>`}
  </section>`;
}

export async function makePoint() {
  await post('api/points', { description: 'made on the page' });
  return 'A restore point was made.';
}

function Counters() {
  const { pulse, samples } = useHive();
  return html`<ul class="counters">${STATES.map((state) => html`<li><${A} to=${['queue']} params=${{ state }}>
    <span class="number">${n(pulse.tasks[state])}</span><${Chip} s=${state} />
    <${Spark} values=${samples.map((sample) => Number(sample.tasks[state]))} label=${`${state} since this page was opened`} /><//></li>`)}</ul>`;
}

function Claims({ claims }) {
  const { now } = useHive();
  const next = useLoad('api/queue?state=ready&limit=3');
  return html`<section><h2>At work</h2><${Rows} of=${claims} list="tasks" none="No bot holds a task." label="Claimed tasks, the first lease to end first" head=${['Task', 'Bot', 'Lease ends']}
      row=${(task) => [task.id, toTask(task.id), toBot(task.holder.bot),
    html`<span class=${Date.parse(task.holder.deadline) - now < 60000 ? 'soon' : null}>${when(task.holder.deadline)}</span>`]} />
    <h2>Next in line</h2><${Rows} of=${next} list="tasks" none="Nothing is ready to be claimed." label="Ready tasks in the order of claims" head=${['Task', 'Priority', 'Ready since']}
      row=${(task) => [task.id, toTask(task.id), task.priority, when(task.ready_since)]} /></section>`;
}

function Events() {
  const events = useLoad('api/events?limit=10', { news: 'events' });
  return html`<section><h2>Last events</h2><${Loaded} of=${events}>${(data) => (data.events.length === 0
    ? html`<p class="faint">Nothing has happened yet.</p>`
    : html`<ol class="events">${data.events.map((event) => html`<li key=${event.sequence}>${when(event.timestamp)} <span>${event.event.replaceAll('_', ' ')}</span> <span class="faint">${plain(detail(event.details))}</span></li>`)}</ol>`)}<//>
    <p><${A} to=${['log']}>The whole log<//></p></section>`;
}

/** The subject of an event, in short. */
function detail(details) {
  if (!details || typeof details !== 'object') return '';
  const { description, source, program, reason, error, kind, actor } = details;
  return String(description || error || reason || program || source || kind || actor || '').slice(0, 120);
}

const FIRST = ["hivekeep put registry BOT-222 '{\"kind\": \"worker\"}'", "hivekeep queue push '{\"build\": \"4f2a\"}' --id build-1", "hivekeep point create 'before the night'"];

function Past() {
  const { at, point } = useHive();
  const whole = useLoad(`api/points/${encodeURIComponent(at)}`, { once: true });
  return html`<${Loaded} of=${whole}>${(data) => html`<section class="card"><h2>The store at this point</h2>
    <p>Made <${When} t=${data.timestamp} exact=${true} />${point?.description ? html`: <em>${plain(point.description)}</em>` : ''}. Nothing was copied for it; every screen reads it where it lies.</p>
    ${Object.keys(data.collections).length === 0 ? html`<p class="faint">The point of a single commit has no statistics; open Queue, Bots or Data to look around.</p>`
      : html`<${Table} label="Collections at this point" head=${['Collection', ['Records', 'num'], ['Bytes', 'num'], 'Digest']} rows=${Object.entries(data.collections).map(([name, stats]) => [name,
    html`<${A} to=${name === 'queue' ? ['queue'] : name === 'registry' ? ['bots'] : ['data', name]}>${plain(name)}<//>`, n(stats.count), n(stats.bytes), html`<${Digest} of=${stats} />`])} />`}
  </section>`}<//>`;
}

export function Now() {
  const { at, pulse, writes } = useHive();
  const claims = useLoad(at ? '' : 'api/queue?state=claimed&limit=8');
  const isEmpty = pulse && !pulse.points && !pulse.bots && STATES.every((state) => !Number(pulse.tasks[state]));
  return html`<${Head} title=${at ? 'Then' : 'Now'} aside=${writes && html`<${Act} kind="main" run=${makePoint}>New restore point<//>`} />
    ${at ? html`<${Past} />` : html`<${Verdict} claims=${claims} />
    ${isEmpty && html`<${Empty}><h2>An empty store</h2><p>Register a bot, give it work, and make a restore point:</p>${FIRST.map((text) => html`<${Command} text=${text} />`)}<//>`}
    ${pulse && html`<${Counters} />`}
    <div class="columns"><${Claims} claims=${claims} /><${Events} /></div>`}
    <${Same} cli="hivekeep status" curl="api/disaster-recovery/status" />`;
}
