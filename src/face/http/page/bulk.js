// @ts-check
// Changes of all tasks of a filter: how many there are, and a job that outlives this tab and can be taken back.

import { useEffect, useState } from './preact.js';
import { get, path, post, query } from './api.js';
import { go, useHive, useLoad } from './hooks.js';
import { A, Act, Chip, counted, Dialog, html, plain, Trouble, Typed, when } from './parts.js';
import { n } from './text.js';
import { hasMoved, keep, total } from './undo.js';

/** The actions: the name of each, what was done, and the states of the tasks. */
const ACTIONS = {
  requeue: ['Requeue', 'requeued', 'failed dead cancelled'],
  cancel: ['Cancel', 'cancelled', 'scheduled waiting ready claimed'],
  purge: ['Remove', 'removed', 'done failed dead cancelled'],
};
/** The states in which an action leaves its tasks. It is undone at once while all that differ are such. */
const LEFT = { requeue: 'ready waiting', cancel: 'cancelled' };
/** Between two looks at a job that runs, in milliseconds. */
const LOOK = 1000;
/** An ended job is shown for so long. */
const HOUR = 3600000;
/** The job that was closed in this tab is kept here, so that it stays closed after a reload. */
const CLOSED = 'hivekeep closed job';

/** The buttons for all tasks of the list, and the last job. @param {{params: any, some: boolean}} props the filter, and whether a task fits */
export function Bulk({ params, some }) {
  const { writes, now } = useHive();
  const [busy, setBusy] = useState(false);
  const [action, setAction] = useState('');
  const jobs = useLoad('api/bulk', { every: busy ? LOOK : 0 });
  const job = jobs.data?.jobs[0];
  const runs = job?.state === 'running';
  useEffect(() => setBusy(runs), [runs]);
  const states = (own) => ACTIONS[own][2].split(' ');
  const fits = Object.keys(ACTIONS).filter((own) => !params.state || states(own).includes(params.state));
  return html`${job && (runs || now - Date.parse(job.ended_at) < HOUR) && job.id !== sessionStorage.getItem(CLOSED) && html`<${Job} own=${job} close=${() => { sessionStorage.setItem(CLOSED, job.id); jobs.again(); }} again=${jobs.again} />`}
    ${writes && some && !runs && html`<p class="bulk">All of them, on every page: ${fits.map((own) => html`<button class="small" onClick=${() => setAction(own)}>${ACTIONS[own][0]}…</button> `)}</p>`}
    ${action && html`<${Ask} action=${action} params=${params} onClose=${() => setAction('')} begun=${jobs.again} />`}`;
}

/** @param {string} action */
const asked = (params, action, more) => {
  const set = Object.entries(params).filter(([, value]) => value);
  return post('api/bulk', { ...Object.fromEntries(set), all: !set.length, action, ...more });
};

/** Counts the tasks, and asks for their number. */
function Ask({ action, params, onClose, begun }) {
  const [plan, setPlan] = useState({});
  const [moved, setMoved] = useState('');
  const [name, done, states] = ACTIONS[action];
  const count = () => asked(params, action, { dry_run: true }).then((data) => setPlan({ data }), (error) => setPlan({ error }));
  useEffect(() => { count(); }, []);
  const run = async () => {
    try {
      await asked(params, action, { at_most: Number(plan.data.fits) });
    } catch (error) {
      if (!error.message.startsWith('more tasks fit')) throw error;
      setMoved(plan.data.fits);
      await count();
      return;
    }
    onClose();
    begun();
  };
  const fits = plan.data?.fits;
  return html`<${Dialog} title=${`${name} all tasks of this list?`} onClose=${onClose}><${Trouble} problem=${plan.error} />
    ${!plan.error && fits === undefined && html`<p class="faint" role="status">Counting…</p>`}
    ${fits !== undefined && (String(fits) === '0' ? html`<p>None of them is ${states.replaceAll(' ', ', ')}; there is nothing to do.</p>`
    : html`${moved && html`<p class="note is-warn" role="alert">Nothing was changed: it was ${n(moved)}, and more tasks fit now.</p>`}<p><strong>${counted(fits, 'task')}</strong> would be ${done}: those that are ${(params.state || states).replaceAll(' ', ', ')}${Object.keys(params).some((own) => own !== 'state' && params[own]) && ', and fit the filter'}.</p>
      <p>A restore point is made first, so this can be taken back. It goes on in the service if you close this page.</p>
      <${Typed} key=${fits} text=${String(fits)} inputmode="numeric" label=${html`Type the number of tasks, <strong>${n(fits)}</strong>:`} run=${run}>${name} ${counted(fits, 'task')}<//>`)}<//>`;
}

const SIGNS = { running: 'claimed', done: 'ok', stopped: 'warn', failed: 'bad' };

function Job({ own, close, again }) {
  const { writes } = useHive();
  const [name, done] = ACTIONS[own.action];
  const runs = own.state === 'running';
  const seen = Number(own.changed) + Number(own.passed);
  const stop = async () => { await post(`api/bulk/${path(own.id)}/stop`); again(); };
  const isUntouched = async () => {
    const { changes, next } = await get(`api/points/${path(own.point)}/diff${query({ collection: 'queue', limit: 1000, preview: 2000 })}`);
    return !next && changes.length === Number(own.changed) && changes.every(({ after }) => (after ? LEFT[own.action]?.includes(after.state) : own.action === 'purge'));
  };
  const undo = async () => {
    const address = `api/points/${path(own.point)}/restore`;
    const plan = await post(address, { only: ['queue'], dry_run: true });
    const done = await isUntouched() && await post(address, { only: ['queue'], expect: plan.state }).catch((error) => { if (!hasMoved(error)) throw error; });
    if (!done) {
      go(['restore', own.point], { only: 'queue', at: '' });
      return 'The queue has changed since: this is the plan of all that goes back.';
    }
    keep({ records: total(done) });
    return close();
  };
  return html`<section class="card bulk-job" aria-label="Change of many tasks"><p role="status"><${Chip} s=${SIGNS[own.state]} label=${own.state} /> ${runs ? html`${name}: ${n(seen)} of ${counted(own.fits, 'task')} <progress max=${Number(own.fits) || 1} value=${seen} aria-label="Changed tasks"></progress>`
    : html`<strong>${counted(own.changed, 'task')} ${done}</strong>${Number(own.passed) > 0 && `; ${n(own.passed)} stayed as before`}, ${when(own.ended_at)}`}${own.by && html` <span class="faint">by ${plain(own.by)}</span>`}</p>
    ${own.error && html`<p class="bad">${plain(own.error)}</p>`}
    <p>${runs && writes && html`<${Act} run=${stop}>Stop<//> `}${!runs && Number(own.changed) > 0 && writes && html`<${Act} kind="main" run=${undo}>Undo<//> `}
      <${A} class="button" to=${['compare', own.point, 'now']} params=${{ only: 'queue', at: '' }}>Changes<//> ${!runs && html`<button class="small" onClick=${close}>Close</button>`}</p></section>`;
}
