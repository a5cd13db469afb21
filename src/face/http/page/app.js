// @ts-check
// The frame around all screens: the band, the rail, the time bar, keys, messages, and the pulse that keeps it alive.

import { render, useEffect, useLayoutEffect, useMemo, useRef, useState } from './preact.js';
import { get, isExact, notAhead, post, Problem, remove } from './api.js';
import { ME, PULSE } from './first.js';
import { go, link, readRoute, Shared } from './hooks.js';
import { Act, Dialog, html, plain, Trouble } from './parts.js';
import { show, step, TimeBar, usePoint, usePoints } from './timebar.js';
import { Now } from './now.js';
import { UndoBar } from './undo.js';
import { same, utc } from './text.js';

/** How often the pulse is taken, in milliseconds: while the page is seen, and while it is hidden. */
const SEEN = 2000;
const HIDDEN = 30000;
/** The longest wait for a service that does not answer. */
const LONGEST = 30000;
/** A screen looks again after so long even if nothing has changed, because times pass. */
const ANYWAY = 60000;
/** A sample of the pulse is kept this often, for an hour. */
const SAMPLE = 20000;
/** Times that pass are shown anew so often. */
const TICK = 10000;
const HOUR = 3600000;

/** The rail: the name of each screen, its key behind `g`, and what loads it. @type {[string, string, string, () => any][]} */
const SCREENS = [
  ['now', 'Now', 'h', () => Now],
  ['timeline', 'Timeline', 't', async () => (await import('./timeline.js')).Timeline],
  ['queue', 'Queue', 'q', async () => (await import('./queue.js')).Queue],
  ['schedules', 'Schedules', 's', async () => (await import('./schedules.js')).Schedules],
  ['bots', 'Bots', 'b', async () => (await import('./bots.js')).Bots],
  ['data', 'Data', 'd', async () => (await import('./data.js')).Data],
  ['log', 'Log', 'l', async () => (await import('./log.js')).Log],
  ['health', 'Health', 'c', async () => (await import('./health.js')).Health],
];
/** Screens that others lead to. @type {[string, string, string, () => any][]} */
const OTHERS = [
  ['compare', 'Compare', '', async () => (await import('./compare.js')).Compare],
  ['restore', 'Restore', '', async () => (await import('./restore.js')).Restore],
];
/** The other screens are loaded so long after the first one, so that they open at once, and without the service too. */
const LATER = 1500;

const { name = '', colour = '' } = document.documentElement.dataset;

/** Follows the link. */
function useRoute() {
  const [route, setRoute] = useState(readRoute);
  useEffect(() => {
    const follow = () => setRoute(readRoute());
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  return route;
}

/** The component of a screen, once it is loaded. @param {string} name @param {boolean} alive whether the service has answered */
function useScreen(name, alive) {
  const own = [...SCREENS, ...OTHERS].find(([id]) => id === name);
  const [loaded, setLoaded] = useState(() => ({ now: Now }));
  const load = async ([id, , , from]) => {
    const screen = await from();
    setLoaded((last) => (last[id] === screen ? last : { ...last, [id]: screen }));
  };
  useEffect(() => {
    if (!own || loaded[name]) return undefined;
    let timer = 0;
    const again = () => load(own).catch(() => { timer = setTimeout(again, SEEN); });
    again();
    return () => clearTimeout(timer);
  }, [name]);
  useEffect(() => {
    if (!alive) return undefined;
    const timer = setTimeout(() => [...SCREENS, ...OTHERS].forEach((screen) => load(screen).catch(() => {})), LATER);
    return () => clearTimeout(timer);
  }, [alive]);
  return { title: own ? own[1] : 'Not found', isKnown: Boolean(own), Screen: loaded[name] };
}

/** Counts the reasons to look again: any, and those that concern the events and points, or the audit trail. */
function grown({ pulse: last, rounds }, pulse, isNews, late) {
  if (!last) return rounds;
  const differ = (...names) => Number(late || names.some((name) => last[name] !== pulse[name]));
  const { any, events, audit } = rounds;
  return { any: any + Number(isNews), events: events + differ('last_event', 'points'), audit: audit + differ('last_audit') };
}

/** Takes the pulse. @param {boolean} paused */
function usePulse(paused) {
  const [state, setState] = useState({ pulse: null, gone: null, refused: null, rounds: { any: 0, events: 0, audit: 0 }, offset: 0 });
  const [turn, setTurn] = useState(0);
  const samples = useRef([]);
  useLayoutEffect(() => {
    let wait = SEEN;
    let timer = 0;
    let ended = false;
    let looked = Date.now();
    const beat = async () => {
      try {
        const pulse = await get(PULSE);
        if (ended) return;
        wait = SEEN;
        const at = Date.parse(pulse.timestamp);
        const last = samples.current[samples.current.length - 1];
        if (!last || at - Date.parse(last.timestamp) >= SAMPLE) {
          const tasks = last && same(last.tasks, pulse.tasks) ? last.tasks : pulse.tasks;
          samples.current = [...samples.current, { timestamp: pulse.timestamp, tasks }].filter((sample) => at - Date.parse(sample.timestamp) < HOUR);
        }
        const late = Date.now() - looked >= ANYWAY;
        setState((own) => {
          if (paused && own.pulse && !own.gone) return own;
          // A task whose time has come is in another state without a commit.
          const isLate = late && !document.hidden;
          const isNews = own.pulse?.state !== pulse.state || !same(own.pulse.tasks, pulse.tasks) || own.gone || isLate;
          const offset = at - Date.now();
          // The first answer may have waited for the files of the page.
          if (!isNews && !own.refused && own.pulse.crash === pulse.crash && Math.abs(offset - own.offset) < 1000) return own;
          if (isNews) looked = Date.now();
          return { pulse, gone: null, refused: null, rounds: grown(own, pulse, isNews, isLate), offset };
        });
      } catch (error) {
        if (ended) return;
        const status = error instanceof Problem ? error.status : 0;
        const isRefused = [401, 403, 421].includes(status);
        setState((own) => (isRefused ? { ...own, refused: error, gone: null } : { ...own, gone: own.gone ?? { since: Date.now(), error } }));
        if (isRefused) return;
        wait = Math.min(wait * 2, LONGEST);
      }
      timer = setTimeout(beat, document.hidden ? Math.max(wait, HIDDEN) : wait);
    };
    const seen = () => { if (!document.hidden) { clearTimeout(timer); beat(); } };
    beat();
    document.addEventListener('visibilitychange', seen);
    return () => { ended = true; clearTimeout(timer); document.removeEventListener('visibilitychange', seen); };
  }, [turn, paused]);
  const look = () => {
    setState((own) => ({ ...own, rounds: { any: own.rounds.any + 1, events: own.rounds.events + 1, audit: own.rounds.audit + 1 } }));
    setTurn((last) => last + 1);
  };
  return { ...state, samples: samples.current, look };
}

/** The caller, with what they may do; again once somebody else may ask. @param {boolean} isOut @param {boolean} alive */
function useMe(isOut, alive) {
  const [me, setMe] = useState(null);
  const asks = useRef(false);
  useLayoutEffect(() => {
    if (isOut) setMe(null);
    else if (!asks.current) get(ME).then(setMe, () => { asks.current = false; });
    asks.current = !isOut;
  }, [isOut, alive]);
  return me;
}

/** The time of the store's clock, to the second, a few times a minute. @param {number} offset */
function useClock(offset) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) tick((last) => last + 1); }, TICK);
    return () => clearInterval(timer);
  }, []);
  return Math.floor((Date.now() + offset) / 1000) * 1000;
}

/** Messages that answer an action. The bad ones stay until they are closed. */
function useMessages() {
  const [messages, setMessages] = useState([]);
  const close = (own) => setMessages((all) => all.filter((one) => one !== own));
  const say = (text, kind = 'ok') => {
    const own = { text, kind };
    setMessages((all) => [...all.slice(-2), own]);
    if (kind === 'ok') setTimeout(() => close(own), 5000);
  };
  return { messages, say, close };
}

/** Keys move the view. No key changes anything in the store. */
function useKeys(does) {
  const latest = useRef(does);
  latest.current = does;
  useEffect(() => {
    let before = '';
    const press = (event) => {
      const target = /** @type {HTMLElement} */ (event.target);
      const types = target.closest('input:not([type=range]):not([type=checkbox]), textarea, select, dialog');
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === 'Escape' && types) target.blur();
      if (types) return;
      const name = before === 'g' ? `g${event.key}` : event.key;
      before = event.key;
      if (latest.current(name)) event.preventDefault();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
}

/** Moves the focus along the rows of the first table. @param {number} by */
function moveRow(by) {
  const rows = [...document.querySelectorAll('main tbody tr')].map((row) => /** @type {HTMLElement | null} */ (row.querySelector('a, button'))).filter(Boolean);
  const here = rows.findIndex((row) => row === document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, here < 0 ? (by > 0 ? 0 : rows.length - 1) : here + by))]?.focus();
}

const KEYS = [['?', 'show these keys'], ['g, then h t q s b d l c', 'Now, Timeline, Queue, Schedules, Bots, Data, Log, Health'], ['/', 'go to the filter'], ['j k', 'next row, row before'], ['[ ]', 'the point before, the point after'], ['n', 'now'], ['p', 'pause: nothing on the screen moves'], ['u', 'times in UTC, or how long ago']];

const Keys = ({ onClose }) => html`<${Dialog} title="Keys" onClose=${onClose}><dl class="keys">${KEYS.map(([key, does]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}</dl><p class="faint">No key changes anything in the store.</p><//>`;

function App() {
  const route = useRoute();
  const [paused, setPaused] = useState(false);
  const [utcOnly, setUtcOnly] = useState(false);
  const [all, setAll] = useState(false);
  const [help, setHelp] = useState(false);
  const pulse = usePulse(paused);
  const now = useClock(pulse.offset);
  const me = useMe(Boolean(pulse.refused), Boolean(pulse.pulse));
  const { messages, say, close } = useMessages();
  const at = route.params.at ?? '';
  const screen = route.path[0] ?? 'now';
  const { title, isKnown, Screen } = useScreen(screen, Boolean(pulse.pulse));
  const hive = useMemo(() => ({
    route, at, pulse: pulse.pulse, gone: Boolean(pulse.gone), now, rounds: pulse.rounds, samples: pulse.samples, look: pulse.look, say, utcOnly, me, writes: Boolean(!at && !pulse.gone && me?.may.operator),
  }), [route, at, pulse, now, utcOnly, me]);
  useEffect(() => { document.title = [name, title, 'Hivekeep'].filter(Boolean).join(' · '); }, [title]);
  const main = useRef(null);
  const path = route.path.join('/');
  const first = useRef(true);
  useEffect(() => {
    if (!first.current) { main.current?.focus({ preventScroll: true }); scrollTo(0, 0); }
    first.current = false;
  }, [path]);
  return html`<${Shared.Provider} value=${hive}>
    ${name && html`<header class=${`band colour-${colour || 'grey'}`}>${plain(name)}</header>`}
    <div class=${pulse.gone ? 'frame is-gone' : 'frame'}>
      <nav class="rail" aria-label="Screens"><a class="skip" href=${link(route.path, route.params)} onClick=${(event) => { event.preventDefault(); main.current?.focus(); }}>To the content</a><a class="logo" href=${link(['now'])}><svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true"><path d="M16 1.5 28.6 8.7v14.6L16 30.5 3.4 23.3V8.7z" /></svg> Hivekeep</a>
        <ul>${SCREENS.map(([id, label]) => html`<li><a href=${link([id])} aria-current=${id === screen ? 'page' : null}>${label}</a></li>`)}</ul>
        <div class="rail-end"><button class="small" aria-pressed=${paused} onClick=${() => setPaused(!paused)}>${paused ? 'Go on' : 'Pause'}</button>
          <button class="small" onClick=${() => setHelp(true)}>Keys</button></div>
        ${me?.key && html`<p class="who">${plain(me.key)} <span class="faint">${me.role}</span> <${Act} kind="small" run=${async () => { await remove('api/session'); pulse.look(); }}>Sign out<//></p>`}</nav>
      ${pulse.refused ? html`<main ref=${main} tabindex="-1"><${SignIn} problem=${pulse.refused} again=${pulse.look} /></main>` : html`<${Inside} ...${{ hive, all, setAll, gone: pulse.gone, paused, main, setPaused, setHelp, setUtcOnly }}>
        ${Screen ? html`<${Screen} key=${screen} />` : isKnown ? html`<p class="faint wait" role="status">Loading…</p>` : html`<h1>Not found</h1><p>There is no such screen. <a href=${link(['now'])}>To Now</a></p>`}<//>`}
    </div>
    <div class="messages" role="status" aria-live="polite">${messages.map((own) => html`<p class=${`message is-${own.kind}`}>${plain(own.text)} <button class="small" onClick=${() => close(own)}>Close</button></p>`)}</div>
    ${help && html`<${Keys} onClose=${() => setHelp(false)} />`}
  <//>`;
}

/** All that needs the points: the time bar, the keys for it, and the screen. */
function Inside({ hive, all, setAll, gone, paused, main, setPaused, setHelp, setUtcOnly, children }) {
  const { points, more } = usePoints(all);
  const { point, error } = usePoint(hive.at, points);
  useKeys((key) => {
    const screen = SCREENS.find(([, , letter]) => key === `g${letter}`);
    if (screen) go([screen[0]]);
    else if (key === '?') setHelp(true);
    else if (key === '/') /** @type {HTMLElement | null} */ (document.querySelector('[data-filter]'))?.focus();
    else if (key === 'j' || key === 'k') moveRow(key === 'j' ? 1 : -1);
    else if (key === '[' || key === ']') step(points, hive.at, key === '[' ? 1 : -1);
    else if (key === 'n') show(null);
    else if (key === 'p') setPaused(!paused);
    else if (key === 'u') setUtcOnly((last) => !last);
    else return false;
    return true;
  });
  const shared = useMemo(() => ({ ...hive, point }), [hive, point]);
  return html`<${Shared.Provider} value=${shared}><div class="page">
    ${gone && html`<p class="note is-bad gone" role="alert"><strong>${gone.error.status ? plain(gone.error.message) : 'The service does not answer'}</strong> since ${utc(new Date(gone.since).toISOString())}. This is the last state that was seen; trying again.</p>`}
    ${!isExact && html`<p class="note is-warn">This browser rounds large numbers; a newer one shows them exactly.</p>`}
    ${paused && html`<p class="note is-warn" role="status">Paused: the screen shows what it showed. <button class="small" onClick=${() => setPaused(false)}>Go on</button></p>`}
    <${TimeBar} points=${points} more=${more} error=${error} all=${all} setAll=${setAll} />
    <${UndoBar} />
    <main ref=${main} tabindex="-1" class=${hive.at ? 'is-past' : ''}>${children}</main></div><//>`;
}

function SignIn({ problem, again }) {
  const [key, setKey] = useState('');
  const [wrong, setWrong] = useState(null);
  const [can, setCan] = useState(null);
  // A service that has no sessions refuses the question for want of a key, and one that has them for want of the field.
  useEffect(() => { post('api/session').catch((error) => setCan(error.status !== 401)); }, []);
  const enter = async (event) => {
    event.preventDefault();
    try {
      await post('api/session', { key: key.trim() });
      again();
    } catch (error) {
      setWrong(error);
    }
  };
  if (problem.status !== 401) return html`<div class="empty"><h1>The service refused this page</h1><p>${plain(problem.message)}</p><button onClick=${again}>Try again</button></div>`;
  if (!can) return html`<div class="empty"><h1>This service asks for a key</h1>${can === false && html`<p>Its page cannot sign in. Use the command line, or send the key with each request: <code>curl -H "Authorization: Bearer KEY"</code>.</p>`}<button onClick=${again}>Try again</button></div>`;
  return html`<div class="empty"><h1>Sign in</h1><p>This service asks for a key, or for its token. The page does not keep it: it is changed into a session of twelve hours.</p>
    <form class="inline" onSubmit=${enter}><input type="password" aria-label="Key" placeholder="hk_NAME_SECRET" autocomplete="off" value=${key} onInput=${(event) => setKey(event.currentTarget.value)} /><button class="main" disabled=${!key.trim()}>Sign in</button></form>
    <${Trouble} problem=${wrong} /><p class="faint">An admin makes one: <code>hivekeep key add NAME --role reader</code></p></div>`;
}

render(html`<${App} />`, document.body);
notAhead();
