/** The split-conformal threshold: the cut in ID scores that accepts a promised share of ID images. Pure. */
import { assertArguments } from '../base/arguments';
import { ClipnError } from '../base/errors';

export const DEFAULT_TARGET = 0.95;

/** An image of a calibration that could not be read. */
export interface UnreadableImage {
  image?: string | undefined;
  error: ClipnError;
}

/**
 * Rank of the threshold among n ID scores in ascending order, k = ⌊(1 − target)(n + 1)⌋: a new image from the same source
 * then scores below the k-th smallest with probability at most k / (n + 1) ≤ 1 − target. 0 when n is too small.
 */
export function conformalRank(n: number, target: number): number {
  // A whole number, were it not for the binary form of numbers such as 0.95.
  return n + 1 - Math.ceil(target * (n + 1) - 1e-9);
}

/** The fewest scores whose conformal rank is 1: ⌈1 / (1 − target)⌉ − 1, which is 19 for 0.95. */
export function scoresNeeded(target: number): number {
  return Math.ceil(1 / (1 - target) - 1e-9) - 1;
}

/**
 * The split-conformal threshold: accepting scores ≥ it accepts new ID images with a mean probability of at least `target`
 * and, when no scores are equal, of at most `target` + 1 / (n + 1). The mean is over draws of the n images too.
 *
 * @throws ERR_CLIPN_TOO_FEW_IMAGES with the number needed; ERR_CLIPN_SCORES for a score that is not finite;
 *   ERR_CLIPN_INVALID_ARG for a target that is not between 0 and 1
 */
export function conformalThreshold(scores: ArrayLike<number>, target: number): number {
  assertArguments({ scores: ['numbers', scores], target: ['number', target] });
  assertEnough(scores.length, target);
  for (let i = 0; i < scores.length; i++) {
    if (!Number.isFinite(scores[i])) {
      throw new ClipnError('ERR_CLIPN_SCORES', `the score of image ${i} (counted from 0) is ${scores[i]}`, {
        details: { index: i },
      });
    }
  }
  return Float64Array.from(scores).sort()[conformalRank(scores.length, target) - 1]!;
}

/** @throws ERR_CLIPN_INVALID_ARG for a target that is no share */
export function assertTarget(target: number): void {
  if (target > 0 && target < 1) return;
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `target must lie between 0 and 1, not be ${target}`);
}

/** @throws ERR_CLIPN_TOO_FEW_IMAGES with the number needed, ERR_CLIPN_INVALID_ARG for a target that is no share */
export function assertEnough(found: number, target: number, unreadable: readonly UnreadableImage[] = []): void {
  assertTarget(target);
  if (conformalRank(found, target) >= 1) return;
  const needed = scoresNeeded(target);
  const others = unreadable.length === 0 ? '' : ` and ${unreadable.length} that cannot be read`;
  throw new ClipnError(
    'ERR_CLIPN_TOO_FEW_IMAGES',
    `a target of ${target} needs at least ${needed} in-distribution images; there are ${found}${others}`,
    { details: { needed, found, target, unreadable } },
  );
}
