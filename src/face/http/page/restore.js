// @ts-check
// Restore: a plan in sentences, a typed number, and a way back that stays in sight.

import { useEffect, useState } from './preact.js';
import { path, post } from './api.js';
import { setParams, useHive, useLoad } from './hooks.js';
import { A, counted, Head, html, listed, Loaded, plain, Same, toBot, Typed, When, when } from './parts.js';
import { n, quoted, same } from './text.js';
import { hasMoved, keep as remember, sum, total } from './undo.js';

/** One line for each collection: what the restore does to it. */
function sentences(plan) {
  return Object.entries(plan.collections).map(([name, counts]) => {
    const parts = [
      Number(counts.added) && `${counted(counts.added, 'record')} return${String(counts.added) === '1' ? 's' : ''}`,
      Number(counts.changed) && `${counted(counts.changed, 'record')} ${String(counts.changed) === '1' ? 'goes' : 'go'} back to the earlier value`,
      Number(counts.removed) && `${counted(counts.removed, 'record')} that came later ${String(counts.removed) === '1' ? 'is' : 'are'} removed`,
    ];
    return { name, text: parts.filter(Boolean).join(', ') };
  });
}

export function Restore() {
  const { me } = useHive();
  if (!me) return html`<${Head} title="Restore" /><p class="faint wait" role="status">Loading…</p>`;
  if (me.may.operator) return html`<${Planning} />`;
  return html`<${Head} title="Restore" /><p>A restore needs the role operator; this is the role ${me.role}.</p>`;
}

function Planning() {
  const { route, writes } = useHive();
  const id = route.path[1] ?? 'latest';
  const { only = '', key = '', keep = '' } = route.params;
  const chosen = only ? only.split(',') : [];
  const options = { only: chosen, ...(key ? { key } : {}), keep_finished: keep === 'true' };
  const [plan, setPlan] = useState({});
  const [moved, setMoved] = useState(null);
  const [whole, setWhole] = useState(null);
  const [report, setReport] = useState(null);
  const [anyway, setAnyway] = useState(false);
  const address = `api/points/${path(id)}/restore`;
  const run = async () => {
    try {
      const done = await post(address, anyway ? options : { ...options, expect: plan.data.state });
      remember({ records: total(done) });
      setReport(done);
    } catch (error) {
      if (!hasMoved(error)) throw error;
      setMoved(plan.data);
      await look();
    }
  };
  const look = async () => {
    try {
      const found = await post(address, { ...options, dry_run: true });
      setPlan({ data: found });
      if (!only && !key) setWhole(found);
      return found;
    } catch (error) {
      setPlan({ error });
      return null;
    }
  };
  useEffect(() => { setPlan({}); setMoved(null); setReport(null); look(); }, [id, only, key, keep]);
  useEffect(() => { if (only && !key && !whole) post(address, { dry_run: true, keep_finished: keep === 'true' }).then(setWhole, () => {}); }, [id, only]);
  const cli = `hivekeep restore ${quoted(id)}${only ? ` --only ${quoted(only)}` : ''}${key ? ` --key ${quoted(key)}` : ''}${keep ? ' --keep-finished' : ''}`;
  return html`<${Head} title="Restore" />
    ${report ? html`<${Report} report=${report} />` : html`<${Loaded} of=${{ ...plan, again: look }}>${(data) => html`
      <p>Back to the point made <${When} t=${data.point.timestamp} exact=${true} /> (${when(data.point.timestamp)})${data.point.description && html`: <em>${plain(data.point.description)}</em>`}.</p>
      ${key ? html`<p>Only the record <strong>${plain(`${only}/${key}`)}</strong>. <button class="small" onClick=${() => setParams({ only: '', key: '' })}>Restore everything instead</button></p>`
      : html`<${Scope} whole=${whole ?? data} chosen=${chosen} />`}
      ${(Number(data.tasks_run_again) > 0 || Number(data.tasks_forgotten) > 0 || keep) && html`<label class="all"><input type="checkbox" checked=${Boolean(keep)} onChange=${() => setParams({ keep: keep ? '' : 'true' })} /> keep finished tasks finished</label>`}
      <${Plan} plan=${data} moved=${moved} />
      ${writes && total(data) > 0 && html`${moved && html`<label class="all"><input type="checkbox" checked=${anyway} onChange=${() => setAnyway(!anyway)} /> restore whatever changes meanwhile</label>`}
      <${Typed} key=${data.state} text=${String(total(data))} inputmode="numeric" label=${html`Type the number of records, <strong>${n(total(data))}</strong>, to restore them:`} run=${run}>Restore ${counted(total(data), 'record')}<//>`}`}<//>`}
    <${Same} cli=${`${cli} --dry-run`} method="POST" curl=${address} body=${JSON.stringify({ ...options, dry_run: true })} />`;
}

/** Which collections. */
function Scope({ whole, chosen }) {
  const names = Object.keys(whole.collections);
  if (names.length < 2) return null;
  const set = (name) => {
    const next = (chosen.length ? chosen : names).includes(name) ? (chosen.length ? chosen : names).filter((own) => own !== name) : [...chosen, name];
    if (next.length) setParams({ only: next.length === names.length ? '' : next.join(',') });
  };
  return html`<fieldset class="scope"><legend>Restore</legend>${names.map((name) => html`<label><input type="checkbox" checked=${!chosen.length || chosen.includes(name)} onChange=${() => set(name)} /> ${plain(name)} <span class="faint">${n(sum(whole.collections[name]))}</span></label>`)}</fieldset>`;
}

/** The plan in sentences. */
function Plan({ plan, moved }) {
  const { pulse } = useHive();
  const inQueue = 'queue' in plan.collections;
  const claims = useLoad(inQueue ? 'api/queue?state=claimed&limit=100&preview=1' : '');
  const bots = [...new Set((claims.data?.tasks ?? []).map((task) => task.holder.bot))];
  if (total(plan) === 0) {
    return html`<section class="card"><h2>Nothing differs</h2><p>The state is already as it was at this point.${plan.earlier && html` An earlier point differs: <${A} to=${['restore', plan.earlier.point]}>made ${when(plan.earlier.timestamp)}<//>.`}</p></section>`;
  }
  return html`<section class="card" aria-label="Plan" aria-live="polite"><h2>The plan</h2>
    ${moved && html`<p class="note is-warn" role="alert">The state has changed since the plan before. This is the new plan${same(moved.collections, plan.collections) ? '; its numbers are the same' : ''}.</p>`}
    <ul class="plan">${sentences(plan).map(({ name, text }) => html`<li><strong>${plain(name)}:</strong> ${text}.${moved && !same(moved.collections[name], plan.collections[name]) && html` <span class="faint">(before: ${moved.collections[name] ? sentences({ collections: { [name]: moved.collections[name] } })[0].text : 'nothing'})</span>`}</li>`)}
      ${Number(plan.tasks_run_again) > 0 && html`<li class="is-warn">${plan.keep_finished ? `${counted(plan.tasks_run_again, 'finished task')} would run again; kept finished.` : `${counted(plan.tasks_run_again, 'finished task')} would run again.`}</li>`}
      ${Number(plan.tasks_forgotten) > 0 && html`<li class="is-warn">${counted(plan.tasks_forgotten, 'task')} pushed and finished since ${plan.keep_finished ? 'stay' : 'would be forgotten'}.</li>`}
      ${bots.length > 0 && html`<li class="is-warn">At work now: ${listed(bots.slice(0, 10), toBot)}${bots.length > 10 && ` and ${bots.length - 10} more`}, with ${counted(pulse?.tasks.claimed ?? 0, 'claim')}. Claims of tasks that go back are void: their tokens are refused, and the tasks are ready again.</li>`}
      <li>A safety point keeps all that is lost by this, and one click undoes it.</li></ul>
    <p><${A} to=${['compare', plan.point.id ?? `epoch ${plan.point.epoch}`, 'now']} params=${{ at: '' }}>See each record that differs<//></p></section>`;
}

function Report({ report }) {
  return html`<section class="card"><h2>Restored ${counted(total(report), 'record')}</h2>
    <ul class="plan">${Object.entries(report.collections).map(([name, counts]) => html`<li><strong>${plain(name)}:</strong> ${counted(sum(counts), 'record')}</li>`)}
      ${Number(report.claims_returned) > 0 && html`<li>${counted(report.claims_returned, 'claim')} returned to ready; their tokens are void.</li>`}
      <li>Every record that it read or wrote was verified, and the digests match the point's.</li></ul>
    <p><${A} to=${['now']}>To Now<//></p></section>`;
}
