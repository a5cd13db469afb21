// @ts-check
// Data: every collection and record, now or as of a point; the configuration can be edited.

import { useEffect, useState } from './preact.js';
import { get, parse, path, put, query, remove, tagged } from './api.js';
import { go, setParams, useCalm, useHive, useLoad } from './hooks.js';
import { A, Act, Block, Calm, Chip, counted, Digest, Empty, Find, Form, Head, html, Loaded, past, plain, Same, Table, Trouble, When } from './parts.js';
import { Between, Folded, placeOf, Versions } from './versions.js';
import { json, n, quoted, shown, size } from './text.js';

const ROWS = 100;

/** Words for the built-in collections. */
const ABOUT = { registry: 'the bots', queue: 'the tasks', bot_assignments: 'tasks and the bots that have them', assignments: 'tasks and the bots that have them', chat: 'messages', config: 'settings of the fleet', schedules: 'tasks that come back', documents: 'JSON that was handed over whole' };

export function Data() {
  const { route } = useHive();
  const [, collection, key] = route.path;
  if (collection === undefined) return html`<${Collections} />`;
  return key === undefined ? html`<${Records} collection=${collection} />` : html`<${Record} collection=${collection} id=${key} />`;
}

function Collections() {
  const { at } = useHive();
  const all = useLoad(`api/collections${query({ at })}`);
  return html`<${Head} title="Data" />
    <${Loaded} of=${all}>${(data) => html`<${Table} kind="collections" label="Collections" head=${['Collection', ['Holds', 'faint'], ['Records', 'num'], ['Size', 'num'], 'Digest']} rows=${Object.entries(data.collections).map(([name, stats]) => [name,
    html`<${A} to=${['data', name]}>${plain(name)}<//>`, ABOUT[name] ?? 'records of your own', n(stats.count), html`<span title=${`${n(stats.bytes)} bytes`}>${size(stats.bytes)}</span>`, html`<${Digest} of=${stats} />`])} />`}<//>
    <p>The audit trail is the same at every point; it is in the <${A} to=${['log']} params=${{ show: 'audit' }}>log<//>.</p><${Chain} />
    <${Same} cli="hivekeep status" curl=${`api/collections${query({ at })}`} />`;
}

/** The last look at the chain of the audit trail in this tab. */
let chain = null;

function Chain() {
  const [report, setReport] = useState(chain);
  const verify = async () => { chain = await get('api/audit-check'); setReport(chain); };
  const sound = report && String(report.found) === '0';
  return html`<p>${report && html`<${Chip} s=${sound ? 'ok' : 'bad'} label=${sound ? `its chain is verified up to entry ${n(report.last)}` : counted(report.found, 'fault')} /> <${When} t=${report.timestamp} exact /> `}<${Act} kind="small" run=${verify}>${report ? 'Verify again' : 'Verify its chain'}<//></p>
    ${report?.findings.length > 0 && html`<ul>${report.findings.map((fault) => html`<li>${plain(fault)}</li>`)}</ul>`}`;
}

function Records({ collection }) {
  const { route, at, writes } = useHive();
  const { prefix = '', cursor = '' } = route.params;
  const list = useLoad(`api/collections/${path(collection)}${query({ prefix, cursor, at, limit: ROWS, preview: 400 })}`);
  const calm = useCalm(list.data, [collection, prefix, cursor, at].join('|'));
  return html`<${Head} title=${html`<${A} to=${['data']}>Data<//> / ${plain(collection)}`} aside=${writes && collection === 'config' && html`<${NewKey} />`} />
    <${Find} name="prefix" label="Keys that begin with" hint="keys that begin with…" />
    <${Calm} calm=${calm} of=${list}>${(data) => (data.records.length === 0
    ? html`<${Empty}><h2>No record</h2><p>${prefix ? 'No key begins with this text.' : 'This collection is empty.'}</p><//>`
    : html`<${Table} label=${`Records of ${collection}`} head=${['Key', ['Value', 'wide']]} rows=${data.records.map((record) => [record.key, html`<${A} to=${placeOf(collection, record.key)}>${plain(record.key)}<//>`, html`<${Folded} v=${record.value} />`])} />`)}<//>
    <${Same} cli=${`hivekeep get ${quoted(collection)}${past(at)}`} curl=${`api/collections/${path(collection)}${query({ prefix, at })}`} />`;
}

function NewKey() {
  const [key, setKey] = useState('');
  return html`<${Form} onSubmit=${() => { if (key) go(['data', 'config', key], { edit: 'true' }); }}>
    <input aria-label="New key" placeholder="a new key" maxlength="200" value=${key} onInput=${(event) => setKey(event.currentTarget.value)} /><button>Add</button><//>`;
}

function Record({ collection, id }) {
  const { at, writes, route } = useHive();
  const edit = route.params.edit === 'true' && writes && collection === 'config';
  const record = useLoad(`api/collections/${path(collection, id)}${query({ at })}`);
  const isConfig = collection === 'config';
  return html`<${Head} title=${html`<${A} to=${['data', collection]}>${plain(collection)}<//> / ${plain(id)}`}
      aside=${writes && isConfig && !edit && !record.error && html`<button class="main" onClick=${() => setParams({ edit: 'true' })}>Edit</button>
        <${Act} run=${async () => { await remove(`api/config/${path(id)}`); go(['data', 'config']); return `${shown(id)} is removed; a restore point still has it.`; }}>Remove<//>`} />
    ${edit ? html`<${Edit} id=${id} />` : html`<${Loaded} of=${record}>${(data) => html`<${Block} v=${data.value} />`}<//>`}
    ${collection !== 'documents' && html`<${Versions} collection=${collection} id=${id} />`}
    <${Same} cli=${`hivekeep get ${quoted(collection)} ${quoted(id)}${past(at) || ' --versions'}`} curl=${at ? `api/collections/${path(collection, id)}${query({ at })}` : `api/versions/${path(collection, id)}`} />`;
}

/** Editing a value: its text, then what differs, then saving over just the value that was read. */
function Edit({ id }) {
  const { say, look } = useHive();
  const [read, setRead] = useState({});
  const [text, setText] = useState(/** @type {string | null} */ (null));
  const [problem, setProblem] = useState(null);
  const load = () => tagged(`api/config/${path(id)}`).then(
    (found) => { setRead(found); setText((last) => last ?? json(found.data, '')); },
    (error) => { if (error.status === 404) { setRead({ isNew: true, data: null }); setText((last) => last ?? '{}'); } else setProblem(error); },
  );
  useEffect(() => { load(); }, [id]);
  if (text === null) return html`<${Trouble} problem=${problem} />`;
  let value;
  let fault = '';
  try { value = parse(text); } catch (error) { fault = String((error).message); }
  const close = () => setParams({ edit: '' });
  const save = async () => {
    try {
      await put(`api/config/${path(id)}`, text, read.isNew ? '' : read.tag);
      say(`${shown(id)} is saved.`);
      look();
      close();
    } catch (error) {
      setProblem(error);
      if ((error).status === 412) load();
    }
  };
  return html`<${Form} kind="edit">
    <label>Value, as JSON<textarea rows=${Math.min(24, text.split('\n').length + 2)} spellcheck=${false} value=${text} onInput=${(event) => setText(event.currentTarget.value)}></textarea></label>
    ${fault ? html`<p class="note is-bad" role="alert">This is not JSON yet: ${plain(fault)}</p>` : html`<section class="card"><h2>Saving changes</h2>${json(value) === json(read.data) && !read.isNew ? html`<p class="faint">Nothing.</p>` : html`<${Between} before=${read.isNew ? null : read.data} after=${value} />`}</section>`}
    ${problem?.status === 412 ? html`<p class="note is-warn" role="alert">Somebody has changed the value since you opened it. Your text is kept; what saving changes is shown against the new value.</p>` : html`<${Trouble} problem=${problem} />`}
    <p class="tools"><button class="main" disabled=${Boolean(fault)} onClick=${save}>Save</button> <button type="button" onClick=${close}>Cancel</button></p><//>`;
}

