// @ts-check
// Compare: what differs between two moments, first in numbers, then record by record.

import { path, query } from './api.js';
import { go, setParams, useHive, useLoad } from './hooks.js';
import { A, Chip, counted, Counts, Empty, Find, Head, html, Loaded, Pager, plain, pointTitle, Same, Table } from './parts.js';
import { usePoints } from './timebar.js';
import { Between, placeOf } from './versions.js';
import { ago, quoted, shown } from './text.js';

const ROWS = 50;

/** A task's change as a sentence. */
function sentence(before, after) {
  if (!before || !after || before.state === after.state) return '';
  const by = after.finished_by ?? after.holder?.bot;
  return `${before.state} → ${after.state}${by ? ` by ${by}` : ''}`;
}

export function Compare() {
  const { route, me } = useHive();
  const [, from = 'latest', to = 'now'] = route.path;
  const { only = '', prefix = '', cursor = '' } = route.params;
  const diff = useLoad(`api/points/${path(from)}/diff${query({ to, collection: only, prefix, cursor, limit: ROWS, preview: 4000 })}`);
  return html`<${Head} title="Compare" aside=${me?.may.operator && html`<${A} class="button" to=${['restore', from]} params=${{ only, at: '' }}>Restore…<//>`} />
    <${Ends} from=${from} to=${to} />
    <${Loaded} of=${diff}>${(data) => html`
      <div class="tabs" role="group" aria-label="Collection"><button aria-pressed=${!only} onClick=${() => setParams({ only: '', cursor: '' })}>all</button>
        ${Object.entries(data.counts).map(([name, counts]) => html`<button aria-pressed=${only === name} onClick=${() => setParams({ only: name, cursor: '' })}>${plain(name)} <${Counts} counts=${counts} /></button>`)}</div>
      <${Find} name="prefix" label="Keys that begin with" hint="keys that begin with…" />
      ${data.changes.length === 0 ? html`<${Empty}><h2>Nothing differs</h2><p>Both moments hold the same${only || prefix ? ' in this part' : ''}.</p><//>`
      : html`<p class="faint">${counted(data.total, 'record differs', 'records differ')}${prefix ? `; those that begin with ${prefix} are listed` : ''}.</p>
        <${Table} kind="cards" label="Records that differ" head=${['Record', 'Change', 'Before → after', '']} rows=${data.changes.map((own) => html`<${Row} key=${`${own.collection}/${own.key}`} own=${own} from=${from} to=${to} />`)} />`}
      <${Pager} next=${data.next} />`}<//>
    <${Same} cli=${`hivekeep point diff ${quoted(from)} ${quoted(to)}`} curl=${`api/points/${path(from)}/diff${query({ to, collection: only, prefix })}`} />`;
}

function Row({ own, from, to }) {
  const { writes } = useHive();
  const said = own.collection === 'queue' ? sentence(own.before, own.after) : '';
  return html`<tr><th scope="row"><${A} to=${placeOf(own.collection, own.key)} params=${{ at: own.change === 'removed' ? from : to === 'now' ? '' : to }}><span class="faint">${plain(own.collection)}/</span>${plain(own.key)}<//></th>
    <td><${Chip} s=${own.change} /></td>
    <td class="wide">${said && html`<p><strong>${plain(said)}</strong></p>`}<${Between} before=${own.before} after=${own.after} /></td>
    <td class="acts">${writes && to === 'now' && ['registry', 'queue', 'config'].includes(own.collection) && html`<${A} class="button small" to=${['restore', from]} params=${{ only: own.collection, key: own.key, at: '' }}>Restore only this…<//>`}</td></tr>`;
}

/** The two moments, to choose from. */
function Ends({ from, to }) {
  const { now } = useHive();
  const { points } = usePoints(false);
  const choice = (chosen, label, set, withNow) => html`<label>${label} <select value=${chosen} onChange=${(event) => set(event.currentTarget.value)}>
    ${withNow && html`<option value="now">now</option>`}
    ${!points.some((own) => own.point === chosen) && chosen !== 'now' && html`<option value=${chosen}>${chosen}</option>`}
    ${points.map((own) => html`<option value=${own.point}>${ago(own.timestamp, now)}: ${shown(pointTitle(own)).slice(0, 80)}</option>`)}</select></label>`;
  return html`<div class="bar">${choice(from, 'From', (value) => go(['compare', value, to], { at: '' }), false)}
    ${choice(to, 'to', (value) => go(['compare', from, value], { at: '' }), true)}</div>`;
}

