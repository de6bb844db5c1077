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

export interface ChartData {
  decidingScore: string;
  threshold: number;
  /** Decimals of a per cent. */
  digits: number;
  scores: ChartScore[];
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
  return { decidingScore: result.decidingScore, threshold: result.threshold, digits, scores };
}
