/** Split-conformal prediction on ID scores: the rank of a threshold that keeps a promise, and p-values. Pure. docs/calibration.md */
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { uniformSource } from '../base/random';
import { binomialCdf } from '../metrics/binomial';

export const DEFAULT_TARGET = 0.95;

/** What a threshold is to keep. */
export interface Promised {
  /** Share of ID images to accept, between 0 and 1. */
  target: number;
  /** Chance, over draws of the calibration images, that at least the target is accepted; on average when absent. */
  confidence?: number | undefined;
}

/** An image of a calibration that could not be read. */
export interface UnreadableImage {
  /** Its path, or the name or address it came with; absent for what has none. */
  image?: string | undefined;
  /** Why. */
  error: ClipnError;
}

/**
 * Rank of the threshold among n ID scores in ascending order; 0 when n is too small for the promise.
 *
 * On average: k = ⌊(1 − target)(n + 1)⌋; a new image from the same source then scores below the k-th smallest with
 * probability at most k / (n + 1) ≤ 1 − target. With confidence 1 − δ (probably approximately correct, PAC): the largest k
 * with P(Binomial(n, 1 − target) < k) ≤ δ, since the share below the k-th smallest is Beta(k, n + 1 − k).
 */
export function conformalRank(n: number, { target, confidence }: Promised): number {
  // A whole number, were it not for the binary form of numbers such as 0.95.
  const onAverage = n + 1 - Math.ceil(target * (n + 1) - 1e-9);
  if (confidence === undefined) return onAverage;
  let [low, high] = [0, n];
  while (low < high) {
    const k = Math.ceil((low + high) / 2);
    if (binomialCdf(k - 1, n, 1 - target) <= (1 - confidence) * (1 + 1e-12)) low = k;
    else high = k - 1;
  }
  return low;
}

/** The fewest scores whose rank is 1: ⌈1 / (1 − target)⌉ − 1, which is 19 for 0.95; with confidence ⌈ln δ / ln target⌉, 59 for 95/95. */
export function scoresNeeded({ target, confidence }: Promised): number {
  // Whole numbers, were it not for the binary form of shares.
  const up = (x: number) => Math.ceil(x * (1 - 1e-9));
  return confidence === undefined ? up(1 / (1 - target)) - 1 : up(Math.log(1 - confidence) / Math.log(target));
}

/**
 * The split-conformal threshold: accepting scores ≥ it accepts new ID images with a mean probability of at least `target`
 * and, when no scores are equal, of at most `target` + 1 / (n + 1). The mean is over draws of the n images too. With
 * `confidence` at least the share `target` is accepted with that chance over draws of the n images.
 *
 * @throws ERR_CLIPN_TOO_FEW_IMAGES with the number needed; ERR_CLIPN_SCORES for a score that is not finite;
 *   ERR_CLIPN_INVALID_ARG for a target or confidence that is not between 0 and 1
 */
export function conformalThreshold(scores: ArrayLike<number>, target: number, confidence?: number): number {
  assertArguments({ scores: ['numbers', scores], target: ['number', target] });
  if (confidence !== undefined) assertArguments({ confidence: ['number', confidence] });
  const promised = { target, confidence };
  assertEnough(scores.length, promised);
  return ascending(scores)[conformalRank(scores.length, promised) - 1]!;
}

/** A sorted copy. @throws ERR_CLIPN_SCORES for a score that is not finite */
export function ascending(scores: ArrayLike<number>): Float64Array {
  for (let i = 0; i < scores.length; i++) {
    if (!Number.isFinite(scores[i])) {
      throw new ClipnError('ERR_CLIPN_SCORES', `the score of image ${i} (counted from 0) is ${scores[i]}`, {
        details: { index: i },
      });
    }
  }
  return Float64Array.from(scores).sort();
}

/** How many of ascending scores are below a score, and how many are not above it. O(log n). */
export function ranksOf(sorted: ArrayLike<number>, score: number): { below: number; notAbove: number } {
  const first = (beyond: (value: number) => boolean) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (beyond(sorted[middle]!)) high = middle;
      else low = middle + 1;
    }
    return low;
  };
  return { below: first((value) => value >= score), notAbove: first((value) => value > score) };
}

/**
 * The p-value of "this image is ID": (1 + calibration scores ≤ the score) / (n + 1). Of new ID images at most the share α
 * has a p-value ≤ α, for every α, on average over draws of the n images.
 *
 * @param sorted calibration scores in ascending order
 */
export function pValueOf(sorted: ArrayLike<number>, score: number): number {
  return (1 + ranksOf(sorted, score).notAbove) / (sorted.length + 1);
}

/** Options of `conformalPValues`. */
export interface PValueOptions {
  /** Break ties at random, so that p-values of ID images are exactly uniform: (below + u · (1 + equal)) / (n + 1). Default false. */
  smoothing?: boolean | undefined;
  /** Of the numbers u in (0, 1], one for each score in turn. Default 0. */
  seed?: number | undefined;
}

const P_VALUE_OPTIONS: OptionNames<PValueOptions> = { smoothing: true, seed: true };

/**
 * P-values of many scores (`pValue` of a calibrated answer, which is never smoothed, so that the same image has the same).
 *
 * @param calibrationScores [n] of ID images, in any order
 * @throws ERR_CLIPN_SCORES for a score that is not finite, or no calibration score; ERR_CLIPN_INVALID_ARG
 */
export function conformalPValues(
  calibrationScores: ArrayLike<number>,
  scores: ArrayLike<number>,
  options: PValueOptions = {},
): Float64Array {
  assertArguments({
    calibrationScores: ['numbers', calibrationScores],
    scores: ['numbers', scores],
    options: ['options', options],
  });
  assertOptionNames('conformalPValues', options, P_VALUE_OPTIONS);
  const { smoothing = false, seed = 0 } = options;
  assertArguments({ smoothing: ['flag', smoothing], seed: ['number', seed] });
  if (calibrationScores.length === 0) throw new ClipnError('ERR_CLIPN_SCORES', 'there are no calibration scores');
  const sorted = ascending(calibrationScores);
  ascending(scores);
  const uniform = uniformSource(seed);
  return Float64Array.from(scores, (score) => {
    if (!smoothing) return pValueOf(sorted, score);
    const { below, notAbove } = ranksOf(sorted, score);
    return (below + (1 - uniform()) * (1 + notAbove - below)) / (sorted.length + 1);
  });
}

/** @throws ERR_CLIPN_INVALID_ARG for a target or a confidence that is no share */
export function assertPromise(promised: Promised): void {
  for (const [name, value] of Object.entries({ target: promised.target, confidence: promised.confidence ?? 0.5 })) {
    if (value > 0 && value < 1) continue;
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${name} must lie between 0 and 1, not be ${value}`);
  }
}

/** @throws ERR_CLIPN_TOO_FEW_IMAGES with the number needed, ERR_CLIPN_INVALID_ARG for a promise that is no share */
export function assertEnough(
  found: number,
  promised: Promised,
  { unreadable = [], halves = false }: { unreadable?: readonly UnreadableImage[]; halves?: boolean } = {},
): void {
  assertPromise(promised);
  const needed = scoresNeeded(promised) * (halves ? 2 : 1);
  if (found >= needed) return;
  const { target, confidence } = promised;
  const sure = confidence === undefined ? '' : ` with confidence ${confidence}`;
  const byClass = halves ? ' (half of them for the offsets of classes)' : '';
  const others = unreadable.length === 0 ? '' : ` and ${unreadable.length} that cannot be read`;
  throw new ClipnError(
    'ERR_CLIPN_TOO_FEW_IMAGES',
    `a target of ${target}${sure} needs at least ${needed} in-distribution images${byClass}; there are ${found}${others}`,
    { details: { needed, found, target, ...(confidence !== undefined && { confidence }), unreadable } },
  );
}
