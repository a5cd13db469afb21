// @ts-check
// The history of a record, and the differences between two of its values.

import { useState } from './preact.js';
import { path } from './api.js';
import { useHive, useLoad } from './hooks.js';
import { A, Block, Chip, html, Loaded, plain, Table, when } from './parts.js';
import { json, line, same, utc } from './text.js';

/** Times are shown to the second. */
const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)$/;
/** The number of versions at first, and the most of them. */
const ROWS = 50;
const MOST = 200;
/** The most words that are compared one by one. */
const WORDS = 400;

export function Versions({ collection, id }) {
  const [open, setOpen] = useState(false);
  return html`<section><h2>History</h2>${open ? html`<${List} ...${{ collection, id }} />` : html`<button onClick=${() => setOpen(true)}>Show the versions of this record</button>`}</section>`;
}

function List({ collection, id }) {
  const { writes } = useHive();
  const [most, setMost] = useState(ROWS);
  const versions = useLoad(`api/versions/${path(collection, id)}?limit=${most + 1}`);
  return html`<${Loaded} of=${versions}>${(data) => html`<${Table} kind="cards versions" label="Versions, newest first" head=${['Seen at', 'Change', 'By', ['Value', 'wide'], ['', 'acts']]}
    rows=${data.versions.slice(0, most).map((own, at) => [at, own.point ? html`<${A} to=${[]} params=${{ at: own.point.point }} class="plain">${when(own.point.timestamp)}<//>` : at === 0 ? 'now' : '',
    own.change && html`<${Chip} s=${own.change} />`, own.by && html`${plain(own.by.actor)} <span class="faint">${plain(own.by.action)}</span>`,
    own.value === null ? html`<span class="faint">was not there</span>` : html`<${Between} before=${data.versions[at + 1]?.value ?? null} after=${own.value} />`,
    writes && own.point && own.value !== null && at > 0 && html`<${A} class="button small" to=${['restore', own.point.point]} params=${{ only: collection, key: id, at: '' }}>Restore this one…<//>`])} />
    ${data.versions.length > most && (most < MOST ? html`<p><button onClick=${() => setMost(MOST)}>Older versions</button></p>` : html`<p class="faint">The newest ${MOST} are shown; the command below lists all.</p>`)}`}<//>`;
}

/** Opens a record by its collection. @param {string} collection @param {string} key */
export function placeOf(collection, key) {
  if (collection === 'queue') return ['queue', key];
  if (collection === 'registry') return ['bots', key];
  if (collection === 'schedules') return ['schedules', key];
  return ['data', collection, key];
}

/** The difference between two values, members by name, long texts by words. */
export function Between({ before, after }) {
  const isPlain = (value) => value && typeof value === 'object' && !Array.isArray(value) && value.constructor === Object;
  if (before === null || after === null) return html`<${Folded} v=${before ?? after} />`;
  if (!isPlain(before) || !isPlain(after)) return html`<${Change} before=${before} after=${after} />`;
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => !same(before[name], after[name]));
  return html`<ul class="members">${names.map((name) => html`<li><b>${plain(name)}</b> <${Change} before=${before[name]} after=${after[name]} /></li>`)}</ul>`;
}

function Change({ before, after }) {
  const text = (value) => (value === undefined ? '' : TIME.test(value) ? utc(value) : typeof value === 'string' ? value : json(value));
  const [old, young] = [text(before), text(after)];
  if (Math.max(old.length, young.length) > 60 && old && young) return html`<${Words} before=${old} after=${young} />`;
  return html`${old !== '' && html`<del>${plain(line(old, 300))}</del>`}${old !== '' && young !== '' && ' → '}${young !== '' && html`<ins>${plain(line(young, 300))}</ins>`}`;
}

/** Two texts word by word: the longest common run of words stays. */
function Words({ before, after }) {
  const cut = (text) => (text.match(/\s*\S+|\s+$/g) ?? []).slice(0, WORDS);
  const [old, young] = [cut(before.slice(0, 20000)), cut(after.slice(0, 20000))];
  const table = Array.from({ length: old.length + 1 }, () => new Uint16Array(young.length + 1));
  for (let a = old.length - 1; a >= 0; a -= 1) {
    for (let b = young.length - 1; b >= 0; b -= 1) {
      table[a][b] = old[a] === young[b] ? table[a + 1][b + 1] + 1 : Math.max(table[a + 1][b], table[a][b + 1]);
    }
  }
  const parts = [];
  let [a, b] = [0, 0];
  const add = (kind, word) => {
    const last = parts[parts.length - 1];
    if (last?.kind === kind) last.text += word;
    else parts.push({ kind, text: word });
  };
  while (a < old.length || b < young.length) {
    if (a < old.length && b < young.length && old[a] === young[b]) { add('same', old[a]); [a, b] = [a + 1, b + 1]; }
    else if (b >= young.length || (a < old.length && table[a + 1][b] >= table[a][b + 1])) { add('del', old[a]); a += 1; }
    else { add('ins', young[b]); b += 1; }
  }
  const calm = (part) => (part.kind === 'same' && part.text.length > 120 ? `${part.text.slice(0, 50)} … ${part.text.slice(-50)}` : part.text);
  return html`<span class="words">${parts.map((part) => (part.kind === 'del' ? html`<del>${plain(part.text)}</del>` : part.kind === 'ins' ? html`<ins>${plain(part.text)}</ins>` : plain(calm(part))))}${Math.max(old.length, young.length) === WORDS && ' …'}</span>`;
}

/** A value in a line that opens. */
export function Folded({ v }) {
  const text = line(v, 120);
  if (text.length <= 120 && !text.endsWith('…')) return html`<code>${plain(text)}</code>`;
  return html`<details><summary><code>${plain(text)}</code></summary><${Block} v=${v} /></details>`;
}
