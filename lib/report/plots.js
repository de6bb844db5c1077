/** Runs in the report: draws histograms and ROC curves with uPlot. What is chosen and moved is up to charts.js. */
// biome-ignore lint/correctness/noUnusedVariables: charts.js draws with it.
const Plots = (() => {
  'use strict';
  /** @typedef {import('./chart-data').ChartScore} ChartScore */
  /** @typedef {import('./chart-data').ChartSet} ChartSet */
  /** @typedef {ChartSet['roc']} Roc */
  /** @typedef {import('./chart-data').ChartVerdicts} Verdicts */

  const HEIGHT = 280;

  /** @param {number} value four digits, a real minus */
  const short = (value) => String(Number(value.toPrecision(4))).replace('-', '−');
  /** @param {number} share @param {number} digits */
  const percent = (share, digits) => `${(100 * share).toFixed(digits)} %`;
  /** @param {readonly number[]} counts */
  const shares = (counts) => {
    const all = counts.reduce((sum, n) => sum + n, 0) || 1;
    return counts.map((n) => n / all);
  };
  /** @param {readonly number[]} edges @param {number} value the bin that holds it */
  const binOf = (edges, value) => {
    const above = edges.findIndex((edge) => edge > value);
    return above < 0 ? edges.length - 2 : Math.max(0, above - 1);
  };

  const probe = document.createElement('span');
  probe.hidden = true;
  document.body.append(probe);
  /** @param {string} name of a custom property; what it is in the present theme */
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const font = () => `12px ${getComputedStyle(document.body).fontFamily}`;

  /** @param {number} value @param {number} step with as many decimals as the step has */
  const tick = (value, step) => {
    let decimals = 0;
    while (decimals < 12 && Math.abs(step - Number(step.toFixed(decimals))) > step * 1e-6) decimals++;
    return value.toFixed(decimals).replace('-', '−');
  };
  /** @param {number} value @param {number} step */
  const percentTick = (value, step) => tick(100 * value, 100 * step);

  /** @param {string} label @param {number} size @param {typeof tick} text @returns {uPlot.Axis} */
  const axis = (label, size, text) => ({
    ...{ label, size, labelSize: 18, labelGap: 0, gap: 4, font: font(), labelFont: font() },
    stroke: colour('muted'),
    grid: { stroke: colour('rule'), width: 1 },
    ticks: { show: false },
    values: (_plot, splits, _axis, _space, step) => splits.map((value) => text(value, step)),
  });

  /** @param {string} stroke @param {number} width @returns {uPlot.Series} */
  const line = (stroke, width) => ({ stroke: colour(stroke), width, points: { show: false } });

  /**
   * Options that both kinds share; while the pointer is over the plot, `tell` says what is at that x.
   * @param {HTMLElement} box @param {number} height @param {(x: number) => string} tell
   * @returns {Omit<uPlot.Options, 'series'>}
   */
  const common = (box, height, tell) => {
    const tip = Object.assign(document.createElement('div'), { className: 'tip', hidden: true });
    box.replaceChildren(tip);
    /** @param {uPlot} plot */
    const follow = (plot) => {
      const { left = -1 } = plot.cursor;
      tip.hidden = left < 0;
      if (left >= 0) tip.textContent = tell(plot.posToVal(left, 'x'));
    };
    return {
      ...{ width: box.clientWidth, height, legend: { show: false } },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      hooks: { setCursor: [follow] },
    };
  };

  /** A dashed line with its value. @param {uPlot} plot @param {number} value */
  const drawThreshold = ({ ctx, bbox, valToPos }, value) => {
    const x = Math.round(valToPos(value, 'x', true));
    const scale = uPlot.pxRatio;
    const isLeft = x < bbox.left + bbox.width / 2;
    ctx.save();
    ctx.strokeStyle = colour('ink');
    ctx.lineWidth = scale;
    ctx.setLineDash([4 * scale, 3 * scale]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillStyle = colour('ink');
    ctx.font = font().replace('12px', `${12 * scale}px`);
    ctx.textAlign = isLeft ? 'left' : 'right';
    ctx.textBaseline = 'top';
    ctx.fillText(short(value), x + (isLeft ? 5 : -5) * scale, bbox.top + 2 * scale);
    ctx.restore();
  };

  /** The verdicts of a calibration: their names over shaded bands. @param {uPlot} plot @param {Verdicts} verdicts */
  const drawVerdicts = ({ ctx, bbox, valToPos }, verdicts) => {
    const scale = uPlot.pxRatio;
    /** @param {number} value */
    const at = (value) => Math.max(bbox.left, Math.min(bbox.left + bbox.width, valToPos(value, 'x', true)));
    const [review, accepted] = [at(verdicts.reviewFrom ?? verdicts.in), at(verdicts.in)];
    const bands = /** @type {const} */ ([
      ['out', bbox.left, review, 'out-band'],
      ['review', review, accepted, 'review-band'],
      ['in', accepted, bbox.left + bbox.width, 'in-band'],
    ]);
    ctx.save();
    ctx.font = font().replace('12px', `${11 * scale}px`);
    ctx.textAlign = 'center';
    ctx.textBaseline = 'bottom';
    for (const [name, from, to, band] of bands) {
      ctx.fillStyle = colour(band);
      ctx.fillRect(from, bbox.top, to - from, bbox.height);
      ctx.fillStyle = colour('muted');
      if (to - from > ctx.measureText(name).width + 4 * scale)
        ctx.fillText(name, (from + to) / 2, bbox.top - 1 * scale);
    }
    ctx.restore();
  };

  /**
   * @param {HTMLElement} box @param {ChartScore} score @param {ChartSet} set
   * @param {{ top: number, digits: number, threshold: () => number, verdicts: Verdicts | null, onPick: (edge: number) => void }} options
   *   `top`: largest share of any bin; `verdicts`: of this score; `onPick`: the edge nearest to a click
   */
  const histogram = (box, score, set, { top, digits, threshold, verdicts, onPick }) => {
    const { edges } = score;
    const [id, ood] = [shares(score.counts), shares(set.counts)];
    /** @param {number} i */
    const edge = (i) => edges[i] ?? 0;
    const options = common(box, HEIGHT, (x) => {
      const bin = binOf(edges, x);
      const [ofId, ofOod] = [id, ood].map((each) => percent(each[bin] ?? 0, digits));
      return `${short(edge(bin))} to ${short(edge(bin + 1))}: ID ${ofId}, OOD ${ofOod}`;
    });
    const paths = uPlot.paths.stepped?.({ align: 1 });
    /** @param {number[]} heights the last one once more, so that its step has an end */
    const closed = (heights) => [...heights, heights.at(-1) ?? 0];
    const plot = new uPlot(
      {
        ...options,
        scales: { x: { time: false, range: [edge(0), edge(edges.length - 1)] }, y: { range: [0, 1.08 * top || 1] } },
        axes: [axis(score.name, 22, tick), axis('% of images', 40, percentTick)],
        series: [{}, { ...line('id', 1), fill: colour('id-fill'), paths }, { ...line('ood', 2), paths }],
        hooks: {
          ...options.hooks,
          drawClear: verdicts === null ? [] : [(self) => drawVerdicts(self, verdicts)],
          draw: [(self) => drawThreshold(self, threshold())],
        },
      },
      [edges, closed(id), closed(ood)],
      box,
    );
    plot.over.addEventListener('click', () => {
      const x = plot.posToVal(plot.cursor.left ?? 0, 'x');
      const bin = binOf(edges, x);
      onPick(x - edge(bin) < edge(bin + 1) - x ? bin : bin + 1);
    });
    return plot;
  };

  /** @param {Roc} roc @param {number} x lowest and highest TPR at this FPR, on the lines between the vertices */
  const tprAt = ({ fpr, tpr }, x) => {
    let [low, above] = [0, fpr.length];
    while (low < above) {
      const middle = (low + above) >> 1;
      if ((fpr[middle] ?? 1) < x) low = middle + 1;
      else above = middle;
    }
    if (fpr[low] !== x) {
      const [x0, y0] = [fpr[low - 1] ?? 0, tpr[low - 1] ?? 0];
      const [x1, y1] = [fpr[low] ?? 1, tpr[low] ?? 1];
      const y = x1 > x0 ? y0 + ((y1 - y0) * (x - x0)) / (x1 - x0) : y1;
      return [y, y];
    }
    let high = low;
    while (fpr[high + 1] === x) high++;
    return [tpr[low] ?? 1, tpr[high] ?? 1];
  };

  /** Curves over one axis: each FPR twice, so that every curve can rise there. @param {Roc[]} curves */
  const joined = (curves) => {
    const at = [...new Set(curves.flatMap(({ fpr }) => fpr))].sort((a, b) => a - b);
    const columns = curves.map((curve) => at.flatMap((x) => tprAt(curve, x)));
    return /** @type {uPlot.AlignedData} */ ([at.flatMap((x) => [x, x]), ...columns]);
  };

  /** A dot where the threshold is. @param {uPlot} plot @param {{ fpr: number, tpr: number }} point */
  const drawPoint = ({ ctx, valToPos }, { fpr, tpr }) => {
    ctx.save();
    ctx.beginPath();
    ctx.arc(valToPos(fpr, 'x', true), valToPos(tpr, 'y', true), 5 * uPlot.pxRatio, 0, 2 * Math.PI);
    ctx.fillStyle = colour('ink');
    ctx.strokeStyle = colour('paper');
    ctx.lineWidth = 2 * uPlot.pxRatio;
    ctx.fill();
    ctx.stroke();
    ctx.restore();
  };

  /** @param {HTMLElement} box square, as far as it is not too wide */
  const rocHeight = (box) => Math.min(box.clientWidth, HEIGHT);

  /**
   * @param {HTMLElement} box @param {Roc} roc @param {Roc[]} others drawn behind it
   * @param {{ digits: number, point: () => { fpr: number, tpr: number } }} options
   */
  const rocCurve = (box, roc, others, { digits, point }) => {
    const options = common(box, rocHeight(box), (x) => {
      const fpr = Math.max(0, Math.min(1, x));
      return `OOD ${percent(fpr, digits)}: ID ${percent(tprAt(roc, fpr)[1] ?? 1, digits)}`;
    });
    return new uPlot(
      {
        ...options,
        scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1] } },
        axes: [axis('% of OOD accepted', 22, percentTick), axis('% of ID accepted', 40, percentTick)],
        series: [{}, ...others.map(() => line('ghost', 1.25)), line('ink', 2)],
        hooks: { ...options.hooks, draw: [(self) => drawPoint(self, point())] },
      },
      joined([...others, roc]),
      box,
    );
  };

  /** @param {uPlot} plot to the width that its box has now */
  const fit = (plot) => {
    const box = plot.root.parentElement;
    if (box === null || box.clientWidth === 0) return;
    plot.setSize({ width: box.clientWidth, height: box.classList.contains('roc') ? rocHeight(box) : HEIGHT });
  };

  return { histogram, rocCurve, fit, binOf, shares, short, percent };
})();
