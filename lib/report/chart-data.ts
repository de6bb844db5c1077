/** What the charts of the page are drawn from: counts and curves of every score, embedded as JSON. */
import type { EvalResult } from '../evaluate/result';
import type { Interval } from '../metrics/intervals';

export interface ChartSet {
  name: string;
  /** Images per bin. */
  counts: number[];
  auroc: number;
  aurocInterval: Interval;
  fpr95: number;
  fpr95Interval: Interval;
  /** ROC vertices, rising. */
  roc: { fpr: number[]; tpr: number[] };
}

export interface ChartScore {
  name: string;
  formula: string;
  edges: number[];
  /** ID images per bin. */
  counts: number[];
  sets: ChartSet[];
}

/** What a calibration of the deciding score says of its values. */
export interface ChartVerdicts {
  in: number;
  /** Null without a review band. */
  reviewFrom: number | null;
  /** What each threshold would promise, by rising target. */
  targets: { target: number; threshold: number }[];
}

export interface ChartData {
  decidingScore: string;
  threshold: number;
  /** Decimals of a per cent. */
  digits: number;
  scores: ChartScore[];
  /** Null without a calibration, and where it has a threshold for each class. */
  verdicts: ChartVerdicts | null;
}

/** No chart shows more than five digits of a rate. */
const rounded = (values: readonly number[]): number[] => values.map((value) => Math.round(value * 1e5) / 1e5);

export function chartData(result: EvalResult, digits: number): ChartData {
  const scores = Object.entries(result.scores).map(([name, { formula, sets, histogram }]) => ({
    name,
    formula,
    edges: histogram.edges,
    counts: histogram.id,
    sets: Object.entries(sets).map(([set, of]) => ({
      name: set,
      counts: histogram.ood[set] ?? [],
      auroc: of.auroc,
      aurocInterval: of.intervals.auroc,
      fpr95: of.fprAtIdTpr95,
      fpr95Interval: of.intervals.fprAtIdTpr95,
      roc: { fpr: rounded(of.roc.fpr), tpr: rounded(of.roc.tpr) },
    })),
  }));
  const { decidingScore, threshold } = result;
  return { decidingScore, threshold, digits, scores, verdicts: verdictsOf(result) };
}

function verdictsOf({ calibration }: EvalResult): ChartVerdicts | null {
  // Results of earlier versions know one threshold, and no curve.
  if (calibration === null || calibration.byClass === true) return null;
  const { threshold, reviewFrom = null, curve = [] } = calibration;
  const targets = curve.map((each) => ({ target: each.target, threshold: each.threshold }));
  return { in: threshold, reviewFrom, targets };
}
