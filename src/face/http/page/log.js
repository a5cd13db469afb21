// @ts-check
// Log: events of the store and entries of the audit trail in one list, newest first; and what changed from point to point.

import { useEffect, useState } from './preact.js';
import { get, path, query } from './api.js';
import { setParams, useHive, useLoad } from './hooks.js';
import { A, Act, Block, Chip, Counts, Empty, Find, Head, html, Loaded, plain, pointTitle, Same, Table, toBot, when } from './parts.js';
import { usePoints } from './timebar.js';
import { json, line } from './text.js';

const ROWS = 100;
/** The most rows that the list shows; older ones push the newest ones out. */
const MOST = 200;
/** So many pairs of points are compared at a time. */
const PAIRS = 10;

const ofEvent = (event) => ({ key: `e${event.sequence}`, time: event.timestamp, what: event.event.replaceAll('_', ' '), by: '', of: '', details: event.details, level: /failed|crash|corrupt|damage/.test(event.event) ? 'bad' : '', sort: 'event' });
const ofEntry = (entry) => ({ key: `a${entry.sequence}`, time: entry.recorded ?? entry.timestamp, what: entry.action, by: entry.actor, of: entry.target ?? '', details: entry.details, result: entry.result, level: entry.level === 'info' ? '' : entry.level === 'warning' ? 'warn' : 'bad', sort: 'audit' });

/** The two sources: the member of the answer, and a row of an item. @type {[string, (item: any) => any][]} */
const SOURCES = [['events', ofEvent], ['entries', ofEntry]];

/** So many pages without a row are passed over at a time. */
const PASSED = 20;
/** Later than every time: a source that has shown no row yet may have rows everywhere. */
const ANYWHERE = '~';

/** Where a source goes on. @param {string} before the time of its last row before these */
const endOf = (rows, next, before) => ({ next, time: rows[rows.length - 1]?.time ?? before });

/** Rows in order. Behind the end of a source that goes on there may be rows which are not loaded yet. */
function ordered(rows, ends) {
  const from = Object.values(ends).reduce((last, end) => (end.next && end.time > last ? end.time : last), '');
  return rows.filter((row) => row.time >= from).sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0));
}

/** The loaded part of the sources, and where each goes on. */
function gathered(answers) {
  const [rows, ends] = [[], {}];
  for (const [name, of] of SOURCES) {
    const own = (answers[name]?.[name] ?? []).map(of);
    rows.push(...own);
    ends[name] = endOf(own, answers[name]?.next, ANYWHERE);
  }
  return { rows, ends };
}

export function Log() {
  const { show = '' } = useHive().route.params;
  const tab = (own, label) => html`<button aria-pressed=${show === own} onClick=${() => setParams({ show: own, bot: '' })}>${label}</button>`;
  return html`<${Head} title="Log"><span class="faint">the same at every point</span><//>
    <div class="tabs" role="group" aria-label="Kind">${tab('', 'all')}${tab('events', 'events')}${tab('audit', 'audit')}${tab('changes', 'changes')}</div>
    ${show === 'changes' ? html`<${Changes} />` : html`<${Entries} key=${show} show=${show} />`}`;
}

function Entries({ show }) {
  const { find = '', bot = '' } = useHive().route.params;
  const addresses = { events: show === 'audit' ? '' : `api/events${query({ limit: ROWS })}`, entries: show === 'events' ? '' : `api/audit${query({ limit: ROWS, preview: 4000, bot })}` };
  const events = useLoad(addresses.events, { news: 'events' });
  const entries = useLoad(addresses.entries, { news: 'audit' });
  const [older, setOlder] = useState(/** @type {any} */ (null));
  const [top, setTop] = useState(true);
  const [frozen, setFrozen] = useState('');
  useEffect(() => setOlder(null), [bot]);
  useEffect(() => {
    const follow = () => setTop(scrollY < 80);
    addEventListener('scroll', follow, { passive: true });
    return () => removeEventListener('scroll', follow);
  }, []);
  const newest = gathered({ events: events.data, entries: entries.data });
  const first = newest.rows.reduce((last, row) => (row.time > last ? row.time : last), '');
  // The list follows while its top is seen; further down it waits.
  useEffect(() => setFrozen((last) => (top ? '' : last || first)), [top, first]);
  const { rows: loaded, ends } = older ?? newest;
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (row) => words.every((word) => `${row.what} ${row.by} ${row.of} ${row.result ?? ''} ${json(row.details)}`.toLowerCase().includes(word));
  const rows = ordered(loaded, ends).filter(fits);
  const calm = frozen && !older ? rows.filter((row) => row.time <= frozen) : rows;
  const shown = older ? calm.slice(-MOST) : calm.slice(0, MOST);
  const waiting = rows.length - calm.length;
  const goesOn = SOURCES.some(([name]) => ends[name].next);
  const follow = () => { setOlder(null); setFrozen(''); scrollTo(0, 0); };
  const more = async () => {
    // The source whose rows end first goes on.
    const [name, of] = SOURCES.filter(([own]) => ends[own].next).sort(([a], [b]) => (ends[a].time < ends[b].time ? 1 : -1))[0];
    let page = { next: ends[name].next };
    for (let left = PASSED; left > 0 && page.next && !page[name]?.length; left -= 1) page = await get(`${addresses[name]}&cursor=${page.next}`);
    const next = page[name].map(of);
    const known = ordered(loaded, ends);
    const kept = new Set(known.slice(0, -MOST).map((row) => row.key));
    setOlder({ rows: [...loaded.filter((row) => !kept.has(row.key)), ...next], ends: { ...ends, [name]: endOf(next, page.next, ends[name].time) } });
  };
  const of = events.error ? events : entries.error ? entries : { data: (!addresses.events || events.data) && (!addresses.entries || entries.data) ? rows : undefined };
  return html`${bot && html`<p>Only what ${toBot(bot)} did or what was done to it${addresses.events && ', beside the events of the store'}. <button class="small" onClick=${() => setParams({ bot: '' })}>Show everything</button></p>`}
    <${Find} name="find" label="Words to find" hint="words to find among the loaded entries" />
    ${(waiting > 0 || older) && html`<p class="news"><button onClick=${follow}>${older ? 'Newest' : `${waiting} new`}</button></p>`}
    <${Loaded} of=${of}>${() => (shown.length === 0 ? html`<${Empty}><h2>Nothing here</h2><p>${find ? 'None of the loaded entries has these words.' : goesOn ? 'None of the entries that were looked at fits; Older looks further.' : 'Nothing has happened yet.'}</p><//>`
    : html`<${Table} kind="log" label="Events and audit entries, newest first" head=${['Time', ['Kind', 'faint'], 'Event', 'By', 'Target', ['Details', 'wide']]} rows=${shown.map((row) => [row.key,
      when(row.time), row.sort, html`${row.level ? html`<${Chip} s=${row.level} label=${row.what} />` : plain(row.what)}${row.result && html` <span class="faint">${plain(line(row.result, 60))}</span>`}`,
      plain(row.by), plain(row.of), html`<${Details} v=${row.details} />`])} />`)}<//>
    ${goesOn && html`<p><${Act} run=${more}>Older<//></p>`}
    <${Same} cli=${show === 'audit' ? 'hivekeep get audit' : 'hivekeep log'} curl=${show === 'audit' ? `api/audit${query({ bot, limit: 1000 })}` : `api/events${query({ limit: 1000 })}`} />`;
}

function Details({ v }) {
  if (v === null || v === undefined || json(v) === '{}') return null;
  const text = line(v, 90);
  return html`<details><summary class="faint mono">${plain(text)}</summary><${Block} v=${v} label="details" /></details>`;
}

/** The changes between one point and the next, newest first. */
function Changes() {
  const { points, more, loaded } = usePoints(false);
  const [count, setCount] = useState(PAIRS);
  const older = async () => {
    setCount(Math.min(MOST, count + PAIRS));
    if (points.length <= count + PAIRS) await more?.();
  };
  const pairs = points.slice(0, count).map((point, at) => ({ from: point, to: points[at - 1] }));
  return html`<${Loaded} of=${{ data: loaded ? pairs : undefined }}>${() => (pairs.length === 0 ? html`<${Empty}><h2>No restore point</h2><p>Changes are counted from one restore point to the next.</p><//>`
    : html`<${Table} kind="cards" label="Changes from point to point, newest first" head=${['Until', 'Since', ['Changes', 'wide'], ['', 'acts']]} rows=${pairs.map((own) => html`<${Pair} key=${own.from.epoch} ...${own} />`)} />`)}<//>
    ${(points.length > count || more) && count < MOST && html`<p><${Act} run=${older}>Older<//></p>`}
    <${Same} cli="hivekeep point diff latest now" curl=${`api/points/latest/diff${query({ to: 'now' })}`} />`;
}

function Pair({ from, to }) {
  const until = to?.point ?? 'now';
  const diff = useLoad(`api/points/${path(from.point)}/diff${query({ to: until, limit: 1, preview: 1 })}`, { once: Boolean(to) });
  return html`<tr><th scope="row">${to ? when(to.timestamp) : 'now'}</th><td>${when(from.timestamp)} <span class="faint">${plain(pointTitle(from))}</span></td>
    <td class="wide"><${Loaded} of=${diff}>${(data) => (String(data.total) === '0' ? html`<span class="faint">none</span>`
    : html`<ul class="members">${Object.entries(data.counts).map(([name, counts]) => html`<li><b>${plain(name)}</b> <${Counts} counts=${counts} /></li>`)}</ul>`)}<//></td>
    <td class="acts"><${A} class="button small" to=${['compare', from.point, until]} params=${{ at: '' }}>Compare<//></td></tr>`;
}
