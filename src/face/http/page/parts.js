// @ts-check
// The parts that screens are made of.

import { h, html as template, useEffect, useRef, useState } from './preact.js';
import { link, setParams, useHive } from './hooks.js';
import { ago, clock, counted, json, LONG, n, pieces, quoted, size, utc } from './text.js';

/**
 * A template. One with several roots becomes one element, because Preact may put the roots of a group in a wrong order.
 * @param {TemplateStringsArray} strings @param {...any} values @returns {any}
 */
export function html(strings, ...values) {
  const made = template(strings, ...values);
  return Array.isArray(made) ? h('span', { class: 'many' }, ...made) : made;
}

/** Names up to this length are not broken. */
const SHORT = 20;

/** A text of a bot or a person in one line. */
export function plain(v) {
  const text = String(v ?? '');
  return html`<bdi class=${text.length <= SHORT ? 'short' : null}>${pieces(text, false).map(escaped)}</bdi>`;
}

/** @param {string | {escape: string}} part */
const escaped = (part) => (typeof part === 'string' ? part : html`<span class="esc" title="a character that is not shown">${part.escape}</span>`);

/** A long text or value, cut. */
export function Block({ v, label = 'value' }) {
  const [whole, setWhole] = useState(false);
  const text = typeof v === 'string' ? v : json(v, '');
  const cut = text.length > LONG && !whole;
  return html`<div class="block">
    <pre tabindex="0" role="region" aria-label=${label}>${pieces(cut ? text.slice(0, LONG) : text, true).map(escaped)}</pre>
    ${cut && html`<button onClick=${() => setWhole(true)}>Show all ${size(text.length)}</button>`}
  </div>`;
}

/** A time: how long ago, and exactly on demand. */
export function When({ t, exact = false }) {
  const { now, utcOnly } = useHive();
  if (!t) return html`<span class="faint">never</span>`;
  const text = exact || utcOnly ? clock(t, now) : ago(t, now);
  return html`<time datetime=${t} title=${utc(t)}>${text}</time>`;
}
export const when = (t) => html`<${When} t=${t} />`;

const GLYPHS = { ready: '○', claimed: '◐', waiting: '…', scheduled: '◷', paused: '‖', done: '✓', failed: '!', dead: '✕', cancelled: '–', ok: '✓', warn: '!', bad: '✕', added: '+', changed: '~', removed: '−', lost: '?' };

/** A state in a word, with a sign and a colour. */
export function Chip({ s, label = s }) {
  return html`<span class=${`chip is-${s}`}><span aria-hidden="true">${GLYPHS[s] ?? '•'}</span> ${label}</span>`;
}

/** A link to a screen. */
export function A({ to, params, children, ...rest }) {
  return html`<a href=${link(to, params)} ...${rest}>${children}</a>`;
}

/** Links to the pages of these. @param {string} screen */
const linkTo = (screen) => (id) => html`<${A} to=${[screen, id]}>${plain(id)}<//>`;
export const [toTask, toBot, toSchedule] = ['queue', 'bots', 'schedules'].map(linkTo);

/** The heading of a screen. */
export function Head({ title, children, aside }) {
  return html`<header class="head"><h1>${title}</h1>${children}<div class="aside">${aside}</div></header>`;
}

/** Shows what is loaded, or that it is not there yet, or why not. */
export function Loaded({ of, children }) {
  if (of.error) return html`<${Trouble} problem=${of.error} again=${of.again} />`;
  if (of.data === undefined) return html`<p class="faint wait" role="status">Loading…</p>`;
  return children(of.data);
}

/** A refusal in words, with the next step. */
export function Trouble({ problem, again }) {
  if (!problem) return null;
  return html`<div class="note is-bad" role="alert">
    <p><strong>${problem.status === 0 ? 'No answer' : 'Refused'}:</strong> ${plain(problem.message)}</p>
    ${problem.hint && html`<p>Way out: ${plain(problem.hint)}</p>`}
    ${again && html`<button onClick=${again}>Try again</button>`}
  </div>`;
}

export const Empty = ({ children }) => html`<div class="empty">${children}</div>`;

/** A button that copies a text. */
export function Copy({ text, what = 'Copy' }) {
  const { say } = useHive();
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say('Copied.');
    } catch {
      say('The browser refused to copy; select the text instead.', 'bad');
    }
  };
  return html`<button class="small" onClick=${copy} aria-label=${`${what}: ${text.slice(0, 80)}`}>${what}</button>`;
}

/** A command to copy. */
export const Command = ({ text }) => html`<div class="command"><code>${plain(text)}</code><${Copy} text=${text} /></div>`;

/** The footer of a screen: the same without the page. */
export function Same({ cli, curl, method, body }) {
  const base = new URL('.', location.href).href;
  const rest = [method && `-X ${method}`, `'${base}${curl}'`, body && `-d '${body}'`].filter(Boolean).join(' ');
  return html`<footer class="same"><details open=${false}><summary>The same without this page</summary>
    ${cli && html`<${Command} text=${cli} />`}<${Command} text=${`curl -s ${rest}`} />
  </details></footer>`;
}

/**
 * A real table. Each head is a text, or a text with the class of its column; each row is its key and its cells, of which the
 * first one heads it, or an element of its own.
 * @param {{head: any[], rows: any[], label: string, kind?: string}} props
 */
export function Table({ head, rows, label, kind = '' }) {
  const columns = head.map((own) => (Array.isArray(own) ? own : [own, null]));
  const row = ([key, first, ...cells]) => html`<tr key=${key}><th scope="row" class=${columns[0][1]}>${first}</th>${cells.map((cell, at) => html`<td class=${columns[at + 1][1]}>${cell}</td>`)}</tr>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table class=${kind}><caption class="away">${label}</caption>
    <thead><tr>${columns.map(([name, of]) => (name ? html`<th scope="col" class=${of === 'num' ? of : null}>${name}</th>` : html`<td></td>`))}</tr></thead>
    <tbody>${rows.map((own) => (Array.isArray(own) ? row(own) : own))}</tbody></table></div>`;
}

/** A loaded list as a table; or that there is none. @param {any} props `list` names the member, `row` makes a row of an item */
export const Rows = ({ of, list, none, row, ...table }) => html`<${Loaded} of=${of}>${(data) => (data[list].length === 0
  ? html`<p class="faint">${none}</p>` : html`<${Table} ...${table} rows=${data[list].map(row)} />`)}<//>`;

/** A form that sends nothing by itself. @param {any} props */
export const Form = ({ kind = 'inline', children, onSubmit = () => {} }) => html`<form class=${kind} onSubmit=${(event) => { event.preventDefault(); onSubmit(event); }}>${children}</form>`;

/** The button of a form that opens only with the right text. */
export function Typed({ text, label, children, kind = 'danger', run, ...input }) {
  const [typed, setTyped] = useState('');
  return html`<${Form} kind="apply"><label>${label} <input size="10" autocomplete="off" ...${input} value=${typed} onInput=${(event) => setTyped(event.currentTarget.value)} /></label>
    <${Act} kind=${kind} inside disabled=${typed.replace(/[,\s]/g, '') !== text} run=${run}>${children}<//><//>`;
}

/** Buttons between the pages of a list; the cursor is in the link. */
export function Pager({ next }) {
  const { cursor } = useHive().route.params;
  if (!cursor && !next) return null;
  return html`<nav class="pager" aria-label="Pages"><button onClick=${() => setParams({ cursor: '' })} disabled=${!cursor}>First page</button>
    <button onClick=${() => setParams({ cursor: next })} disabled=${!next}>Next page</button></nav>`;
}

/** A list that waits while somebody works in it. */
export function Calm({ calm, of, children }) {
  return html`${calm.waits && html`<p><button onClick=${calm.show}>The list has changed: show it</button></p>`}
    <div ref=${calm.box}><${Loaded} of=${{ ...of, data: calm.items }}>${children}<//></div><${Pager} next=${calm.items?.next} />`;
}

/** A field whose text goes into the link. */
export function Find({ name, label, hint, children }) {
  const value = useHive().route.params[name] ?? '';
  const apply = (event) => {
    event.preventDefault();
    setParams({ [name]: event.currentTarget.elements[name].value.trim(), cursor: '' });
  };
  return html`<form class="filter" role="search" onSubmit=${apply}>
    <input name=${name} data-filter key=${value} defaultValue=${value} aria-label=${label} placeholder=${hint} autocomplete="off" spellcheck=${false} />
    <button>Filter</button>${value && html`<button type="button" onClick=${() => setParams({ [name]: '', cursor: '' })}>Clear</button>`}${children}</form>`;
}

/** Numbers of changes in words. */
export function Counts({ counts }) {
  const parts = ['added', 'changed', 'removed'].filter((kind) => Number(counts[kind] ?? 0) > 0);
  return html`${parts.map((kind) => html`<${Chip} s=${kind} label=${`${n(counts[kind])} ${kind}`} /> `)}`;
}

/** Links with commas between them. */
export const listed = (ids, to) => ids.map((id, at) => html`${at > 0 && ', '}${to(id)}`);

/** Names and values. */
export const Facts = ({ rows }) => html`<dl class="facts">${rows.filter(Boolean).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

/** A window over the page; focus returns to where it was. */
export function Dialog({ title, onClose, children }) {
  const own = useRef(null);
  useEffect(() => { own.current?.showModal(); }, []);
  return html`<dialog ref=${own} aria-labelledby="asked" onClose=${onClose}>
    <header><h2 id="asked">${title}</h2><button class="small" onClick=${() => own.current?.close()}>Close</button></header>
    ${children}</dialog>`;
}

/** A button that works once at a time and shows what went wrong: beside it if it stands inside a dialog. */
export function Act({ run, children, kind = '', disabled = false, inside = false }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const { say, look } = useHive();
  const act = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const said = await run();
      if (said) say(said);
    } catch (error) {
      const { message, hint } = (error);
      if (inside) setProblem(error);
      else say(hint ? `${message} Way out: ${hint}` : message, 'bad');
    } finally {
      setBusy(false);
      look();
    }
  };
  return html`<button class=${kind} disabled=${busy || disabled} onClick=${act}>${children}</button><${Trouble} problem=${problem} />`;
}

/** A line of numbers of the last hour. */
export function Spark({ values, label }) {
  if (values.length < 2) return null;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const y = (value) => (high === low ? 10 : 18 - (16 * (value - low)) / (high - low));
  const points = values.map((value, at) => `${((100 * at) / (values.length - 1)).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
  return html`<svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label=${`${label}: from ${values[0]} to ${values[values.length - 1]}, at most ${high}`}><polyline points=${points} /></svg>`;
}

export const pointTitle = (point) => point.description || (point.origin === 'safety' ? 'safety point of a restore' : point.origin === null ? 'a commit' : point.manual ? 'restore point' : 'automatic');

/** The begin of a digest, which is whole on demand. */
export const Digest = ({ of }) => html`<code title=${of.digest}>${of.digest.slice(0, 12)}</code>`;

/** The option of a command that shows a point; none for now. @param {string} at */
export const past = (at) => (at ? ` --at ${quoted(at)}` : '');

export { counted };
