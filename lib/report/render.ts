/**
 * report/: An EvalResult as HTML, JSON and CSV.
 *
 * An evaluation as one self-contained HTML page: no network, light and dark, for screen, phone, keyboard and paper.
 */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { assertArguments } from '../base/arguments';
import type { EvalResult } from '../evaluate/result';
import { type ChartData, chartData } from './chart-data';
import { classTable } from './class-table';
import { worstExamples } from './examples';
import { count, digitsOf, nameOf, percent, range } from './format';
import { html, jsonScript, Markup } from './html';
import { definitionList, provenanceList, unreadableTable } from './provenance';
import { calibrationTable, publishedTable, scoreTable } from './score-tables';
import { summary } from './summary';

export { reportCsv } from './csv';

/** Files beside this one, in the order in which the page has them. */
const STYLES = ['page.css', 'tables.css', 'figures.css'];
const SCRIPTS = ['page.js', 'plots.js', 'charts.js'];

interface Section {
  id: string;
  title: string;
  content: Markup | null;
}

/** Figures that the page's script fills: per OOD set a histogram and a ROC curve. */
function charts(data: ChartData, result: EvalResult): Markup {
  const { decidingScore, digits } = data;
  const options = data.scores.map(
    ({ name }) => html`<option${name === decidingScore && html` selected`}>${name}</option>`,
  );
  const { sets } = data.scores.find(({ name }) => name === decidingScore)!;
  const figures = sets.map(
    ({ name, auroc, aurocInterval, fpr95, fpr95Interval }) => html`<figure class="set">
      <figcaption><h3><span class="key ood">${name}</span> <small>${count(result.ood[name]?.images ?? 0)} images</small></h3>
        <p class="readout">AUROC <b>${percent(auroc, digits)} %</b> <span class="interval">(${range(aurocInterval, digits)})</span>,
          FPR95 <b>${percent(fpr95, digits)} %</b> <span class="interval">(${range(fpr95Interval, digits)})</span></p></figcaption>
      <div class="plots needs-script"><div class="plot histogram" role="img"></div><div class="plot roc" role="img"></div></div>
    </figure>`,
  );
  return html`<p class="lead needs-script">Histograms: the share of images at each value of the score, <span class="key id">ID</span> and <span class="key ood">OOD</span>.
      ROC curves: ID accepted (TPR) against OOD accepted (FPR) as the threshold falls, <span class="key curve">the chosen score</span> before <span class="key ghost">the others</span>.
      Move the threshold, or click into a histogram, to see what another one would do.</p>
    <noscript><p class="lead">The charts need JavaScript; the figures above and below do not.</p></noscript>
    <div class="explorer needs-script">
      <label>Score <select id="chart-score" autocomplete="off">${options}</select></label>
      <label class="threshold">Threshold <input type="range" id="chart-edge" min="0" step="1" autocomplete="off"></label>
      <button type="button" id="chart-reset">Back to 95 % of ID</button>
      <p id="chart-state" role="status"></p>
    </div>
    ${figures}
    <details class="needs-script" id="chart-table"><summary>The same as a table</summary><div class="scroll" tabindex="0" role="group" aria-label="Images accepted by threshold"></div></details>`;
}

function body(result: EvalResult): Markup {
  const digits = digitsOf(result);
  const data = chartData(result, digits);
  const sections: Section[] = [
    { id: 'scores', title: 'Scores', content: scoreTable(result, digits) },
    { id: 'distributions', title: 'Histograms and ROC curves', content: charts(data, result) },
    { id: 'published', title: 'Beside the published numbers', content: publishedTable(result, digits) },
    { id: 'calibration', title: 'Calibration', content: calibrationTable(result, digits) },
    { id: 'classes', title: 'Classes', content: classTable(result) },
    { id: 'worst', title: 'Worst mistakes', content: worstExamples(result) },
    { id: 'unreadable', title: 'Unreadable images', content: unreadableTable(result) },
    { id: 'provenance', title: 'Provenance', content: provenanceList(result) },
    { id: 'definitions', title: 'Definitions', content: definitionList(result) },
  ];
  const there = sections.filter(({ content }) => content !== null);
  return html`<header class="page-header">
      <div class="masthead"><p>clipn-native evaluation</p><button type="button" id="theme" class="needs-script">Dark</button></div>
      ${summary(result, digits)}
      <nav aria-label="Sections"><ul>${there.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
    </header>
    <main>${there.map(({ id, title, content }) => html`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>${content}</section>`)}</main>
    <footer><p>One file that loads nothing. The JSON and CSV of the same evaluation hold these numbers in full precision. Charts by uPlot (MIT).</p></footer>
    ${jsonScript('chart-data', data)}`;
}

/** Line ends as a browser reads them: the policy names hashes of what it read. */
const readText = async (path: string) => (await readFile(path, 'utf8')).replaceAll('\r\n', '\n');

/** The chart library with its licence, which asks to go where it goes. */
async function chartLibrary(): Promise<{ script: string; style: string }> {
  const folder = dirname(dirname(require.resolve('uplot')));
  const read = (name: string) => readText(join(folder, name));
  const [licence, script, style] = await Promise.all([
    read('LICENSE'),
    read('dist/uPlot.iife.min.js'),
    read('dist/uPlot.min.css'),
  ]);
  return { script: `/*!\n${licence.trim()}\n*/\n${script}`, style };
}

const sha256 = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/**
 * The page as text. All that comes from files (labels, paths, messages) is escaped, and a Content-Security-Policy
 * forbids every request and every script but the page's own.
 */
export async function renderReport(result: EvalResult): Promise<string> {
  assertArguments({ result: ['result', result] });
  const own = (names: readonly string[]) => Promise.all(names.map((name) => readText(join(__dirname, name))));
  const library = await chartLibrary();
  const style = [library.style, ...(await own(STYLES))].join('\n');
  const scripts = [library.script, ...(await own(SCRIPTS))];
  const policy = `default-src 'none'; img-src data:; style-src ${sha256(style)}; style-src-attr 'unsafe-inline'; script-src ${scripts.map(sha256).join(' ')}; base-uri 'none'; form-action 'none'`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${nameOf(result.provenance.model.path)}: OOD evaluation</title>
<style>${new Markup(style)}</style>
</head>
<body>
${body(result)}
${scripts.map((script) => html`<script>${new Markup(script)}</script>\n`)}
</body>
</html>
`.text;
}
