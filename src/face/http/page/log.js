// @ts-check
// Log: events of the store and entries of the audit trail in one list, newest first.

import { useEffect, useState } from './preact.js';
import { html } from './html.js';
import { get, query } from './api.js';
import { setParams, useHive, useLoad } from './hooks.js';
import { Act, Block, Chip, Empty, Find, Head, Loaded, Same, T, Table, When } from './parts.js';
import { json, line } from './text.js';

const ROWS = 100;
/** The most rows that the list grows to. */
const MOST = 200;

const ofEvent = (event) => ({ key: `e${event.sequence}`, time: event.timestamp, what: event.event.replaceAll('_', ' '), by: '', of: '', details: event.details, level: /failed|crash|corrupt|damage/.test(event.event) ? 'bad' : '', sort: 'event' });
const ofEntry = (entry) => ({ key: `a${entry.sequence}`, time: entry.recorded ?? entry.timestamp, what: entry.action, by: entry.actor, of: entry.target ?? '', details: entry.details, result: entry.result, level: entry.level === 'info' ? '' : entry.level === 'warning' ? 'warn' : 'bad', sort: 'audit' });

export function Log() {
  const { route } = useHive();
  const { show = '', find = '' } = route.params;
  const events = useLoad(show === 'audit' ? '' : `api/events?limit=${ROWS}`);
  const audit = useLoad(show === 'events' ? '' : `api/audit?limit=${ROWS}&preview=4000`);
  const [older, setOlder] = useState({ rows: [], next: {} });
  const [top, setTop] = useState(true);
  const [frozen, setFrozen] = useState(null);
  useEffect(() => setOlder({ rows: [], next: {} }), [show]);
  useEffect(() => {
    const follow = () => setTop(scrollY < 80);
    addEventListener('scroll', follow, { passive: true });
    return () => removeEventListener('scroll', follow);
  }, []);
  const newest = [...(events.data?.events ?? []).map(ofEvent), ...(audit.data?.entries ?? []).map(ofEntry)];
  const first = newest.reduce((last, row) => (row.time > last ? row.time : last), '');
  // The list follows while its top is seen; further down it waits.
  useEffect(() => { if (top) setFrozen(null); else if (!frozen) setFrozen(first); }, [top, first]);
  const known = new Map([...newest, ...older.rows].map((row) => [row.key, row]));
  const all = [...known.values()].sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0));
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (row) => words.every((word) => `${row.what} ${row.by} ${row.of} ${row.result ?? ''} ${json(row.details)}`.toLowerCase().includes(word));
  const rows = all.filter(fits);
  const shown = (frozen ? rows.filter((row) => row.time <= frozen) : rows).slice(0, MOST);
  const waiting = frozen ? rows.length - rows.filter((row) => row.time <= frozen).length : 0;
  const nextEvents = older.next.events === undefined ? events.data?.next : older.next.events;
  const nextAudit = older.next.audit === undefined ? audit.data?.next : older.next.audit;
  const more = async () => {
    const [e, a] = await Promise.all([
      nextEvents ? get(`api/events?limit=${ROWS}&cursor=${nextEvents}`) : null, nextAudit ? get(`api/audit?limit=${ROWS}&preview=4000&cursor=${nextAudit}`) : null]);
    setOlder((last) => ({ rows: [...last.rows, ...(e?.events ?? []).map(ofEvent), ...(a?.entries ?? []).map(ofEntry)], next: { events: e?.next ?? null, audit: a?.next ?? null } }));
  };
  const tab = (own, label) => html`<button aria-pressed=${show === own} onClick=${() => setParams({ show: own })}>${label}</button>`;
  const of = events.error ? events : audit.error ? audit : { data: (show === 'audit' || events.data) && (show === 'events' || audit.data) ? rows : undefined };
  return html`<${Head} title="Log"><span class="faint">the same at every point${frozen ? '; it follows again at the top' : ''}</span><//>
    <div class="tabs" role="group" aria-label="Kind">${tab('', 'all')}${tab('events', 'events')}${tab('audit', 'audit')}</div>
    <${Find} name="find" label="Words to find" hint="words to find among the loaded entries" />
    ${waiting > 0 && html`<p class="news"><button onClick=${() => { setFrozen(null); scrollTo(0, 0); }}>${waiting} new</button></p>`}
    <${Loaded} of=${of}>${() => (shown.length === 0 ? html`<${Empty}><h2>Nothing here</h2><p>${find ? 'None of the loaded entries has these words.' : 'Nothing has happened yet.'}</p><//>`
    : html`<${Table} kind="log" label="Events and audit entries, newest first" head=${['Time', 'Kind', 'What happened', 'By', 'Target', 'Details']} rows=${shown.map((row) => html`<tr key=${row.key}>
      <th scope="row"><${When} t=${row.time} /></th><td><span class="faint">${row.sort}</span></td><td>${row.level ? html`<${Chip} s=${row.level} label=${row.what} />` : html`<${T} v=${row.what} />`}${row.result && html` <span class="faint"><${T} v=${line(row.result, 60)} /></span>`}</td>
      <td><${T} v=${row.by} /></td><td><${T} v=${row.of} /></td><td class="wide"><${Details} v=${row.details} /></td></tr>`)} />`)}<//>
    ${(nextEvents || nextAudit) && (shown.length < MOST ? html`<p><${Act} run=${more}>Older<//></p>` : html`<p class="faint">The newest ${MOST} are shown; the command below lists all.</p>`)}
    <${Same} cli=${show === 'audit' ? 'hivekeep get audit' : 'hivekeep log'} curl=${show === 'audit' ? `api/audit${query({ limit: 1000 })}` : `api/events${query({ limit: 1000 })}`} />`;
}

function Details({ v }) {
  if (v === null || v === undefined || json(v) === '{}') return null;
  const text = line(v, 90);
  return html`<details><summary class="faint mono"><${T} v=${text} /></summary><${Block} v=${v} label="details" /></details>`;
}
