/** Tables of scores by OOD sets: every metric, the published numbers, the calibration. */
import type { EvalResult, ScoreResults } from '../evaluate/result';
import { count, counted, percent, range, scoreValue } from './format';
import { html, type Markup } from './html';
import { METRIC_NAMES, type MetricName } from './metric-names';
import { averageInterval } from './summary';

/** A table in a box of its own, which scrolls sideways and can be reached by keyboard. */
export function scrollBox(label: string, table: Markup): Markup {
  return html`<div class="scroll" tabindex="0" role="group" aria-label="${label}">${table}</div>`;
}

interface Cell {
  value: number | undefined;
  interval: string | false;
}

/** An OOD set, or null for the average over all. */
type Column = string | null;

function metricCell(of: ScoreResults, set: Column, { key }: MetricName, digits: number): Cell {
  const hasInterval = key === 'auroc' || key === 'fprAtIdTpr95';
  if (set === null) {
    const interval = hasInterval && range(averageInterval(Object.values(of.sets), key), digits);
    return { value: of.average[key], interval };
  }
  const metrics = of.sets[set];
  const interval = metrics !== undefined && hasInterval && range(metrics.intervals[key], digits);
  return { value: metrics?.[key], interval };
}

/** One metric as a body of the table; the best of each column is marked when there is more than one score. */
function metricBody(result: EvalResult, columns: readonly Column[], metric: MetricName, digits: number) {
  const scores = Object.entries(result.scores);
  const rows = scores.map(([, of]) => columns.map((set) => metricCell(of, set, metric, digits)));
  const best = columns.map((_, column) => {
    const values = rows.flatMap((row) => row[column]?.value ?? []);
    return metric.higherIsBetter ? Math.max(...values) : Math.min(...values);
  });
  const cell = ({ value, interval }: Cell, column: number) => {
    if (value === undefined) return html`<td>–</td>`;
    const isBest = scores.length > 1 && value === best[column];
    return html`<td title="${value}"${isBest && html` class="best"`}>${isBest && html`<span class="mark" role="img" aria-label="best:">◆</span>`}${percent(value, digits)}${
      interval && html`<small>${interval}</small>`
    }</td>`;
  };
  const direction = metric.higherIsBetter ? '↑ higher is better' : '↓ lower is better';
  return html`<tbody data-metric="${metric.key}">
    <tr class="group"><th colspan="${columns.length + 1}" scope="rowgroup">${metric.name}, % <span>${direction}</span></th></tr>
    ${scores.map(
      ([name, { formula }], row) => html`<tr${name === result.decidingScore && html` class="deciding"`}>
        <th scope="row" title="${formula}">${name}${name === result.decidingScore && html` <span class="tag">decides</span>`}</th>${rows[row]!.map(cell)}
      </tr>`,
    )}
  </tbody>`;
}

export function scoreTable(result: EvalResult, digits: number): Markup {
  const sets = Object.keys(result.ood);
  const columns: Column[] = sets.length > 1 ? [null, ...sets] : sets;
  const heading = (set: Column) =>
    set !== null
      ? html`<th scope="col">${set}<small>${count(result.ood[set]?.images ?? 0)}</small></th>`
      : html`<th scope="col">Average<small>plain mean</small></th>`;
  const choices = METRIC_NAMES.map(
    ({ key, name }, i) =>
      html`<label><input type="radio" name="metric" value="${key}"${i === 0 && html` checked`}><span>${name}</span></label>`,
  );
  const table = html`<table class="numbers" id="score-table">
    <caption class="hidden">Metrics of every score on every OOD set</caption>
    <thead><tr><th scope="col">Score</th>${columns.map(heading)}</tr></thead>
    ${METRIC_NAMES.map((metric) => metricBody(result, columns, metric, digits))}
  </table>`;
  return html`<fieldset class="segments needs-script"><legend>Metric</legend>${choices}</fieldset>
    ${scrollBox('Scores by OOD sets', table)}
    <p class="note">${Object.keys(result.scores).length > 1 && '◆ best of its column. '}Small figures: 95 % confidence interval.
      <a href="#definitions">What the metrics mean</a></p>
    ${result.skipped.length > 0 && html`<p class="note">Not computed: ${result.skipped.map(({ score, why }) => `${score} (${why})`).join(', ')}.</p>`}`;
}

/** Published numbers beside one's own; null when no set and score follow the paper's protocol. */
export function publishedTable({ published, scores }: EvalResult, digits: number): Markup | null {
  if (published.length === 0) return null;
  const pair = (theirs: number, own: number | undefined) => {
    const difference = own === undefined ? undefined : 100 * (own - theirs);
    const sign = difference !== undefined && difference >= 0 ? '+' : '−';
    return html`<td>${percent(theirs, digits)}</td><td title="${own}">${own === undefined ? '–' : percent(own, digits)}</td>
      <td>${difference === undefined ? '–' : `${sign}${Math.abs(difference).toFixed(digits)}`}</td>`;
  };
  const row = ({ score, set, auroc, fpr95 }: EvalResult['published'][number]) => {
    const own = scores[score]?.sets[set] ?? (set === 'average' ? scores[score]?.average : undefined);
    return html`<tr><th scope="row">${score} <span class="on">on</span> ${set}</th>${pair(auroc, own?.auroc)}${pair(fpr95, own?.fprAtIdTpr95)}</tr>`;
  };
  const bodies = [...new Set(published.map(({ source }) => source))].map(
    (source) => html`<tbody><tr class="group"><th colspan="7" scope="rowgroup">${source}</th></tr>
      ${published.filter((each) => each.source === source).map(row)}</tbody>`,
  );
  const table = html`<table class="numbers">
    <caption class="hidden">Published numbers beside those of this evaluation, in per cent</caption>
    <thead>
      <tr><td></td><th scope="colgroup" colspan="3">AUROC, % ↑</th><th scope="colgroup" colspan="3">FPR95, % ↓</th></tr>
      <tr><th scope="col">Score and set</th>${[1, 2].map(() => html`<th scope="col">published</th><th scope="col">here</th><th scope="col">difference</th>`)}</tr>
    </thead>
    ${bodies}
  </table>`;
  return html`<p class="lead">Only where ID set, OOD set and score follow the paper’s protocol. The published models vary by some points from one training run to the next.</p>
    ${scrollBox('Published numbers', table)}`;
}

/** What a calibration does on these sets; null when the evaluation was given none. */
export function calibrationTable({ calibration }: EvalResult, digits: number): Markup | null {
  if (calibration === null) return null;
  const { target, confidence, score, threshold, images, idAccepted, oodAccepted } = calibration;
  // Results of earlier versions know one threshold, and no curve.
  const { reviewFrom = null, idNotOut = idAccepted, oodNotOut = oodAccepted, curve = [] } = calibration;
  const share = (value: number) => html`<td title="${value}">${percent(value, digits)}</td>`;
  const row = (name: string, accepted: number, notOut: number) =>
    html`<tr><th scope="row">${name}</th>${share(accepted)}${reviewFrom !== null && share(notOut - accepted)}${share(1 - notOut)}</tr>`;
  const table = html`<table class="numbers narrow">
    <caption class="hidden">Verdicts by the calibration</caption>
    <thead><tr><th scope="col">Set</th><th scope="col">in, %</th>${reviewFrom !== null && html`<th scope="col">review, %</th>`}<th scope="col">out, %</th></tr></thead>
    <tbody>${row('ID', idAccepted, idNotOut)}${Object.entries(oodAccepted).map(([set, accepted]) => row(set, accepted, oodNotOut[set]!))}</tbody>
  </table>`;
  const fitted = images === null ? 'Fitted' : `Fitted on ${counted(images, 'image')}`;
  const sure = confidence == null ? '' : ` with ${scoreValue(100 * confidence)} % confidence`;
  const aim = target === null ? '' : ` to keep ${scoreValue(100 * target)} % of one’s own${sure}`;
  const review =
    reviewFrom !== null && html`, review from <strong title="${reviewFrom}">${scoreValue(reviewFrom)}</strong>`;
  return html`<p class="lead">${fitted}${aim}:
      in when ${score} is at least <strong title="${threshold}">${scoreValue(threshold)}</strong>${review}.</p>
    ${scrollBox('Calibration', table)}${curve.length > 0 && curveTable(curve, digits)}`;
}

type Curve = NonNullable<EvalResult['calibration']>['curve'];

/** Of the curve, what the table shows. */
const SHOWN = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99];

/** What other targets promise, and what they would keep of these ID images. */
function curveTable(curve: Curve, digits: number): Markup {
  const shown = curve.filter(({ target }) => SHOWN.includes(target));
  const rows = shown.map(
    ({ target, kept, interval }) =>
      html`<tr><th scope="row">${scoreValue(100 * target)}</th><td title="${kept}">${percent(kept, digits)}</td><td>${range(interval, digits)}</td></tr>`,
  );
  const table = html`<table class="numbers narrow">
    <caption class="hidden">Promised and kept</caption>
    <thead><tr><th scope="col">promised, %</th><th scope="col">kept here, %</th><th scope="col">95 % interval</th></tr></thead>
    <tbody>${rows}</tbody>
  </table>`;
  return html`<p class="lead">Other targets, by the same calibration images. An interval well below the promise says that these ID images are not like those.</p>
    <div class="promise">${promiseChart(curve)}${scrollBox('Promised and kept', table)}</div>`;
}

/** The curve as a drawing: on the diagonal a promise is kept exactly; the band is the interval. */
function promiseChart(curve: Curve): Markup {
  const size = 240;
  // Both axes run over the same shares, from the lowest promise to 1.
  const least = Math.floor(10 * Math.min(...curve.flatMap(({ target, interval }) => [target, interval.low]))) / 10;
  const place = (share: number) => (Math.max(0, share - least) / (1 - least)) * size;
  const point = (x: number, y: number) => `${place(x).toFixed(1)},${(size - place(y)).toFixed(1)}`;
  const line = curve.map(({ target, kept }) => point(target, kept)).join(' ');
  const low = curve.map(({ target, interval }) => point(target, interval.low));
  const high = curve.map(({ target, interval }) => point(target, interval.high)).reverse();
  const label = `Kept against promised: the diagonal is a promise kept exactly. Axes from ${percent(least, 0)} to 100 %.`;
  return html`<svg class="promise-chart" viewBox="-34 -8 ${size + 48} ${size + 40}" role="img" aria-label="${label}">
    <rect class="frame" width="${size}" height="${size}"/>
    <polygon class="interval-band" points="${[...low, ...high].join(' ')}"/>
    <line class="diagonal" x1="0" y1="${size}" x2="${size}" y2="0"/>
    <polyline class="kept" points="${line}"/>
    <text x="0" y="${size + 14}">${percent(least, 0)}</text><text x="${size}" y="${size + 14}" text-anchor="end">promised, 100 %</text>
    <text x="-4" y="${size}" text-anchor="end">${(100 * least).toFixed(0)}</text><text x="-4" y="9" text-anchor="end">kept</text>
  </svg>`;
}
