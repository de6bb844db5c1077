/** One row per class; the page's script sorts, filters and pages it. */
import type { ClassResult, EvalResult } from '../evaluate/result';
import { count, percent, scoreValue } from './format';
import { html, type Markup } from './html';
import { scrollBox } from './score-tables';

const COLUMNS = ['Class', 'Images', 'Accuracy, %', 'Accepted, %', 'False accepts'] as const;

/** A label without images has no shares. */
const share = (value: number | null) =>
  value === null
    ? html`<td data-value="-1"><span class="value">–</span></td>`
    : html`<td data-value="${value}" title="${value}"><span class="bar" style="--share:${percent(value, 1)}%"></span><span class="value">${percent(value, 1)}</span></td>`;

/** The classes that most OOD images are taken for first. */
const byFalseAccepts = (a: ClassResult, b: ClassResult) => b.falseAccepts - a.falseAccepts;

export function classTable({ classes, decidingScore, threshold }: EvalResult): Markup {
  const rows = [...classes].sort(byFalseAccepts).map(
    ({ label, images, accuracy, accepted, falseAccepts }) => html`<tr><th scope="row">${label}</th>
      <td data-value="${images}">${count(images)}</td>${share(accuracy)}${share(accepted)}<td data-value="${falseAccepts}">${count(falseAccepts)}</td></tr>`,
  );
  const headings = COLUMNS.map(
    (name, column) =>
      html`<th scope="col"${column === COLUMNS.length - 1 && html` aria-sort="descending"`}><button type="button">${name}</button></th>`,
  );
  const table = html`<table class="numbers" id="class-table">
    <caption class="hidden">Accuracy and acceptance of each class; the headings sort</caption>
    <thead><tr>${headings}</tr></thead>
    <tbody>${rows}</tbody>
  </table>`;
  const isFlat = classes.every(({ images }) => images === 0);
  return html`${isFlat && html`<p class="lead">The ID folder has no class folders, so that only the last column is known.</p>`}
    <p class="lead">Accuracy: images whose top label is their class. Accepted: images with ${decidingScore} of at least
      ${scoreValue(threshold)}, right or wrong. False accepts: accepted OOD images that were taken for the class.</p>
    <div class="controls needs-script">
      <label>Filter <input type="search" id="class-filter" autocomplete="off" spellcheck="false"></label>
      <span class="pager"><button type="button" id="class-previous">Previous</button><span id="class-status" role="status"></span><button type="button" id="class-next">Next</button></span>
    </div>
    ${scrollBox('Classes', table)}`;
}
