/** Fits a threshold on in-distribution images alone, by split-conformal prediction. docs/calibration.md */
import { assertArguments } from '../base/arguments';
import type { FittedCalibration } from '../decide/calibration';
import {
  assertEnough,
  assertTarget,
  conformalThreshold,
  DEFAULT_TARGET,
  type UnreadableImage,
} from '../decide/conformal';
import { fittedFor } from '../decide/fitted-for';
import { defaultScore } from '../decide/rule';
import type { DecodeOptions } from '../images/decode';
import type { ImageInput } from '../images/image-input';
import type { LabelBank } from '../labels/bank';
import { type DecidingScore, needsNegatives } from '../scores/names';
import type { Model } from './model';
import type { NegativesInput } from './negatives';
import { noneOf } from './photo-hashes';

export interface CalibrateOptions extends DecodeOptions {
  /** Score that will decide. Default `atd`; of a plain CLIP with negatives `negLabel`. */
  score?: DecidingScore | undefined;
  /** Words that are none of the labels, as a detector takes them. */
  negatives?: NegativesInput | undefined;
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
  unreadable: UnreadableImage[];
  /** What a detector with these labels and words warns of. */
  warnings: readonly string[];
}

/**
 * Scores in-distribution images exactly as a detector will, and fits the threshold that accepts the share `target` of
 * new ones from the same source, on average.
 *
 * The images must be a fair sample of those that will be accepted later, and none that the labels were chosen on or the
 * negatives were mined with.
 *
 * @throws ERR_CLIPN_TOO_FEW_IMAGES, ERR_CLIPN_SCORES, ERR_CLIPN_MODEL_CONTRACT (a score of the no tower on a plain CLIP),
 *   ERR_CLIPN_CALIBRATION (a photo that the negatives were mined with), what `createNegatives` throws,
 *   ERR_CLIPN_BANK_MISMATCH, ERR_CLIPN_INVALID_ARG, ERR_CLIPN_CLOSED, or `signal.reason`
 */
export async function calibrate(
  model: Model,
  bank: LabelBank,
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  options: CalibrateOptions = {},
): Promise<CalibrationRun> {
  assertArguments({
    model: ['model', model],
    bank: ['bank', bank],
    images: ['items', images],
    options: ['options', options],
  });
  const { target = DEFAULT_TARGET, negatives, signal, onProgress, score: wanted, ...decoding } = options;
  assertTarget(target);
  if (Array.isArray(images)) assertEnough(images.length, target);
  const words = negatives === undefined ? undefined : await model.createNegatives(bank, negatives, { signal });
  const score = wanted ?? defaultScore({ no: bank.no !== null, words: words?.words.length ?? 0 });
  // Any threshold: only the scores are read.
  const detector = await model.createDetector(bank, { ...decoding, score, threshold: 0, topK: 1, negatives: words });
  const scores: number[] = [];
  const unreadable: UnreadableImage[] = [];
  for await (const result of detector.stream(noneOf(words?.photos ?? [], images, decoding, signal), { signal })) {
    if ('error' in result) unreadable.push(result);
    else scores.push(result.scores[score]!);
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
      fittedFor: fittedFor(model.info, bank, decoding, needsNegatives(score) ? words : undefined),
    },
    accepted: scores.filter((value) => value >= threshold).length,
    tied: scores.filter((value) => value === threshold).length,
    unreadable,
    warnings: detector.warnings,
  };
}
