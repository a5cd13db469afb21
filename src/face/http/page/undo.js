// @ts-check
// The bar that stays after a restore, with one click back.

import { useEffect, useState } from './preact.js';
import { post } from './api.js';
import { useHive } from './hooks.js';
import { counted, html, plain } from './parts.js';

/** The last restore of this tab is kept here, so that its undo survives a reload. */
const KEPT = 'hivekeep restored';

export const sum = (counts) => ['added', 'changed', 'removed'].reduce((total, kind) => total + Number(counts[kind]), 0);
export const total = (plan) => Object.values(plan.collections).reduce((all, counts) => all + sum(counts), 0);

/** Whether a restore is refused because the state is another one than in its plan. */
export const hasMoved = (error) => error.status === 409 && error.hint.startsWith('plan it again');

/** Keeps a restore for the bar. @param {{records: number}} restored */
export function keep(restored) {
  sessionStorage.setItem(KEPT, JSON.stringify(restored));
  dispatchEvent(new Event(KEPT));
}

/** The bar that stays after a restore, with its undo. */
export function UndoBar() {
  const { writes, say, look } = useHive();
  const read = () => JSON.parse(sessionStorage.getItem(KEPT) ?? 'null');
  const [kept, setKept] = useState(read);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const again = () => { setKept(read()); setProblem(null); };
    addEventListener(KEPT, again);
    return () => removeEventListener(KEPT, again);
  }, []);
  if (!kept || !writes) return null;
  const close = () => { sessionStorage.removeItem(KEPT); setKept(null); setProblem(null); };
  const undo = (discard) => async () => {
    setBusy(true);
    try {
      const done = await post('api/undo', discard ? { discard } : {});
      close();
      say(`Undone: ${counted(total(done), 'record')} changed.`);
    } catch (error) {
      setProblem(error);
    } finally {
      setBusy(false);
      look();
    }
  };
  return html`<section class="undo" aria-label="Undo"><p>Restored ${counted(kept.records, 'record')}. <button class="main" disabled=${busy} onClick=${undo(false)}>Undo</button> <button class="small" onClick=${close}>Close</button></p>
    ${problem && html`<div class="note is-warn" role="alert"><p>${plain(problem.message)}</p>${problem.status === 409 && html`<button disabled=${busy} onClick=${undo(true)}>Undo anyway; a safety point keeps them</button>`}</div>`}</section>`;
}
