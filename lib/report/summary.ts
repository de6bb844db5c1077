/** Top of the page: what was evaluated, and how it went, in two sentences. */
import type { EvalResult } from '../evaluate/result';
import type { Interval } from '../metrics/intervals';
import type { SetMetrics } from '../metrics/metrics';
import { count, counted, dateOf, nameOf, percent, range, scoreValue } from './format';
import { html, type Markup } from './html';

type IntervalName = keyof SetMetrics['intervals'];

/**
 * An interval of the mean over OOD sets that holds however the sets' errors correlate (they share the ID images): the
 * standard deviation of a mean is at most the mean of the standard deviations, so the half-widths are averaged.
 */
export function averageInterval(sets: readonly SetMetrics[], name: IntervalName): Interval {
  const mean = (end: keyof Interval) =>
    sets.reduce((sum, { intervals }) => sum + intervals[name][end], 0) / sets.length;
  return { low: mean('low'), high: mean('high') };
}

function verdict(result: EvalResult, digits: number): Markup {
  const { decidingScore, threshold, scores } = result;
  const { sets, average } = scores[decidingScore]!;
  const each = Object.values(sets);
  const figure = (name: 'auroc' | 'fprAtIdTpr95') => {
    const interval = range(averageInterval(each, name), digits);
    return html`<strong title="${average[name]}">${percent(average[name], digits)} %</strong> <span class="interval">(${interval})</span>`;
  };
  const over = each.length === 1 ? `on ${Object.keys(sets)[0]}` : `as means over ${each.length} OOD sets`;
  return html`<p class="verdict">
      Judged by <strong>${decidingScore}</strong>, an ID image outranks an OOD image ${figure('auroc')} of the time.
      A threshold that accepts 95 % of the ID images, <strong title="${threshold}">${scoreValue(threshold)}</strong>,
      also accepts ${figure('fprAtIdTpr95')} of the OOD images.
    </p>
    <p class="note">AUROC and FPR95 ${over}, with 95 % confidence intervals.
      ID (in-distribution): images of the given classes. OOD (out-of-distribution): images of none of them.</p>`;
}

export function summary(result: EvalResult, digits: number): Markup {
  const { id, ood, provenance, created, warnings } = result;
  const unreadable = [id, ...Object.values(ood)].reduce((sum, set) => sum + set.unreadable.length, 0);
  const fact = (name: string, value: Markup | string) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  const accuracy =
    id.accuracy !== null &&
    id.accuracyInterval !== null &&
    html`<span title="${id.accuracy}">${percent(id.accuracy, digits)} %</span> <span class="interval">(${range(id.accuracyInterval, digits)})</span>`;
  const oodSets = Object.entries(ood).map(([name, set], i) => html`${i > 0 && ', '}${name} ${count(set.images)}`);
  return html`<h1>${nameOf(provenance.model.path)}</h1>
    ${verdict(result, digits)}
    <dl class="facts">
      ${fact('ID', `${counted(id.images, 'image')}, ${counted(provenance.labels.count, 'class', 'classes')}`)}
      ${fact('OOD', html`${oodSets}`)}
      ${accuracy && fact('Top-1 accuracy on ID', accuracy)}
      ${unreadable > 0 && fact('Left out', html`<a href="#unreadable">${counted(unreadable, 'unreadable image')}</a>`)}
      ${fact('Model', `${provenance.model.kind}, ${provenance.model.precision}`)}
      ${fact('Made', dateOf(created))}
    </dl>
    ${warnings.length > 0 && html`<div class="warnings" role="note"><p>Mind:</p><ul>${warnings.map((text) => html`<li>${text}</li>`)}</ul></div>`}`;
}
