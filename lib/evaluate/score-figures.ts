/** Figures of one score: metrics, histogram, thresholds, and what each class makes of it. Pure. */
import { averageMetrics, RECALL, setMetrics } from '../metrics/metrics';
import type { Scorer } from '../scores/scorers';
import type { ClassResult, Histogram, ScoreResults } from './result';
import type { Scored } from './score-pass';

const BINS = 50;

/** @param id, ood values of one score */
export function scoreResults(
  { formula, source }: Scorer,
  id: Float64Array,
  ood: Readonly<Record<string, Float64Array>>,
): ScoreResults {
  const sets = Object.fromEntries(Object.entries(ood).map(([name, values]) => [name, setMetrics(id, values)]));
  return { formula, source, sets, average: averageMetrics(Object.values(sets)), histogram: histogram(id, ood) };
}

/** Equal bins between the smallest and the largest value of all sets. */
export function histogram(id: Float64Array, ood: Readonly<Record<string, Float64Array>>): Histogram {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const values of [id, ...Object.values(ood)]) {
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  // All equal: a bin around the value.
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const edges = Array.from({ length: BINS + 1 }, (_, i) => (i === BINS ? high : low + ((high - low) * i) / BINS));
  const counts = (values: Float64Array) => {
    const bins = new Array<number>(BINS).fill(0);
    for (const value of values) bins[Math.min(BINS - 1, Math.floor(((value - low) / (high - low)) * BINS))]! += 1;
    return bins;
  };
  return {
    edges,
    id: counts(id),
    ood: Object.fromEntries(Object.entries(ood).map(([name, values]) => [name, counts(values)])),
  };
}

/** The highest threshold that at least 95 % of the values reach. */
export function recallThreshold(id: Float64Array): number {
  const rising = Float64Array.from(id).sort();
  let kept = Math.max(1, Math.floor(RECALL * rising.length));
  while (kept / rising.length < RECALL) kept++;
  return rising[rising.length - kept]!;
}

/** The share of values that reach the threshold. */
export function acceptedShare(values: Float64Array, threshold: number): number {
  return values.reduce((count, value) => count + (value >= threshold ? 1 : 0), 0) / values.length;
}

/**
 * @param truth label of each ID image, -1 where it is not known
 * @param deciding name of the score that accepts
 */
export function classResults(
  labels: readonly string[],
  truth: Int32Array,
  id: Scored,
  ood: readonly Scored[],
  deciding: string,
  threshold: number,
): ClassResult[] {
  const zeros = () => new Int32Array(labels.length);
  const [images, right, accepted, falseAccepts] = [zeros(), zeros(), zeros(), zeros()];
  for (const [i, label] of truth.entries()) {
    if (label === -1) continue;
    images[label]! += 1;
    if (id.top[i] === label) right[label]! += 1;
    if (id.scores[deciding]![i]! >= threshold) accepted[label]! += 1;
  }
  for (const { scores, top } of ood) {
    for (const [i, value] of scores[deciding]!.entries()) if (value >= threshold) falseAccepts[top[i]!]! += 1;
  }
  const share = (count: Int32Array, j: number) => (images[j] === 0 ? null : count[j]! / images[j]!);
  return labels.map((label, j) => ({
    label,
    images: images[j]!,
    accuracy: share(right, j),
    accepted: share(accepted, j),
    falseAccepts: falseAccepts[j]!,
  }));
}
