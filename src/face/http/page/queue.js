// @ts-check
// Queue: tasks by state, and the page of one task: why it waits, what it waits for, its versions.

import { useState } from './preact.js';
import { path, post, query } from './api.js';
import { Bulk } from './bulk.js';
import { setParams, useCalm, useHive, useLoad } from './hooks.js';
import { Act, Block, Calm, Chip, Empty, Facts, Find, Form, Head, html, listed, Loaded, past, plain, Same, Table, toBot, toSchedule, toTask, When, when } from './parts.js';
import { STATES } from './now.js';
import { Versions } from './versions.js';
import { line, n, quoted, shown } from './text.js';

const ROWS = 100;

/** A line of filters: `bot:BOT-1 can:gpu prio:P0 id:build older:2h`. */
const FILTERS = { bot: 'bot', can: 'can', prio: 'priority', id: 'id', older: 'older_than' };

/** Reads the filter line. @param {string} text */
export function readFilter(text) {
  /** */
  const params = {};
  const unknown = [];
  for (const word of text.trim().split(/\s+/).filter(Boolean)) {
    const [name, value] = word.includes(':') ? [word.slice(0, word.indexOf(':')), word.slice(word.indexOf(':') + 1)] : ['id', word];
    if (FILTERS[name] && value) params[FILTERS[name]] = value;
    else unknown.push(word);
  }
  return { params, unknown };
}

export function Queue() {
  const { route } = useHive();
  return route.path[1] === undefined ? html`<${List} />` : html`<${TaskPage} id=${route.path[1]} />`;
}

function List() {
  const { route, at, pulse } = useHive();
  const { state = '', filter = '', cursor = '' } = route.params;
  const { params, unknown } = readFilter(filter);
  const list = useLoad(unknown.length ? '' : `api/queue${query({ state, ...params, limit: ROWS, cursor, at, preview: 200 })}`);
  const calm = useCalm(list.data, [state, filter, cursor, at].join('|'));
  const total = pulse && STATES.reduce((sum, own) => sum + Number(pulse.tasks[own]), 0);
  const tab = (own, label, count) => html`<button aria-pressed=${state === own} onClick=${() => setParams({ state: own, cursor: '' })}>${label}${!at && count !== undefined && html` <span class="count">${n(count)}</span>`}</button>`;
  return html`<${Head} title="Queue" />
    <div class="tabs" role="group" aria-label="State">${tab('', 'all', total)}${STATES.map((own) => tab(own, own, pulse?.tasks[own]))}</div>
    <${Find} name="filter" label="Filter" hint="id:build  bot:BOT-1  can:gpu  prio:P0  older:2h">
      ${unknown.length > 0 && html`<p class="note is-bad" role="alert">Not understood: ${plain(unknown.join(' '))}. A filter is a name, a colon and a value: bot, can, prio, id, older.</p>`}<//>
    ${!at && unknown.length === 0 && html`<${Bulk} params=${{ state, ...params }} some=${calm.items?.tasks.length > 0} />`}
    <${Calm} calm=${unknown.length ? { items: { tasks: [] } } : calm} of=${list}>${(data) => (data.tasks.length === 0
    ? html`<${Empty}><h2>No task</h2><p>${data.next ? 'None of the tasks that were looked at fits; the next page looks further.' : state || filter ? 'No task is in this list.' : html`Nothing was pushed yet: <code>hivekeep queue push '{"build": "4f2a"}'</code>`}</p><//>`
    : html`<${Table} kind="tasks" label=${`Tasks${state ? `: ${state}` : ''}`} head=${['Task', 'State', 'Priority', ['Holder or reason', 'wide'], ['Tries', 'num'], 'Since', ['Payload', 'one mono faint']]} rows=${data.tasks.map(row)} />`)}<//>
    <${Same} cli=${`hivekeep queue list${state ? ` --state ${state}` : ''}`} curl=${`api/queue${query({ state, ...params, at })}`} />`;
}

/** When the task came into its state. */
const since = (task) => task.finished_at ?? task.holder?.since ?? task.ready_since ?? task.not_before ?? task.enqueued_at;

/** The row of a task. */
function row(task) {
  const first = (text) => text.split('\n', 1)[0].slice(0, 160);
  return [task.id, toTask(task.id), html`<${Chip} s=${task.state} />`, task.priority,
    task.holder ? html`${toBot(task.holder.bot)}, lease ends ${when(task.holder.deadline)}`
    : task.state === 'scheduled' ? when(task.not_before)
    : task.waiting_for.length > 0 ? html`waits for ${toTask(task.waiting_for[0])}${task.waiting_for.length > 1 && html` and ${n(task.waiting_for.length - 1)} more`}`
    : task.state === 'waiting' ? html`needs ${plain(task.capabilities.join(', ') || task.assigned_to)}`
    : task.last_error ? html`<span class="bad">${plain(first(task.last_error))}</span>`
    : task.assigned_to ? html`for ${toBot(task.assigned_to)}`
    : task.finished_by ? html`by ${toBot(task.finished_by)}` : '',
    `${task.attempts}/${task.max_attempts}`, when(since(task)), plain(line(task.payload, 80))];
}

function TaskPage({ id }) {
  const { at, writes } = useHive();
  const task = useLoad(`api/queue/${path(id)}${query({ at })}`);
  const why = useLoad(at ? '' : `api/queue/${path(id)}/why`);
  return html`<${Head} title=${plain(id)} aside=${writes && task.data && html`<${Actions} task=${task.data} />`}>${task.data && html`<${Chip} s=${task.data.state} /><span class="chip">${task.data.priority}</span>`}<//><${Loaded} of=${task}>${(own) => html`
    ${!at && why.data && html`<${Why} why=${why.data} />`}
    ${own.last_error && html`<section><h2>Last error</h2><${Block} v=${own.last_error} label="last error" /></section>`}
    <div class="columns"><section><h2>Payload</h2><${Block} v=${own.payload} label="payload" />
      ${own.finished_at && own.result !== null && html`<h2>Result</h2><${Block} v=${own.result} label="result" />`}
      ${Object.keys(own.attributes).length > 0 && html`<h2>Attributes</h2><${Block} v=${own.attributes} label="attributes" />`}</section>
    <section><h2>Facts</h2><${Facts} rows=${facts(own)} /><${Dependencies} task=${own} /></section></div>
    <${Versions} collection="queue" id=${id} />`}<//>
    <${Same} cli=${at ? `hivekeep get queue ${quoted(id)}${past(at)}` : `hivekeep queue why ${quoted(id)}`} curl=${`api/queue/${path(id)}${at ? query({ at }) : '/why'}`} />`;
}

function facts(task) {
  const { holder } = task;
  return [
    ['Pushed', when(task.enqueued_at)],
    task.ready_since && ['Ready since', when(task.ready_since)],
    task.not_before && ['Not before', when(task.not_before)],
    holder && ['Held by', html`${toBot(holder.bot)}, since ${when(holder.since)}`],
    holder && ['Lease ends', when(holder.deadline)],
    task.finished_at && ['Finished', html`${when(task.finished_at)}${task.finished_by && html` by ${toBot(task.finished_by)}`}`],
    ['Attempts', html`${String(task.attempts)} of ${String(task.max_attempts)}`],
    task.assigned_to && ['Only for', toBot(task.assigned_to)],
    task.capabilities.length > 0 && ['Needs', plain(task.capabilities.join(', '))],
    task.idempotency_key && ['Idempotency key', plain(task.idempotency_key)],
    ['Place', html`${task.priority}, number ${String(task.sequence)}`],
    task.attributes.due_at && ['Schedule', html`${toSchedule(task.attributes.schedule)}, due ${when(task.attributes.due_at)}`],
  ];
}

function Dependencies({ task }) {
  const { at } = useHive();
  // The service tells this of now alone.
  const needed = useLoad(at ? null : `api/queue/${path(task.id)}/dependents${query({ limit: 50 })}`);
  if (task.depends_on.length === 0 && !needed.data?.tasks.length) return null;
  return html`<h2>Dependencies</h2>
    ${task.depends_on.length > 0 && html`<p>Comes after ${listed(task.depends_on.slice(0, 50), (id) => html`${toTask(id)}${task.waiting_for.includes(id) ? '' : ' ✓'}`)}${task.depends_on.length > 50 && ` and ${task.depends_on.length - 50} more`}.</p>`}
    ${needed.data?.tasks.length > 0 && html`<p>Is waited for by ${listed(needed.data.tasks, toTask)}${needed.data.next && ' and others'}.</p>`}`;
}

/** Why a task is not claimed, by the code of the claim. */
function Why({ why }) {
  if (why.state === 'claimed' && why.reasons.length <= 1) return null;
  const isStuck = why.reasons.some((own) => isHopeless(own));
  const may = listed(why.may_claim, toBot);
  return html`<section class=${`card why ${isStuck ? 'is-bad' : ''}`} aria-label="Why it waits"><h2>${['done', 'failed', 'dead', 'cancelled'].includes(why.state) ? 'It is finished' : why.reasons.length ? 'Why it waits' : 'It can be claimed now'}</h2>
    <ul>${why.reasons.map((own) => html`<li><${Reason} own=${own} /></li>`)}
    ${why.anybody && html`<li>Any bot may claim it${why.reasons.length ? ', in its turn' : ''}.</li>`}
    ${!why.anybody && why.may_claim.length > 0 && html`<li>${may}${Number(why.may_claim_more) > 0 && ` and ${why.may_claim_more} more`} may claim it.</li>`}</ul></section>`;
}

/** Whether an obstacle stays until somebody acts. */
const isHopeless = (own) => own.reason === 'nobody_can' || own.reason === 'not_registered' || own.reason === 'lease_ended'
  || (own.reason === 'depends_on' && (own.purged || ['failed', 'dead', 'cancelled'].includes(own.state)));

function Reason({ own }) {
  const needs = own.capabilities && plain(own.capabilities.join(', '));
  switch (own.reason) {
    case 'claimed': return html`claimed by ${toBot(own.bot)}, lease ends ${when(own.until)}`;
    case 'finished': return html`${own.state} ${when(own.at)}`;
    case 'depends_on': return html`waits for ${toTask(own.task)}, ${own.state === null ? 'which nobody has pushed yet'
      : own.purged ? html`which was ${own.state} and is purged: push it again, or cancel this one`
      : own.held_by ? html`claimed by ${toBot(own.held_by)}`
      : html`<${Chip} s=${own.state} />${isHopeless(own) && ' which will never be done unless it is requeued'}`}`;
    case 'depends_on_more': return html`waits for ${n(own.tasks)} more`;
    case 'scheduled': return html`starts ${when(own.until)}`;
    case 'assigned': return html`is only for ${toBot(own.bot)}`;
    case 'not_registered': return html`is only for ${toBot(own.bot)}, which is not registered`;
    case 'lacks': return html`needs ${needs}, which ${toBot(own.bot)} cannot`;
    case 'nobody_can': return html`needs ${needs}; ${own.take_none?.length ? html`${plain(own.take_none.join(', '))} could, and takes no tasks` : 'no registered bot can'}`;
    case 'lease_ended': return html`the lease of ${toBot(own.bot)} ended ${when(own.at)}, and no attempt is left`;
    case 'hands_full': return String(own.most) === '0' ? html`${toBot(own.bot)} takes no tasks` : html`${toBot(own.bot)}, which could, holds ${String(own.held)} of ${String(own.most)}`;
    case 'behind': return html`${n(own.tasks)}${Number(own.tasks) >= 1000 ? ' or more' : ''} ${String(own.tasks) === '1' ? 'task goes' : 'tasks go'} first`;
    default: return plain(own.reason);
  }
}

function Actions({ task }) {
  const [bot, setBot] = useState('');
  const act = (verb, said, body = {}) => async () => {
    await post(`api/queue/${path(task.id)}/${verb}`, body);
    return `${shown(task.id)} ${said}.`;
  };
  const isOver = ['failed', 'dead', 'cancelled'].includes(task.state);
  if (task.state === 'done') return null;
  return html`${isOver && html`<${Act} kind="main" run=${act('requeue', 'is back in the queue')}>Requeue<//>`}
    ${!isOver && html`<${Act} run=${act('cancel', 'is cancelled; requeue takes that back')}>Cancel<//>
    ${task.state !== 'claimed' && html`<${Form}><input aria-label="Bot" placeholder="BOT-1" size="10" value=${bot} onInput=${(event) => setBot(event.currentTarget.value)} />
      <${Act} disabled=${!bot && !task.assigned_to} run=${act('assign', bot ? 'is assigned' : 'is for any bot', { bot: bot || null })}>${bot || !task.assigned_to ? 'Assign' : 'For any bot'}<//><//>`}`}`;
}
