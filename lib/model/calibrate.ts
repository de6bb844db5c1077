/** Scores images of a model's labels and fits the thresholds of a detector on them. docs/calibration.md */
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import { ClipnError, isOutOfHandles } from '../base/errors';
import { calibratedScore, type FittedCalibration, type FittedGuard } from '../decide/calibration';
import { assertEnough, type UnreadableImage } from '../decide/conformal';
import {
  fitThresholds,
  promiseOf,
  type ScoredImages,
  THRESHOLD_OPTIONS,
  type ThresholdOptions,
} from '../decide/fit-thresholds';
import { fittedFor } from '../decide/fitted-for';
import { type Differences, marginsOf } from '../decide/guard';
import { defaultScore } from '../decide/rule';
import { assertDecoding, DECODE_OPTIONS, type DecodeOptions } from '../images/decode';
import type { ImageInput } from '../images/image-input';
import type { LabelBank } from '../labels/bank';
import { type Interval, wilsonInterval } from '../metrics/intervals';
import { type DecidingScore, needsNegatives } from '../scores/names';
import type { ModelInfo } from './info';
import type { Model } from './model';
import type { NegativesInput } from './negatives';
import { noneOf } from './photo-hashes';

/** Options of `calibrate`. */
export interface CalibrateOptions extends DecodeOptions, ThresholdOptions {
  /** Score that will decide. Default `atd`; of a plain CLIP with negatives `negLabel`. */
  score?: DecidingScore | undefined;
  /** Words that are none of the labels, as a detector takes them. Default none. */
  negatives?: NegativesInput | undefined;
  /** Known OOD images: for `cost`, and to tell what the threshold lets through. Default none. */
  ood?: Iterable<ImageInput> | AsyncIterable<ImageInput> | undefined;
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal | undefined;
  /** Called after every image with the number of those done. */
  onProgress?: ((done: number) => void) | undefined;
}

const CALIBRATE_OPTIONS: OptionNames<CalibrateOptions> = {
  ...DECODE_OPTIONS,
  ...THRESHOLD_OPTIONS,
  score: true,
  negatives: true,
  ood: true,
  signal: true,
  onProgress: true,
};

/** What becomes of the OOD images given. */
export interface OodPrice {
  /** OOD images that could be read. */
  images: number;
  /** How many of them the calibration accepts. */
  accepted: number;
  /** `accepted` / `images`. */
  share: number;
  /** Of the share (Wilson). */
  interval: Interval;
}

/** What `calibrate` gives. */
export interface CalibrationRun {
  /** For `createDetector` and `saveCalibration`. */
  calibration: FittedCalibration;
  /** Of the ID images that the thresholds rest on, how many are accepted. */
  accepted: number;
  /** How many of them lie exactly on the lower threshold. */
  tied: number;
  /** The price, where `ood` was given and some of it can be read. */
  ood?: OodPrice;
  /** Images that could not be read; all else was done without them. */
  unreadable: UnreadableImage[];
  /** What a detector with these labels and words warns of. */
  warnings: readonly string[];
}

/**
 * Scores in-distribution images exactly as a detector will, and fits thresholds: of new images from the same source the
 * share `target` is not `out`, on average or with `confidence`; or mistakes cost least. docs/calibration.md
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
  assertOptionNames('calibrate', options, CALIBRATE_OPTIONS);
  const { negatives, signal, onProgress, score: wanted, ood, ...rest } = options;
  const { target, confidence, review, classConditional = false, cost, ...decoding } = rest;
  const asked = { target, confidence, review, classConditional, cost };
  assertThresholdOptions(asked, ood);
  assertDecoding(decoding);
  const promised = promiseOf(asked);
  if (Array.isArray(images) && promised) assertEnough(images.length, promised, { halves: classConditional });
  const words = negatives === undefined ? undefined : await model.createNegatives(bank, negatives, { signal });
  const score = wanted ?? defaultScore({ no: bank.no !== null, words: words?.words.length ?? 0 });
  // Any threshold: only the scores are read.
  const fitting = { ...decoding, score, threshold: 0, topK: 1, negatives: words };
  const detector = await model.detectorFor(bank, fitting, false, false);
  // Of a label given twice the first row counts, as in an answer.
  const classOf = new Map(bank.labels.map((label, c) => [label, c] as const).reverse());
  const unreadable: UnreadableImage[] = [];
  let done = 0;
  const scoreAll = async (given: Iterable<ImageInput> | AsyncIterable<ImageInput>) => {
    const scored = { scores: [] as number[], top: [] as number[], differences: [] as Differences[] };
    for await (const result of detector.measured(given, signal)) {
      // No fault of this image: the threshold would be fitted on fewer than were given.
      if ('error' in result && isOutOfHandles(result.error)) throw result.error;
      if ('error' in result) unreadable.push(result);
      else {
        scored.scores.push(result.scores[score]!);
        scored.top.push(classOf.get(result.label)!);
        if (result.differences) scored.differences.push(result.differences);
      }
      onProgress?.(++done);
    }
    return scored;
  };
  const id = await scoreAll(noneOf(words?.photos ?? [], images, decoding, signal));
  if (promised) assertEnough(id.scores.length, promised, { unreadable, halves: classConditional });
  const others = ood && (await scoreAll(ood));
  const fitted = fitThresholds(id, others, bank.labels.length, asked);
  const calibration: FittedCalibration = {
    formatVersion: 3,
    score,
    in: fitted.in,
    out: fitted.out,
    ...promised,
    ...(fitted.review !== undefined && { review: fitted.review }),
    ...(cost && { cost: { ...cost } }),
    images: id.scores.length,
    scores: fitted.scores,
    ...(fitted.offsets && { offsets: fitted.offsets }),
    ...guardField(model.info.first, [...id.differences, ...(others?.differences ?? [])]),
    created: new Date().toISOString(),
    fittedFor: fittedFor(model.info, bank, decoding, needsNegatives(score) ? words : undefined),
  };
  return {
    calibration,
    accepted: fitted.scores.filter((value) => value >= fitted.in).length,
    tied: fitted.scores.filter((value) => value === fitted.out).length,
    ...(others && others.scores.length > 0 && { ood: priceOf(calibration, others) }),
    unreadable,
    warnings: detector.warnings,
  };
}

function assertThresholdOptions(
  { target, confidence, review, cost, classConditional }: ThresholdOptions,
  ood: unknown,
) {
  for (const [name, value] of Object.entries({ target, confidence, review })) {
    if (value !== undefined) assertArguments({ [name]: ['number', value] });
  }
  assertArguments({ classConditional: ['flag', classConditional] });
  if (ood !== undefined) assertArguments({ ood: ['items', ood] });
  if (cost === undefined) return;
  assertArguments({ cost: ['record', cost] });
  if (ood === undefined) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', 'cost needs known OOD images', {
      hint: 'Give them as `ood`, on the command line --ood; or leave the cost out for a target.',
    });
  }
}

/** The margins of a guarded model on these images; none where they are few, or the score is too near 1 to tell. */
function guardField(first: ModelInfo['first'], differences: readonly Differences[]): { guard?: FittedGuard } {
  const { score, label } = marginsOf(differences, false);
  if (first === null || !Number.isFinite(score) || !Number.isFinite(label)) return {};
  return { guard: { first, images: differences.length, score, label } };
}

function priceOf(calibration: FittedCalibration, { scores, top }: ScoredImages): OodPrice {
  const images = scores.length;
  const { score } = calibration;
  const accepted = scores.filter(
    (value, i) => calibratedScore(calibration, { [score]: value }, top[i]!) >= calibration.in,
  ).length;
  return { images, accepted, share: accepted / images, interval: wilsonInterval(accepted, images) };
}
