// @ts-check
// Restore: a plan in sentences, a typed number, and a way back that stays in sight.

import { useEffect, useState } from './preact.js';
import { html } from './html.js';
import { path, post, Problem } from './api.js';
import { setParams, useHive, useLoad } from './hooks.js';
import { A, BotLink, counted, Head, Loaded, Same, T, Trouble, When } from './parts.js';
import { n, quoted, same } from './text.js';
import { keep as remember, sum, total } from './undo.js';

/** One line for each collection: what the restore does to it. @param {any} plan */
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
  const address = `api/points/${path(id)}/restore`;
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
      <p>Back to the point made <${When} t=${data.point.timestamp} exact=${true} /> (<${When} t=${data.point.timestamp} />)${data.point.description && html`: <em><${T} v=${data.point.description} /></em>`}.</p>
      ${key ? html`<p>Only the record <strong><${T} v=${`${only}/${key}`} /></strong>. <button class="small" onClick=${() => setParams({ only: '', key: '' })}>Restore everything instead</button></p>`
      : html`<${Scope} whole=${whole ?? data} chosen=${chosen} />`}
      ${(Number(data.tasks_run_again) > 0 || Number(data.tasks_forgotten) > 0 || keep) && html`<label class="all"><input type="checkbox" checked=${Boolean(keep)} onChange=${() => setParams({ keep: keep ? '' : 'true' })} /> keep finished tasks finished</label>`}
      <${Plan} plan=${data} moved=${moved} />
      ${writes && total(data) > 0 && html`<${Apply} key=${data.state} plan=${data} run=${async (anyway) => {
    try {
      const done = await post(address, anyway ? options : { ...options, expect: data.state });
      remember({ records: total(done) });
      setReport(done);
      return null;
    } catch (error) {
      if (error instanceof Problem && error.status === 409 && error.hint.startsWith('plan it again')) {
        setMoved(data);
        await look();
        return null;
      }
      return error;
    }
  }} moved=${moved} />`}`}<//>`}
    <${Same} cli=${`${cli} --dry-run`} method="POST" curl=${address} body=${JSON.stringify({ ...options, dry_run: true })} />`;
}

/** Which collections. @param {any} props */
function Scope({ whole, chosen }) {
  const names = Object.keys(whole.collections);
  if (names.length < 2) return null;
  const set = (name) => {
    const next = (chosen.length ? chosen : names).includes(name) ? (chosen.length ? chosen : names).filter((own) => own !== name) : [...chosen, name];
    if (next.length) setParams({ only: next.length === names.length ? '' : next.join(',') });
  };
  return html`<fieldset class="scope"><legend>Restore</legend>${names.map((name) => html`<label><input type="checkbox" checked=${!chosen.length || chosen.includes(name)} onChange=${() => set(name)} /> <${T} v=${name} /> <span class="faint">${n(sum(whole.collections[name]))}</span></label>`)}</fieldset>`;
}

/** The plan in sentences. @param {any} props */
function Plan({ plan, moved }) {
  const { pulse } = useHive();
  const inQueue = 'queue' in plan.collections;
  const claims = useLoad(inQueue ? 'api/queue?state=claimed&limit=100&preview=1' : '');
  const bots = [...new Set((claims.data?.tasks ?? []).map((task) => task.holder.bot))];
  if (total(plan) === 0) {
    return html`<section class="card"><h2>Nothing differs</h2><p>The state is already as it was at this point.${plan.earlier && html` An earlier point differs: <${A} to=${['restore', plan.earlier.point]}>made <${When} t=${plan.earlier.timestamp} /><//>.`}</p></section>`;
  }
  return html`<section class="card" aria-label="Plan" aria-live="polite"><h2>The plan</h2>
    ${moved && html`<p class="note is-warn" role="alert">The state has changed since the plan before. This is the new plan${same(moved.collections, plan.collections) ? '; its numbers are the same' : ''}.</p>`}
    <ul class="plan">${sentences(plan).map(({ name, text }) => html`<li><strong><${T} v=${name} />:</strong> ${text}.${moved && !same(moved.collections[name], plan.collections[name]) && html` <span class="faint">(before: ${moved.collections[name] ? sentences({ collections: { [name]: moved.collections[name] } })[0].text : 'nothing'})</span>`}</li>`)}
      ${Number(plan.tasks_run_again) > 0 && html`<li class="is-warn">${plan.keep_finished ? `${counted(plan.tasks_run_again, 'finished task')} would run again; kept finished.` : `${counted(plan.tasks_run_again, 'finished task')} would run again.`}</li>`}
      ${Number(plan.tasks_forgotten) > 0 && html`<li class="is-warn">${counted(plan.tasks_forgotten, 'task')} pushed and finished since ${plan.keep_finished ? 'stay' : 'would be forgotten'}.</li>`}
      ${bots.length > 0 && html`<li class="is-warn">At work now: ${bots.slice(0, 10).map((bot, at) => html`${at > 0 && ', '}<${BotLink} id=${bot} />`)}${bots.length > 10 && ` and ${bots.length - 10} more`}, with ${counted(pulse?.tasks.claimed ?? 0, 'claim')}. Claims of tasks that go back are void: their tokens are refused, and the tasks are ready again.</li>`}
      <li>What is lost by this is kept in a safety point, and one click undoes it.</li></ul>
    <p><${A} to=${['compare', plan.point.id ?? `epoch ${plan.point.epoch}`, 'now']} params=${{ at: '' }}>See each record that differs<//></p></section>`;
}

function Apply({ plan, run, moved }) {
  const [typed, setTyped] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const count = String(total(plan));
  const act = (anyway) => async () => {
    setBusy(true);
    setProblem(await run(anyway));
    setBusy(false);
  };
  const fits = typed.replace(/[,\s]/g, '') === count;
  return html`<form class="apply" onSubmit=${(event) => event.preventDefault()}>
    <label>Type the number of records, <strong>${n(count)}</strong>, to restore them: <input inputmode="numeric" size="10" autocomplete="off" value=${typed} onInput=${(event) => setTyped(event.currentTarget.value)} /></label>
    <button class="danger" disabled=${!fits || busy} onClick=${act(false)}>Restore ${counted(count, 'record')}</button>
    ${moved && html`<button disabled=${!fits || busy} onClick=${act(true)}>Restore whatever has changed meanwhile</button>`}
    <${Trouble} problem=${problem} /></form>`;
}

function Report({ report }) {
  return html`<section class="card"><h2>Restored ${counted(total(report), 'record')}</h2>
    <ul class="plan">${Object.entries(report.collections).map(([name, counts]) => html`<li><strong><${T} v=${name} />:</strong> ${counted(sum(counts), 'record')}</li>`)}
      ${Number(report.claims_returned) > 0 && html`<li>${counted(report.claims_returned, 'claim')} returned to ready; their tokens are void.</li>`}
      <li>Every record that it read or wrote was verified, and the digests match the point's.</li></ul>
    <p><${A} to=${['now']}>To Now<//></p></section>`;
}
