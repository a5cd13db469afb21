// @ts-check
// Timeline: the points along a time axis, and as a list.

import { useEffect, useRef, useState } from './preact.js';
import { get, path, post, query, remove } from './api.js';
import { setParams, useCalm, useHive, useLoad } from './hooks.js';
import { A, Act, Calm, counted, Dialog, Empty, Form, Head, html, Loaded, plain, pointTitle, Same, Table, Typed, When, when } from './parts.js';
import { show } from './timebar.js';
import { clock, n, size, utc } from './text.js';
import { makePoint } from './now.js';

const PARTS = 240;
const ROWS = 100;
/** The kinds of points, from the bottom of a column up. */
const KINDS = ['automatic', 'manual', 'documents', 'safety', 'commits'];
/** Events that are drawn as marks above the columns. */
const MARKS = { crash_detected: 'crash', restore_successful: 'restore', restore_undone: 'undo', repaired: 'repair', corruption_detected: 'damage', archive_created: 'archive' };

/** @param {any[]} events @param {string} chosen */
function draw(canvas, data, events, drag, chosen) {
  const box = canvas.getBoundingClientRect();
  const [width, height] = [Math.max(1, Math.round(box.width)), Math.round(box.height)];
  const ratio = devicePixelRatio || 1;
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  const pen = canvas.getContext('2d');
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  pen.scale(ratio, ratio);
  const [from, to] = [Date.parse(data.from), Date.parse(data.to)];
  const x = (time) => (width * (time - from)) / (to - from);
  const most = Math.max(1, ...data.buckets.map((own) => KINDS.reduce((sum, kind) => sum + Number(own[kind]), 0)));
  const floor = height - 18;
  const column = width / Number(data.parts);
  for (const own of data.buckets) {
    let top = floor;
    for (const kind of KINDS) {
      const count = Number(own[kind]);
      if (!count) continue;
      const high = Math.max(3, ((floor - 22) * count) / most);
      pen.fillStyle = colour(`kind-${kind}`);
      pen.fillRect(Number(own.part) * column, top - high, Math.max(2, column - 1), high);
      top -= high;
    }
    if (Number(own.held)) {
      pen.fillStyle = colour('ink');
      pen.fillRect(Number(own.part) * column, top - 5, Math.max(2, column - 1), 3);
    }
  }
  pen.fillStyle = colour('muted');
  pen.font = `11px ${style.fontFamily}`;
  for (const event of events) {
    const time = Date.parse(event.timestamp);
    if (time < from || time > to || event.event === 'archive_created') continue;
    pen.fillStyle = colour(event.event === 'crash_detected' || event.event === 'corruption_detected' ? 'bad' : 'accent');
    pen.beginPath();
    pen.moveTo(x(time), 14);
    pen.lineTo(x(time) - 4, 6);
    pen.lineTo(x(time) + 4, 6);
    pen.fill();
  }
  pen.fillStyle = colour('line');
  pen.fillRect(0, floor, width, 1);
  pen.fillStyle = colour('muted');
  const ticks = Math.max(2, Math.min(6, Math.floor(width / 150)));
  for (let tick = 0; tick < ticks; tick += 1) {
    const time = from + ((to - from) * tick) / (ticks - 1);
    pen.textAlign = tick === 0 ? 'left' : tick === ticks - 1 ? 'right' : 'center';
    const iso = new Date(time).toISOString();
    pen.fillText(to - from > 2 * 86400000 ? iso.slice(0, 16).replace('T', ' ') : `${iso.slice(11, 19)}Z`, (width * tick) / (ticks - 1), height - 4);
  }
  if (chosen) {
    pen.fillStyle = colour('accent');
    pen.fillRect(x(Date.parse(chosen)) - 1, 0, 2, floor);
  }
  if (drag) {
    pen.globalAlpha = 0.2;
    pen.fillStyle = colour('accent');
    pen.fillRect(Math.min(drag.from, drag.to), 0, Math.abs(drag.to - drag.from), floor);
  }
}

function Axis({ data, events }) {
  const { point } = useHive();
  const canvas = useRef(null);
  const [drag, setDrag] = useState(null);
  const [size, setSize] = useState(0);
  useEffect(() => { draw(canvas.current, data, events, drag, point?.timestamp); }, [data, events, drag, point, size]);
  useEffect(() => {
    const again = () => setSize((last) => last + 1);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    addEventListener('resize', again);
    scheme.addEventListener('change', again);
    return () => { removeEventListener('resize', again); scheme.removeEventListener('change', again); };
  }, []);
  const [from, to] = [Date.parse(data.from), Date.parse(data.to)];
  const at = (event) => event.clientX - canvas.current.getBoundingClientRect().left;
  const time = (x) => new Date(from + ((to - from) * x) / canvas.current.clientWidth).toISOString();
  const end = () => {
    if (drag && Math.abs(drag.to - drag.from) > 8) setParams({ from: time(Math.max(0, Math.min(drag.from, drag.to))), to: time(Math.max(drag.from, drag.to)), cursor: '' });
    setDrag(null);
  };
  const total = (kind) => data.buckets.reduce((sum, own) => sum + Number(own[kind]), 0);
  const kinds = [...KINDS, 'held'].filter((kind) => total(kind) > 0);
  const marks = [...new Set(events.map((event) => MARKS[event.event]).filter((mark) => mark && mark !== 'archive'))];
  return html`<figure class="axis">
    <canvas ref=${canvas} role="img" aria-label=${`Points from ${utc(data.from)} to ${utc(data.to)}: ${kinds.map((kind) => `${total(kind)} ${kind}`).join(', ') || 'none'}`}
      onPointerDown=${(event) => { canvas.current.setPointerCapture(event.pointerId); setDrag({ from: at(event), to: at(event) }); }}
      onPointerMove=${(event) => { if (drag) setDrag({ ...drag, to: at(event) }); }} onPointerUp=${end} onPointerCancel=${() => setDrag(null)}></canvas>
    <figcaption>${kinds.map((kind) => html`<span class=${`key kind-${kind}`}><i aria-hidden="true"></i>${n(total(kind))} ${kind}</span>`)}
      ${marks.length > 0 && html`<span class="faint">▾ ${marks.join(', ')}</span>`}<span class="faint drag-hint">Drag over a stretch to zoom in.</span></figcaption></figure>`;
}

/** Shorter stretches for people who do not drag. */
const STRETCHES = [['Hour', 3600000], ['Day', 86400000], ['Week', 7 * 86400000]];

export function Timeline() {
  const { route, writes, now } = useHive();
  const { from = '', to = '', cursor = '', all = '' } = route.params;
  // A commit makes a point without an event where every commit is kept.
  const [news, setNews] = useState(/** @type {'any' | 'events'} */ ('events'));
  const axis = useLoad(`api/timeline${query({ limit: PARTS, from, to })}`, { news });
  const commits = axis.data?.buckets.some((own) => Number(own.commits));
  useEffect(() => setNews(commits ? 'any' : 'events'), [commits]);
  const events = useLoad('api/events?limit=200', { news: 'events' });
  const list = useLoad(`api/timeline/points${query({ limit: ROWS, cursor, all })}`, { news: all ? 'any' : 'events' });
  const calm = useCalm(list.data, `${cursor}|${all}`);
  const known = events.data?.events.filter((event) => MARKS[event.event]) ?? [];
  const archived = new Set(events.data?.events.filter((event) => event.event === 'archive_created').map((event) => event.details.restore_id));
  const last = (ms) => setParams({ from: new Date(now - ms).toISOString(), to: '', cursor: '' });
  return html`<${Head} title="Timeline" aside=${writes && html`<${NewPoint} />`} />
    <div class="bar"><span class="tabs" role="group" aria-label="Stretch of time">
      <button aria-pressed=${!from && !to} onClick=${() => setParams({ from: '', to: '' })}>All</button>
      ${STRETCHES.map(([label, ms]) => html`<button onClick=${() => last(ms)}>${label}</button>`)}</span>
      ${(from || to) && html`<span class="faint">${from ? clock(from, now) : 'the oldest point'} to ${to ? clock(to, now) : 'now'}</span>`}</div>
    <${Loaded} of=${axis}>${(data) => html`<${Axis} data=${data} events=${known} />`}<//>
    <label class="all"><input type="checkbox" checked=${Boolean(all)} onChange=${() => setParams({ all: all ? '' : 'true', cursor: '' })} /> also points of restores, documents and single commits</label>
    <${Calm} calm=${calm} of=${list}>${(data) => (data.points.length === 0
    ? html`<${Empty}><h2>No restore point</h2><p>A point is the whole state under a name. It costs one commit, whatever the size of the state.</p>${writes && html`<${Act} kind="main" run=${makePoint}>Make one now<//>`}<//>`
    : html`<${Table} kind="cards points" label="Restore points, newest first" head=${['Made', 'Description', 'Kind', 'Tags', '']} rows=${data.points.map((point) => html`<${Row} key=${point.epoch} point=${point} archived=${archived.has(point.point)} />`)} />`)}<//>
    <${Same} cli=${all ? 'hivekeep point list --all' : 'hivekeep point list'} curl=${`api/points${query({ all })}`} />`;
}

function Row({ point, archived }) {
  const { at, writes, me } = useHive();
  const [forgets, setForgets] = useState(false);
  const [frees, setFrees] = useState(null);
  const weigh = async () => setFrees((await get(`api/points/${path(point.point)}?sizes=true`)).frees);
  const kind = point.origin === null ? 'commit' : point.origin === 'live' ? (point.manual ? 'manual' : 'automatic') : point.origin;
  const named = point.origin !== null;
  const change = (verb) => async () => {
    await post(`api/points/${path(point.point)}/${verb}`);
    return verb === 'hold' ? 'Held: retention never forgets this point.' : 'Released: retention may forget this point.';
  };
  return html`<tr aria-current=${point.point === at ? 'true' : null}><th scope="row"><button class="plain" title="Show every screen as of this point" onClick=${() => show(point)}>${when(point.timestamp)}</button></th>
    <td class="wide">${plain(pointTitle(point))}${point.partial && html` <span class="chip is-warn">partial</span>`}${point.held && html` <span class="chip is-held">held</span>`}${archived && html` <span class="chip">archived</span>`}</td>
    <td>${kind}</td>
    <td>${Object.entries(point.tags).map(([name, value]) => html`<span class="tag">${plain(`${name}=${value}`)}</span> `)}</td>
    <td class="acts">${frees ? html`<span class="faint" title=${`Forgetting it alone would free ${counted(frees.rows, 'row')}.`}>${size(frees.bytes)} only here</span>` : html`<${Act} kind="small" run=${weigh}>Size<//>`}
      <${A} class="button small" to=${['compare', point.point, 'now']} params=${{ at: '' }}>Compare<//>
      ${me?.may.operator && html`<${A} class="button small" to=${['restore', point.point]} params=${{ at: '' }}>Restore…<//>`}
      ${writes && named && html`<${Act} kind="small" run=${change(point.held ? 'release' : 'hold')}>${point.held ? 'Release' : 'Hold'}<//>
      ${!point.held && html`<button class="small" onClick=${() => setForgets(true)}>Forget…</button>`}`}
      ${forgets && html`<${Forget} point=${point} onClose=${() => setForgets(false)} />`}</td></tr>`;
}

/** Forgetting is the one act that cannot be undone, so it asks for a word. */
function Forget({ point, onClose }) {
  const run = async () => {
    await remove(`api/points/${path(point.point)}`);
    onClose();
    return 'The point is forgotten.';
  };
  return html`<${Dialog} title="Forget this point?" onClose=${onClose}><p>The point <em>${plain(pointTitle(point))}</em>, made <${When} t=${point.timestamp} exact=${true} />, and what only it still has are freed. This cannot be undone.</p>
    <${Typed} text="forget" label=${html`Type <strong>forget</strong>:`} run=${run}>Forget it<//><//>`;
}

function NewPoint() {
  const [text, setText] = useState('');
  const run = async () => {
    await post('api/points', { description: text });
    setText('');
    return 'A restore point was made.';
  };
  return html`<${Form}>
    <input aria-label="Description of a new point" placeholder="before the night" maxlength="200" value=${text} onInput=${(event) => setText(event.currentTarget.value)} />
    <${Act} kind="main" run=${run}>New restore point<//><//>`;
}
