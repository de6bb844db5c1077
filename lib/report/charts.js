/**
 * Runs in the report: the charts of the chosen score, and one threshold moved through all of them. A threshold is an
 * edge of the histogram, for there the counts say exactly what it accepts.
 */
(() => {
  'use strict';
  /** @typedef {import('./chart-data').ChartScore} ChartScore */
  /** @typedef {import('./chart-data').ChartSet} ChartSet */
  const { short, shares } = Plots;

  /** @param {string} id */
  const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

  /** @type {import('./chart-data').ChartData} */
  const data = JSON.parse(element('chart-data').textContent ?? '');
  const { digits } = data;
  const select = /** @type {HTMLSelectElement} */ (element('chart-score'));
  const slider = /** @type {HTMLInputElement} */ (element('chart-edge'));
  const figures = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('figure.set'))];

  /** @param {number} share */
  const percent = (share) => Plots.percent(share, digits);
  /** @param {readonly number[]} counts */
  const total = (counts) => counts.reduce((sum, n) => sum + n, 0);
  /** @param {readonly number[]} counts @param {number} from share of the images in this bin or above */
  const accepted = (counts, from) => total(counts.slice(from)) / (total(counts) || 1);
  /** @param {readonly number[]} counts @param {number} share the highest edge that at least this share reaches */
  const edgeOf = (counts, share) => {
    let at = counts.length;
    while (at > 0 && accepted(counts, at) < share) at--;
    return at;
  };

  let score = /** @type {ChartScore} */ (data.scores.find(({ name }) => name === data.decidingScore));
  /** @type {number | null} null: the deciding score's own threshold, which lies between two edges */
  let edge = null;
  const threshold = () => (edge === null ? data.threshold : (score.edges[edge] ?? data.threshold));
  const startingEdge = () => (score.name === data.decidingScore ? null : edgeOf(score.counts, 0.95));
  const idAccepted = () => (edge === null ? 0.95 : accepted(score.counts, edge));
  /** @param {ChartSet} set */
  const oodAccepted = (set) => (edge === null ? set.fpr95 : accepted(set.counts, edge));

  /** Those of the calibration are verdicts on the score that it is for. */
  const verdicts = () => (score.name === data.decidingScore ? data.verdicts : null);
  /** What a calibration with this threshold would promise: the highest target whose threshold is no lower. */
  const promised = () => {
    const reached = verdicts()?.targets.filter((each) => each.threshold >= threshold()) ?? [];
    const target = Math.max(0, ...reached.map((each) => each.target));
    if (verdicts() === null || verdicts()?.targets.length === 0) return '';
    return target === 0
      ? ' As calibrated, it promises less than 50 % of ID.'
      : ` As calibrated, it promises ${(100 * target).toFixed(0)} % of ID.`;
  };

  /** @param {string} tag @param {string} text @param {Record<string, string>} [properties] */
  const made = (tag, text, properties) =>
    Object.assign(document.createElement(tag), { textContent: text, ...properties });

  /** @type {uPlot[]} */
  let plots = [];

  /** Draws everything anew: another score or theme. */
  const build = () => {
    for (const plot of plots) plot.destroy();
    const top = Math.max(...[score, ...score.sets].flatMap(({ counts }) => shares(counts)));
    plots = figures.flatMap((figure, i) => {
      const set = score.sets[i];
      const [left, right] = /** @type {NodeListOf<HTMLElement>} */ (figure.querySelectorAll('.plot'));
      if (set === undefined || left === undefined || right === undefined) return [];
      const others = data.scores.filter((each) => each !== score).flatMap(({ sets }) => sets[i]?.roc ?? []);
      const point = () => ({ fpr: oodAccepted(set), tpr: idAccepted() });
      return [
        Plots.histogram(left, score, set, { top, digits, threshold, verdicts: verdicts(), onPick: moveTo }),
        Plots.rocCurve(right, set.roc, others, { digits, point }),
      ];
    });
    describe();
  };

  /** All text that depends on score and threshold. */
  const describe = () => {
    const own = edge === null ? 'at least 95 % of ID' : `${percent(idAccepted())} of ID`;
    const oodShares = score.sets.map((set) => `${percent(oodAccepted(set))} of ${set.name}`).join(', ');
    slider.max = String(score.counts.length);
    slider.value = String(edge ?? Plots.binOf(score.edges, data.threshold));
    slider.setAttribute('aria-valuetext', `${short(threshold())}: accepts ${own}; ${oodShares}`);
    element('chart-state').textContent =
      `${score.name} ≥ ${short(threshold())} accepts ${own}.${promised()} ${score.name} = ${score.formula}`;
    figures.forEach((figure, i) => {
      const set = score.sets[i];
      if (set !== undefined) describeSet(figure, set);
    });
    if (tableBox.open) fillTable();
  };

  /** @param {HTMLElement} figure @param {ChartSet} set */
  const describeSet = (figure, set) => {
    const { auroc, aurocInterval, fpr95, fpr95Interval } = set;
    /** @param {import('../metrics/intervals').Interval} interval */
    const interval = ({ low, high }) =>
      made('span', `(${(100 * low).toFixed(digits)}–${(100 * high).toFixed(digits)})`, { className: 'interval' });
    figure
      .querySelector('.readout')
      ?.replaceChildren(
        ...['AUROC ', made('b', percent(auroc)), ' ', interval(aurocInterval)],
        ...[', FPR95 ', made('b', percent(fpr95)), ' ', interval(fpr95Interval)],
        ...(edge === null ? [] : ['; accepted at the threshold ', made('b', percent(oodAccepted(set)))]),
      );
    const [left, right] = figure.querySelectorAll('.plot');
    /** @param {number[]} counts */
    const median = (counts) => short(score.edges[edgeOf(counts, 0.5)] ?? 0);
    left?.setAttribute(
      'aria-label',
      `Histogram of ${score.name}, ID and ${set.name}: the median lies near ${median(score.counts)} for ID and ${median(set.counts)} for OOD.`,
    );
    right?.setAttribute(
      'aria-label',
      `ROC curve of ${score.name} on ${set.name}: AUROC ${percent(auroc)}; where 95 % of ID is accepted, ${percent(fpr95)} of OOD is.`,
    );
  };

  const tableBox = /** @type {HTMLDetailsElement} */ (element('chart-table'));
  /** The charts as text: what every edge accepts. */
  const fillTable = () => {
    const table = /** @type {HTMLTableElement} */ (made('table', '', { className: 'numbers' }));
    table.createCaption().textContent = `Images with ${score.name} of at least the threshold, in per cent`;
    const names = ['Threshold', 'ID', ...score.sets.map(({ name }) => name)];
    table
      .createTHead()
      .insertRow()
      .append(...names.map((name) => made('th', name, { scope: 'col' })));
    const body = table.createTBody();
    score.edges.forEach((value, i) => {
      const cells = [score, ...score.sets].map(({ counts }) => made('td', (100 * accepted(counts, i)).toFixed(digits)));
      body.insertRow().append(made('th', short(value), { scope: 'row' }), ...cells);
    });
    tableBox.querySelector('.scroll')?.replaceChildren(table);
  };

  /** @param {number | null} to */
  const moveTo = (to) => {
    edge = to;
    describe();
    for (const plot of plots) plot.redraw(false, false);
  };

  tableBox.addEventListener('toggle', fillTable);
  slider.addEventListener('input', () => moveTo(Number(slider.value)));
  element('chart-reset').addEventListener('click', () => moveTo(startingEdge()));
  select.addEventListener('change', () => {
    score = data.scores[select.selectedIndex] ?? score;
    edge = startingEdge();
    build();
  });
  document.addEventListener('themechange', build);
  build();
  const resized = new ResizeObserver(() => plots.forEach(Plots.fit));
  for (const box of document.querySelectorAll('.plot')) resized.observe(box);
})();
