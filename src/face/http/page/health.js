// @ts-check
// Health: would the data come back right now? Each line with what to do.

import { useState } from './preact.js';
import { get, post } from './api.js';
import { NOT_READY, READY, STATUS } from './first.js';
import { useHive, useLoad } from './hooks.js';
import { Chip, Command, Copy, counted, Head, html, Loaded, plain, Same, Table, Trouble, when } from './parts.js';
import { sentence } from './now.js';
import { n, size } from './text.js';

/** Between two looks at a check that runs, in milliseconds. */
const LOOK = 500;

export function Health() {
  const doctor = useLoad('api/doctor', { once: true });
  const ready = useLoad(READY, { ...NOT_READY, every: 15000 });
  const report = () => [`hivekeep: ${doctor.data.verdict}`, ...doctor.data.lines.map((own) => `${own.verdict}  ${own.topic}: ${own.what}${own.advice ? ` (${own.advice})` : ''}`)].join('\n');
  const words = { ok: 'The data would come back right now.', warn: 'Data is at risk.', bad: 'Data is damaged.' };
  return html`<${Head} title="Health" aside=${doctor.data && html`<${Copy} text=${report()} what="Copy a report" /><button onClick=${doctor.again}>Look again</button>`} />
    <${Loaded} of=${doctor}>${(data) => html`
      <section class=${`verdict is-${data.verdict}`}><h2><${Chip} s=${data.verdict} label=${(words)[data.verdict]} /></h2></section>
      <${Table} kind="diagnosis" label="Diagnosis" head=${['Topic', '', ['Finding', 'wide']]} rows=${[...data.lines].sort((a, b) => rank(b) - rank(a)).map((own) => [own.topic,
    own.topic, html`<${Chip} s=${own.verdict} />`, html`${plain(own.what)}${own.advice && html`<p class="faint"><${Advice} text=${own.advice} /></p>`}`])} />`}<//>
    <div class="columns"><section><h2>The service</h2><${Loaded} of=${ready}>${(data) => html`<ul class="checks">${Object.entries(data.checks).map(([name, check]) => html`<li><${Chip} s=${check.ok ? 'ok' : 'bad'} label=${name.replaceAll('_', ' ')} /> <span class="faint">${plain(check.detail ?? '')}</span></li>`)}</ul>`}<//></section>
    <${Check} /></div><${Outside} /><${Settings} />
    <${Same} cli="hivekeep doctor" curl="api/doctor" />`;
}

const rank = (own) => ['ok', 'warn', 'bad'].indexOf(own.verdict);

/** An advice; the command in it can be copied. */
function Advice({ text }) {
  const command = text.match(/: (hivekeep [a-z -]+)$/)?.[1];
  return html`${plain(text)}${command && html` <${Copy} text=${command} />`}`;
}

function Check() {
  const { writes } = useHive();
  const [job, setJob] = useState(null);
  const [problem, setProblem] = useState(null);
  const run = async () => {
    setProblem(null);
    try {
      let own = await post('api/check');
      setJob(own);
      while (own.state === 'running') {
        await new Promise((done) => { setTimeout(done, LOOK); });
        own = await get(`api/check/${own.id}`);
        setJob(own);
      }
    } catch (error) {
      setProblem(error);
    }
  };
  return html`<section><h2>Check</h2><p>A check verifies every record, every point and every digest, and changes nothing.</p>
    ${job?.state === 'running' && html`<p role="status"><progress max=${Number(job.of) || 1} value=${Number(job.done)} aria-label="Verified rows"></progress> ${n(job.done)} of ${n(job.of)} rows</p>`}
    ${job?.report && html`<p><${Chip} s=${String(job.report.found) === '0' ? 'ok' : 'bad'} label=${String(job.report.found) === '0' ? 'sound' : counted(job.report.found, 'finding')} /> ${counted(job.report.records, 'record')}, ${counted(job.report.points, 'point')}, ${size(job.report.bytes)}.</p>
      ${job.report.findings.length > 0 && html`<${Table} label="Findings" head=${['Table', 'Key', ['Fault', 'wide']]} rows=${job.report.findings.slice(0, 100).map((own, at) => [at, own.table, plain(own.key), plain(own.what)])} />`}`}
    ${job?.error && html`<p class="note is-bad">The check failed: ${plain(job.error)}</p>`}<${Trouble} problem=${problem} />
    ${writes ? html`<button class="main" disabled=${job?.state === 'running'} onClick=${run}>Check everything</button>` : html`<${Command} text="hivekeep check" />`}</section>`;
}

function Settings() {
  const service = useLoad('api/service', { once: true });
  return html`<section><h2>Settings</h2><${Loaded} of=${service}>${(data) => html`<${Table} label="Settings of the service" head=${['Setting', ['Value', 'wide']]} rows=${Object.entries(data.settings).map(([name, value]) => [name, html`<code>${name}</code>`, plain(value)])} />`}<//>
    <${Command} text="hivekeep serve --print-config" /></section>`;
}

function Outside() {
  const status = useLoad(STATUS);
  return html`<${Loaded} of=${status}>${(data) => {
    const { archive, last_drill: drill } = data;
    const last = archive.last;
    return html`<div class="columns"><section><h2>Archives</h2>${last ? html`<dl class="facts"><div><dt>Newest</dt><dd>${when(last.at)}, ${size(last.bytes)}, ${last.verified ? 'read back and verified' : 'not read back'}</dd></div>
      <div><dt>Holds the state of</dt><dd>${when(last.state_at)}${archive.changed_since ? '; something has changed since' : '; nothing has changed since'}</dd></div>
      <div><dt>File</dt><dd class="mono">${plain(last.file)}</dd></div><div><dt>SHA-256</dt><dd class="mono">${plain(last.sha256)}</dd></div></dl>` : html`<p class="faint">There is no archive.</p>`}
      ${archive.warning && html`<p class="note is-warn">${plain(sentence(archive.warning))}.</p>`}<${Command} text="hivekeep export" /></section>
    <section><h2>Drill</h2>${drill ? html`<p>The last one ended ${when(drill.at)}, with a copy of ${counted(drill.records, 'record')}.</p><${Table} label="Rehearsed disasters" head=${['Disaster', ['Recovery', 'num'], ['Lost', 'num'], '']} rows=${drill.scenarios.map((one) => [one.name, plain(one.name), `${n(one.recovery_ms)} ms`, n(one.lost_records), html`<${Chip} s=${one.met ? 'ok' : 'bad'} label=${one.met ? 'met' : 'missed'} />`])} />`
    : html`<p class="faint">No drill yet. A drill rehearses disasters on a copy, and measures how long it takes until work goes on.</p>`}<${Command} text="hivekeep drill" /></section></div>`;
  }}<//>`;
}
