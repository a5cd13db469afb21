// @ts-check
// How screens get what they show: by the address in the link, at the chosen point, again when the store has changed.

import { createContext, useContext, useEffect, useLayoutEffect, useRef, useState } from './preact.js';
import { get, Problem, query } from './api.js';

/**
 * @typedef {{path: string[], params: Record<string, string>}} Route
 * @typedef {object} Hive
 * @property {Route} route the screen
 * @property {string} at the point that is shown; empty for now
 * @property {any} point that point in short, once it is known
 * @property {any} pulse the last pulse
 * @property {boolean} gone whether the service does not answer
 * @property {number} now the time of the store's clock
 * @property {boolean} utcOnly whether times are shown in UTC, not as how long ago
 * @property {any} me who asks, and what they may do
 * @property {boolean} writes whether this person may change something now
 * @property {any[]} samples the numbers of tasks in the last hour
 * @property {{any: number, events: number, audit: number}} rounds grow with each reason to look again
 * @property {() => void} look looks again at once
 * @property {(text: string, kind?: string) => void} say shows a message
 */

/** @type {any} */
export const Shared = createContext(null);

/** @returns {Hive} */
export const useHive = () => useContext(Shared);

/** Reads the address: `#/queue/task-1?state=dead`. @returns {Route} */
export function readRoute() {
  const [path, search = ''] = location.hash.replace(/^#\/?/, '').split('?', 2);
  const safe = (text) => {
    try { return decodeURIComponent(text); } catch { return text; }
  };
  const params = Object.fromEntries(search.split('&').filter(Boolean).map((pair) => {
    const [name, ...value] = pair.split('=');
    return [safe(name), safe(value.join('='))];
  }));
  return { path: path.split('/').filter(Boolean).map(safe), params };
}

/**
 * The link to a screen. It keeps the point that is shown unless it names another one.
 * @param {any[]} path @param {Record<string, any>} [params]
 */
export function link(path, params = {}) {
  const { at } = readRoute().params;
  return `#/${path.map((part) => encodeURIComponent(String(part))).join('/')}${query(at === undefined ? params : { at, ...params })}`;
}

/** @param {any[]} path @param {Record<string, any>} [params] */
export function go(path, params) { location.hash = link(path, params); }

/** Changes parameters of this screen in the link. @param {Record<string, any>} params @param {boolean} [replace] */
export function setParams(params, replace = false) {
  const route = readRoute();
  const hash = `#/${route.path.map(encodeURIComponent).join('/')}${query({ ...route.params, ...params })}`;
  if (replace) {
    history.replaceState(null, '', hash);
    dispatchEvent(new HashChangeEvent('hashchange'));
  } else {
    location.hash = hash;
  }
}

/**
 * Loads an address, and again when the store has changed. Until the next answer it gives the last one of this address.
 * @param {string} address empty loads nothing
 * @param {{also?: number[], once?: boolean, every?: number, news?: 'any' | 'events' | 'audit'}} [options] `once` does not follow
 * the store, `news` are the only ones that concern it
 */
export function useLoad(address, { also, once = false, every = 0, news = 'any' } = {}) {
  const { rounds, gone } = useHive();
  const [found, setFound] = useState({});
  const [turn, setTurn] = useState(0);
  // After a failure every reason to look again is one.
  const is = once ? 0 : rounds[found.error ? 'any' : news];
  // Before the paint: it asks while the browser draws.
  useLayoutEffect(() => {
    if (!address) return undefined;
    const abort = new AbortController();
    get(address, { signal: abort.signal, also }).then(
      (data) => { if (!abort.signal.aborted) setFound({ address, data }); },
      (error) => {
        if (abort.signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem(0, 'failed', String(error));
        setFound((last) => {
          // The last answer stays, so that a break of the service leaves no empty page.
          const stays = problem.status === 0 && last.address === address;
          return stays ? last : { address, error: problem };
        });
      },
    );
    return () => abort.abort();
  }, [address, is, turn, gone]);
  useEffect(() => {
    if (!every) return undefined;
    const timer = setInterval(() => { if (!document.hidden) setTurn((last) => last + 1); }, every);
    return () => clearInterval(timer);
  }, [every]);
  const own = found.address === address ? found : {};
  return { data: own.data, error: own.error, again: () => setTurn((last) => last + 1) };
}

/**
 * A list that does not move while somebody works in it: the newer one waits until it is asked for.
 * @param {any} items the newest list, or undefined @param {string} of which list it is
 */
export function useCalm(items, of) {
  const box = useRef(null);
  const [kept, setKept] = useState({});
  const isBusy = () => {
    const own = box.current;
    const chosen = document.getSelection();
    const selects = chosen && !chosen.isCollapsed && own?.contains(chosen.anchorNode);
    return Boolean(own?.contains(document.activeElement) || selects);
  };
  const stays = kept.of === of && kept.items !== items && kept.items && items && isBusy();
  useEffect(() => { if (items && !stays) setKept({ of, items }); }, [items, of, stays]);
  const show = () => setKept({ of, items });
  const now = stays ? kept.items : items ?? (kept.of === of ? kept.items : undefined);
  return { box, items: now, waits: stays ? items : null, show };
}
