// @ts-check
// The time bar: one slider over the restore points, for every screen.

import { useEffect, useMemo, useState } from './preact.js';
import { get, path, query } from './api.js';
import { setParams, useLoad, useHive } from './hooks.js';
import { A, html, plain, pointTitle, when } from './parts.js';
import { ago, clock, shown, utc } from './text.js';

/** The newest points, so many at a time. @param {boolean} all */
const address = (all) => `api/timeline/points${query({ limit: 60, all })}`;

/** The points that the slider knows, newest first; more of them on demand. @param {boolean} all */
export function usePoints(all) {
  const first = useLoad(address(all), { news: all ? 'any' : 'events' });
  const [older, setOlder] = useState({ points: [], next: undefined });
  useEffect(() => setOlder({ points: [], next: undefined }), [all]);
  const points = useMemo(() => {
    const known = new Map([...(first.data?.points ?? []), ...older.points].map((point) => [point.epoch, point]));
    return [...known.values()].sort((a, b) => b.epoch - a.epoch);
  }, [first.data, older]);
  const next = older.next === undefined ? first.data?.next : older.next;
  const more = async () => {
    if (!next) return;
    const page = await get(`${address(all)}&cursor=${next}`);
    setOlder((last) => ({ points: [...last.points, ...page.points], next: page.next }));
  };
  return { points, more: next ? more : null, loaded: first.data !== undefined };
}

/**
 * The point that the link names, in short.
 * @param {string} at @param {any[]} points
 */
export function usePoint(at, points) {
  const known = points.find((point) => point.point === at);
  const [found, setFound] = useState({});
  useEffect(() => {
    if (!at || known || found.at === at) return;
    get(`api/points/${path(at)}`).then(
      (point) => setFound({ at, point: { ...point, point: point.id ?? `epoch ${point.epoch}` } }),
      (error) => { if (error.status) setFound({ at, error }); },
    );
  }, [at, known]);
  const own = found.at === at ? found : {};
  return { point: at ? known ?? own.point ?? null : null, error: own.error };
}

/** Shows this point, or now. */
export const show = (point) => setParams({ at: point?.point ?? '', cursor: '' });

/** The step from the shown point to an older or newer one. @param {any[]} points @param {string} at @param {number} by */
export function step(points, at, by) {
  const here = at ? points.findIndex((point) => point.point === at) : -1;
  const next = here + by;
  if (next < 0) show(null);
  else if (points[next]) show(points[next]);
}

export function TimeBar({ points, more, error, all, setAll }) {
  const { at, point, now, me } = useHive();
  const [drag, setDrag] = useState(/** @type {number | null} */ (null));
  const oldest = points.length;
  const here = at ? points.findIndex((own) => own.point === at) : -1;
  const value = drag ?? (at && here < 0 ? 0 : oldest - 1 - here);
  const of = (index) => points[oldest - 1 - index];
  const named = (own) => (own ? `${shown(pointTitle(own))}, ${ago(own.timestamp, now)}, ${utc(own.timestamp)}` : 'now');
  const choose = (event) => {
    const index = Number(event.currentTarget.value);
    setDrag(null);
    if (index <= 2 && more) more();
    show(of(index));
  };
  const shownPoint = drag === null ? point : of(drag);
  return html`<section class=${at ? 'timebar is-past' : 'timebar'} aria-label="Time">
    <button class="small" title="The point before (key [)" aria-label="The point before" disabled=${oldest === 0 || here === oldest - 1} onClick=${() => step(points, at, 1)}>◀</button>
    <input type="range" min="0" max=${oldest} value=${value} disabled=${oldest === 0} aria-label="Restore point"
      aria-valuetext=${named(shownPoint)} onInput=${(event) => setDrag(Number(event.currentTarget.value))} onChange=${choose} />
    <button class="small" title="The point after (key ])" aria-label="The point after" disabled=${!at} onClick=${() => step(points, at, -1)}>▶</button>
    <p class="moment" aria-live="polite">${
      error ? html`<strong>That point is not kept any more.</strong>`
      : shownPoint ? html`as of <strong>${clock(shownPoint.timestamp, now)}</strong>, ${when(shownPoint.timestamp)}, <em>${plain(pointTitle(shownPoint))}</em>`
      : at ? 'as of a point…'
      : oldest === 0 ? html`<strong>Now.</strong> <span class="faint">No restore point yet.</span>`
      : html`<strong>Now.</strong> <span class="faint">Slide to any restore point.</span>`}</p>
    ${at && html`<span class="tools"><${A} class="button" to=${['compare', at, 'now']} params=${{ at: '' }}>Compare with now<//>
      ${me?.may.operator && html`<${A} class="button" to=${['restore', at]} params=${{ at: '' }}>Restore…<//>`}
      <button class="main" onClick=${() => show(null)}>Back to now</button></span>`}
    <label class="all"><input type="checkbox" checked=${all} onChange=${() => setAll(!all)} /> all points</label>
  </section>`;
}
