/** What is taken from a score before it meets the threshold, by its top label, so that every class keeps its share. Pure. */
import { scoresNeeded } from './conformal';

/**
 * Classes are told apart unequally well, so that one threshold accepts fewer images of some. The offset of class c is how
 * far the (1 − target) quantile of its n_c scores lies from that of all scores, times n_c / (n_c + m), with m a quarter
 * of `scoresNeeded` (of 0, 5, 10 and 19 at a target of 0.95, 5 kept the classes nearest to it in simulation, from 100
 * images on): a class without images has the offset 0, and the more images, the more its own.
 *
 * @param scores [n] of ID images
 * @param classes [n] top label of each
 * @param count C
 * @returns [C]
 */
export function classOffsets(
  scores: readonly number[],
  classes: ArrayLike<number>,
  count: number,
  target: number,
): number[] {
  const own = Array.from({ length: count }, () => [] as number[]);
  for (const [i, score] of scores.entries()) own[classes[i]!]!.push(score);
  const pooled = lowQuantile(scores, target);
  const shrink = scoresNeeded({ target }) / 4;
  return own.map((of) =>
    of.length === 0 ? 0 : (of.length / (of.length + shrink)) * (lowQuantile(of, target) - pooled),
  );
}

/** The first of the ascending scores up to which more than the share 1 − target lies. */
function lowQuantile(scores: readonly number[], target: number): number {
  const sorted = Float64Array.from(scores).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor((1 - target) * sorted.length + 1e-9))]!;
}
