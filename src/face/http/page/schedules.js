// @ts-check
// Schedules: tasks that come back by the calendar; the list, the page of one, and the form for a new one.

import { useState } from './preact.js';
import { parse, path, post, query, remove } from './api.js';
import { useCalm, useHive, useLoad } from './hooks.js';
import { Act, Block, Calm, Chip, Dialog, Empty, Facts, Form, Head, html, Loaded, past, plain, Same, Table, toSchedule, toTask, when } from './parts.js';
import { Versions } from './versions.js';
import { counted, line, quoted, shown, utc } from './text.js';

/** A due time that is skipped is no change of the store, so this is loaded anew so often, in milliseconds. */
const EVERY = 10000;
/** Units of an interval. @type {[string, number][]} */
const UNITS = [['day', 86400000], ['hour', 3600000], ['minute', 60000], ['second', 1000]];
const MISSED = { last: 'the last one fires later', all: 'all of them fire later', none: 'none of them fires' };
const OVERLAP = { allow: 'due times fire anyway', skip: 'due times are skipped' };

export function Schedules() {
  const name = useHive().route.path[1];
  return name === undefined ? html`<${List} />` : html`<${One} name=${name} />`;
}

/** When it comes back, in words. */
function timing(own) {
  if (own.cron) return html`<code>${plain(own.cron)}</code> <span class="faint">${plain(own.time_zone)}</span>`;
  const [word, length] = UNITS.find(([, ms]) => Number(own.every_ms) % ms === 0) ?? ['millisecond', 1];
  const count = Number(own.every_ms) / length;
  return `every ${count === 1 ? word : counted(count, word)}`;
}
const next = (own) => (own.paused ? html`<${Chip} s="paused" />` : own.next_at && when(own.next_at));

function List() {
  const { route, at, writes } = useHive();
  const { cursor = '' } = route.params;
  const [adds, setAdds] = useState(false);
  const list = useLoad(`api/schedules${query({ limit: 100, cursor, at })}`, { every: at ? 0 : EVERY });
  const calm = useCalm(list.data, `${cursor}|${at}`);
  const row = (own) => [own.name, toSchedule(own.name), timing(own), next(own), own.last_task && toTask(own.last_task),
    plain(line(own.task.payload, 80)), writes && html`<${Actions} own=${own} kind="small" />`];
  return html`<${Head} title="Schedules" aside=${writes && html`<button class="main" onClick=${() => setAdds(true)}>New schedule…</button>`} />
    <${Calm} calm=${calm} of=${list}>${(data) => (data.schedules.length === 0
    ? html`<${Empty}><h2>No schedule</h2><p>${at ? 'There was none at this point.' : 'A schedule pushes the same task again and again, at an interval or by the calendar.'}</p><//>`
    : html`<${Table} kind="cards schedules" label="Schedules by name" head=${['Schedule', 'Comes back', 'Next', 'Last task', ['Payload', 'one mono faint'], ['', 'acts']]} rows=${data.schedules.map(row)} />`)}<//>
    ${adds && html`<${New} onClose=${() => setAdds(false)} />`}
    <${Same} cli=${`hivekeep schedule list${past(at)}`} curl=${`api/schedules${query({ at })}`} />`;
}

function One({ name }) {
  const { at, writes } = useHive();
  const address = `api/schedules/${path(name)}${query({ at })}`;
  const schedule = useLoad(address, { every: at ? 0 : EVERY });
  const own = schedule.data;
  return html`<${Head} title=${plain(name)} aside=${own && writes && html`<${Actions} own=${own} />`} />
    <${Loaded} of=${schedule}>${() => html`<div class="columns"><section><h2>Facts</h2><${Facts} rows=${[
    ['Comes back', timing(own)], !at && ['Next', next(own)], own.last_due_at && ['Last due', when(own.last_due_at)], own.last_task && ['Last task', toTask(own.last_task)],
    ['Missed', MISSED[own.missed]], ['Overlap', OVERLAP[own.overlap]], ['Added', when(own.created_at)]]} /></section>
    <section><h2>Its task</h2><${Block} v=${own.task} label="task" /></section></div>`}<//>
    <${Versions} collection="schedules" id=${name} />
    <${Same} cli=${`hivekeep schedule show ${quoted(name)}${past(at)}`} curl=${address} />`;
}

function Actions({ own, kind = '' }) {
  const [asks, setAsks] = useState(false);
  const act = (verb, said) => async () => said(await post(`api/schedules/${path(own.name)}/${verb}`));
  return html`<${Act} kind=${kind} run=${act('run', (task) => `${shown(task.id)} is in the queue.`)}>Run now<//>
    ${own.paused ? html`<${Act} kind=${kind} run=${act('resume', (done) => `It goes on ${utc(done.next_at)}.`)}>Resume<//>` : html`<${Act} kind=${kind} run=${act('pause', () => 'It is paused; resume takes that back.')}>Pause this<//>`}
    <button class=${kind} onClick=${() => setAsks(true)}>Remove…</button>${asks && html`<${Removal} name=${own.name} onClose=${() => setAsks(false)} />`}`;
}

function Removal({ name, onClose }) {
  const run = async () => {
    await remove(`api/schedules/${path(name)}`);
    onClose();
    return `${shown(name)} is removed.`;
  };
  return html`<${Dialog} title=${html`Remove ${plain(name)}?`} onClose=${onClose}><p>Its due times do not fire any more. The tasks that it has pushed stay.</p>
    <p>Restore points since it was added still have it; its history leads to a restore of it alone.</p><p><${Act} kind="danger" inside run=${run}>Remove it<//></p><//>`;
}

/** The time of a new schedule: an interval such as `10m`, or a cron expression. */
function timeOf(words, zone) {
  const [, count, letter] = words.trim().match(/^(\d+)\s*([dhms])$/) ?? [];
  return letter ? { every_ms: Number(count) * UNITS['dhms'.indexOf(letter)][1] } : { cron: words.trim(), time_zone: zone.trim() || null };
}

function New({ onClose }) {
  const [own, setOwn] = useState({ name: '', time: '', zone: '', payload: '', priority: 'P2', missed: 'last', overlap: 'allow' });
  const field = (name) => ({ value: own[name], onInput: (event) => setOwn({ ...own, [name]: event.currentTarget.value }), autocomplete: 'off', spellcheck: false });
  const input = (name, label, hint) => html`<label>${label}<input placeholder=${hint} ...${field(name)} /></label>`;
  const choice = (name, label, options) => html`<label>${label}<select ...${field(name)}>${Object.entries(options).map(([value, word]) => html`<option value=${value}>${word}</option>`)}</select></label>`;
  let fault = '';
  try { parse(own.payload); } catch (error) { fault = String((error).message); }
  const run = async () => {
    const { name, time, zone, payload, priority, missed, overlap } = own;
    const open = JSON.stringify({ name: name.trim(), missed, overlap, ...timeOf(time, zone) }).slice(0, -1);
    // The payload is sent as it was written, with all digits of its numbers.
    const added = await post('api/schedules', `${open},"task":{"priority":"${priority}","payload":${payload}}}`);
    onClose();
    return `${shown(added.name)} is added; it is due ${utc(added.next_at)}.`;
  };
  return html`<${Dialog} title="New schedule" onClose=${onClose}><${Form} kind="fields">${input('name', 'Name', 'nightly')}${input('time', 'Comes back', '10m, or 0 3 * * *')}
    ${input('zone', 'Time zone of these times', 'UTC')}${choice('priority', 'Priority', { P0: 'P0, first', P1: 'P1', P2: 'P2', P3: 'P3, last' })}
    <label class="whole">Payload of its tasks, as JSON<textarea rows="3" placeholder='{"report": "sales"}' ...${field('payload')}></textarea></label>
    ${fault && own.payload && html`<p class="note is-bad whole" role="alert">This is not JSON yet: ${plain(fault)}</p>`}
    ${choice('missed', 'Due times that were missed', MISSED)}${choice('overlap', 'While the last task is not finished', OVERLAP)}
    <p class="whole"><${Act} kind="main" inside disabled=${!own.name || !own.time || fault} run=${run}>Add it<//></p><//><//>`;
}
