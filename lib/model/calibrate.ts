/** Fits a threshold on in-distribution images alone, by split-conformal prediction. docs/calibration.md */

import { ClipnError } from '../base/errors';
import type { FittedCalibration } from '../decide/calibration';
import { provenanceOf } from '../decide/fitted-for';
import type { DecodeOptions, ImageInput } from '../images/decode';
import type { LabelBank } from '../labels/bank';
import type { DecidingScore } from '../scores/score';
import type { Model } from './model';

export const DEFAULT_TARGET = 0.95;

export interface CalibrateOptions extends DecodeOptions {
  /** Score that will decide. Default `atd`. */
  score?: DecidingScore | undefined;
  /** Share of ID images to accept on average, between 0 and 1. Default 0.95. */
  target?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called after every image with the number of those done. */
  onProgress?: ((done: number) => void) | undefined;
}

export interface CalibrationRun {
  calibration: FittedCalibration;
  /** Of the images fitted on, how many the threshold accepts, and how many of these lie exactly on it. */
  accepted: number;
  tied: number;
  /** Images that could not be read; the threshold was fitted without them. */
  unreadable: { image?: string | undefined; error: ClipnError }[];
}

/**
 * Rank of the threshold among n ID scores in ascending order, k = ⌊(1 − target)(n + 1)⌋: a new image from the same source
 * then scores below the k-th smallest with probability at most k / (n + 1) ≤ 1 − target. 0 when n is too small.
 */
export function conformalRank(n: number, target: number): number {
  // A whole number, were it not for the binary form of 0.95 and its like.
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

function assertTarget(target: number): void {
  if (target > 0 && target < 1) return;
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `target must lie between 0 and 1, not be ${target}`);
}

/** @throws ERR_CLIPN_TOO_FEW_IMAGES with the number needed, ERR_CLIPN_INVALID_ARG for a target that is no share */
export function assertEnough(found: number, target: number, unreadable: CalibrationRun['unreadable'] = []): void {
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

/**
 * Scores in-distribution images exactly as a detector will, and fits the threshold that accepts `target` of their like.
 *
 * The images must be a fair sample of those that will be accepted later, and none that the labels were chosen on.
 *
 * @throws ERR_CLIPN_TOO_FEW_IMAGES, ERR_CLIPN_SCORES, ERR_CLIPN_MODEL_CONTRACT (a score of the no tower on a plain CLIP),
 *   ERR_CLIPN_BANK_MISMATCH, ERR_CLIPN_INVALID_ARG, ERR_CLIPN_CLOSED, or `signal.reason`
 */
export async function calibrate(
  model: Model,
  bank: LabelBank,
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  { score = 'atd', target = DEFAULT_TARGET, signal, onProgress, ...decoding }: CalibrateOptions = {},
): Promise<CalibrationRun> {
  assertTarget(target);
  if (Array.isArray(images)) assertEnough(images.length, target);
  // Any threshold: only the scores are read.
  const detector = await model.createDetector(bank, { ...decoding, score, threshold: 0, topK: 1 });
  const scores: number[] = [];
  const unreadable: CalibrationRun['unreadable'] = [];
  for await (const result of detector.stream(images, { signal })) {
    if ('error' in result) unreadable.push(result);
    else scores.push(result.scores[score]);
    onProgress?.(scores.length + unreadable.length);
  }
  assertEnough(scores.length, target, unreadable);
  const threshold = conformalThreshold(scores, target);
  return {
    calibration: {
      formatVersion: 2,
      score,
      in: threshold,
      out: threshold,
      target,
      images: scores.length,
      created: new Date().toISOString(),
      fittedFor: provenanceOf(model.info, bank, decoding),
    },
    accepted: scores.filter((value) => value >= threshold).length,
    tied: scores.filter((value) => value === threshold).length,
    unreadable,
  };
}
