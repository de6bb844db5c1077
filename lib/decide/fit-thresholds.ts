/** From the scores of calibration images to the thresholds of a calibration, and what they rest on. Pure. docs/calibration.md */
import type { OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { shuffled, uniformSource } from '../base/random';
import { classOffsets } from './class-offsets';
import { ascending, assertEnough, conformalRank, DEFAULT_TARGET, type Promised, ranksOf } from './conformal';
import { assertCost, type Cost, costThreshold } from './cost';

/** What the thresholds are to do. */
export interface ThresholdOptions {
  /** Share of ID images that are not `out`, between 0 and 1. Default 0.95. Not with `cost`. */
  target?: number | undefined;
  /**
   * How sure the target is, over draws of the calibration images, e.g. 0.95: it takes more images, and accepts more OOD
   * images. Default: the target is kept on average. Not with `cost`.
   */
  confidence?: number | undefined;
  /** Share of ID images, the weakest that are not `out`, whose verdict is `review`. Default 0: none. Not with `cost`. */
  review?: number | undefined;
  /** A threshold for each class, drawn to the common one where there are few images. Uses half of the images for that. Default false. */
  classConditional?: boolean | undefined;
  /**
   * The threshold that costs least on the ID images and the OOD images given; it promises no target. Default: none, the
   * target decides.
   */
  cost?: Cost | undefined;
}

export const THRESHOLD_OPTIONS: OptionNames<ThresholdOptions> = {
  target: true,
  confidence: true,
  review: true,
  classConditional: true,
  cost: true,
};

/** Scores of images and the index of the top label of each. */
export interface ScoredImages {
  scores: readonly number[];
  top: readonly number[];
}

export interface FittedThresholds {
  in: number;
  out: number;
  /** ID scores that the thresholds rest on, less their offsets, ascending. */
  scores: number[];
  /** Share of new ID images between the two: that asked for, in whole ranks. */
  review?: number;
  /** [C], by class; absent without `classConditional`. */
  offsets?: number[];
}

/** Of the shuffle that halves the images: folders come sorted by class. */
const HALVING_SEED = 18;

/** What is asked for, with what is left out. @throws ERR_CLIPN_INVALID_ARG for what excludes each other or is no share */
export function promiseOf({ target, confidence, review = 0, cost }: ThresholdOptions): Promised | undefined {
  if (!(review >= 0 && review < 1)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `review must be at least 0 and below 1, not ${review}`);
  }
  if (cost === undefined) return { target: target ?? DEFAULT_TARGET, ...(confidence !== undefined && { confidence }) };
  assertCost(cost);
  if (review > 0) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', 'cost and review exclude each other', {
      hint: 'Of an image that somebody looks at no cost is known: leave one of them out.',
    });
  }
  if (target === undefined && confidence === undefined) return undefined;
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', 'cost and target exclude each other, and so do cost and confidence', {
    hint: 'A threshold is chosen either by what it keeps of the ID images or by what mistakes cost.',
  });
}

/**
 * Split-conformal thresholds. `out` is the score of the promise's rank k; `in` that of rank k + review · (n + 1), so that
 * the share `review` of new ID images lies between them.
 *
 * With `classConditional` one half of the images, drawn with a fixed seed, gives the offsets, and the other the thresholds
 * of scores less their offsets: the promise for all classes together is kept as without.
 *
 * @param count C, the number of labels
 * @throws ERR_CLIPN_TOO_FEW_IMAGES with the number needed, ERR_CLIPN_SCORES, ERR_CLIPN_INVALID_ARG
 */
export function fitThresholds(
  id: ScoredImages,
  ood: ScoredImages | undefined,
  count: number,
  options: ThresholdOptions,
): FittedThresholds {
  const { review = 0, classConditional = false, cost } = options;
  const promised = promiseOf(options);
  const target = promised?.target ?? DEFAULT_TARGET;
  if (promised || classConditional)
    assertEnough(id.scores.length, promised ?? { target }, { halves: classConditional });
  ascending(id.scores);
  const [shaping, ranking] = classConditional ? halves(id) : [undefined, id];
  const offsets = shaping && classOffsets(shaping.scores, shaping.top, count, target);
  const less = (of: ScoredImages) => of.scores.map((score, i) => score - (offsets?.[of.top[i]!] ?? 0));
  const sorted = ascending(less(ranking));
  const n = sorted.length;
  const k = promised
    ? conformalRank(n, promised)
    : ranksOf(sorted, costThreshold(sorted, ood ? less(ood) : [], cost!).threshold).below + 1;
  const band = Math.round(review * (n + 1));
  if (review > 0 && review * (n + 1) < 1 - 1e-9) {
    const needed = (Math.ceil((1 / review) * (1 - 1e-9)) - 1) * (classConditional ? 2 : 1);
    const found = id.scores.length;
    throw new ClipnError(
      'ERR_CLIPN_TOO_FEW_IMAGES',
      `a review band of ${review} needs ${needed} in-distribution images; there are ${found}`,
      { details: { needed, found } },
    );
  }
  if (k + band > n) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `a review band of ${review} leaves no image for "in"`);
  }
  return {
    in: sorted[k + band - 1]!,
    out: sorted[k - 1]!,
    scores: [...sorted],
    ...(band > 0 && { review: band / (n + 1) }),
    ...(offsets && { offsets }),
  };
}

/** Two random halves; the second is the larger of an odd number. */
function halves({ scores, top }: ScoredImages): [ScoredImages, ScoredImages] {
  const order = shuffled(scores.keys(), uniformSource(HALVING_SEED));
  const middle = Math.floor(order.length / 2);
  const part = (indices: number[]) => ({ scores: indices.map((i) => scores[i]!), top: indices.map((i) => top[i]!) });
  return [part(order.slice(0, middle)), part(order.slice(middle))];
}
