/** Images to verdicts: one image, a list, or a stream. */

import { createHash } from 'node:crypto';
import { assertArguments, assertOptionNames, type OptionNames, shown } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { inOrder } from '../base/in-order';
import { assertCalibrationFits, type Calibration, calibratedPValue, parseCalibration } from '../decide/calibration';
import { fittedFor } from '../decide/fitted-for';
import { type Differences, differencesOf, isTooClose } from '../decide/guard';
import { type LabelThresholds, presentLabels, thresholdsOf } from '../decide/present';
import { type Decision, decide, decidingName, decisionOf, type Rule, ruleWarning, type Verdict } from '../decide/rule';
import { assertDecoding, DECODE_OPTIONS, type DecodeOptions, decodeRegion } from '../images/decode';
import { collectImage, type ImageInput, nameOf, type Region, splitRegion } from '../images/image-input';
import { type Quality, qualityOf } from '../images/quality';
import type { LabelBank } from '../labels/bank';
import type { NativeScores } from '../native/addon';
import type { FirstPrecision } from '../native/placement';
import { DECIDING_SCORES, type DecidingScore, needsNegatives, type Scores } from '../scores/names';
import type { NegativeBank } from '../scores/negatives';
import type { ScoreResult } from '../scores/score';
import { comparedWarnings } from './bank-warnings';
import type { DetectorHost } from './detector-host';
import { decidingRows, type Guard, guardOf, labelSpaceOf, measuredRows } from './guard';
import type { Consumer, Encoded, ImageRequest } from './image-queue';
import type { ModelInfo } from './info';
import { assertNegativesFit, type NegativesInput } from './negatives';
import { CLOSE_OPTIONS, type CloseOptions } from './options';
import { mapAbsence, type SeenImage, type Why, whyOf } from './why';

/** What a detector decides by, and what its answers hold. */
export interface DetectorOptions extends DecodeOptions {
  /** Score that decides. Default the calibration's, else `atd`; of a plain CLIP with negatives the nearest decides. */
  score?: DecidingScore;
  /**
   * In when the score is at least this. Without it, ctw and atd follow the paper's threshold-free rules, and maxLogit with
   * negatives is in when no word is nearer than the nearest label.
   */
  threshold?: number;
  /** Thresholds of `calibrate`, or by hand, that decide. Not with `threshold`. Default none. */
  calibration?: Calibration;
  /**
   * Words that are none of the labels: 'wordnet' (its words mined for these labels), a list, a file of words or of
   * `saveNegatives`, what `mineNegatives` gave, or what `model.createNegatives` gave. Default none.
   */
  negatives?: NegativesInput;
  /** Also tell every label that is present by itself: `present` of an answer. Default: not told. */
  present?: LabelThresholds;
  /** Entries of `top`. Default 5. */
  topK?: number;
  /** Also return logits, the hash of the pixels the tower saw, and the feature. Default false. */
  trace?: boolean;
}

export const DETECTOR_OPTIONS: OptionNames<DetectorOptions> = {
  ...DECODE_OPTIONS,
  score: true,
  threshold: true,
  calibration: true,
  negatives: true,
  present: true,
  topK: true,
  trace: true,
};

/** One class of an image's top list, by falling p. */
export interface TopEntry {
  /** Its name. */
  label: string;
  /** Softmax share among the labels, in [0, 1]. */
  p: number;
  /** Yes against no for this label alone, in [0, 1]; NaN for a plain CLIP. */
  pYes: number;
}

/** The answer for one image. */
export interface CheckResult {
  /** The path as given, or the name or address of a file, URL or response; absent for what has none. */
  image?: string;
  /** Of which part of the image this is the answer; absent for the whole. */
  region?: Region;
  /** Why a verdict on this image means little; absent where nothing speaks against it. */
  quality?: Quality;
  /** The nearest label, whatever the verdict. */
  label: string;
  /** With negatives: the nearest word, whatever the verdict. */
  nearestWord?: string;
  /** What was decided. */
  verdict: Verdict;
  /**
   * With a calibration: share of images of your classes that score no higher, (1 + calibration scores ≤ the score) / (n + 1),
   * in (0, 1]. Of new images of your classes at most the share α has one of at most α.
   */
  pValue?: number;
  /** What decided. */
  rule: Rule;
  /** All scores that can be had. */
  scores: Scores;
  /** The nearest labels, `topK` of them, by falling p. */
  top: TopEntry[];
  /**
   * Of a guarded model: the arithmetic that these numbers come from. With `int8` or `bf16` verdict and label are those of
   * fp32, as far as the margins of `detector.guard` hold; scores and `pValue` are near them.
   */
  precision?: FirstPrecision | 'fp32';
  /** With `present`: each label whose own p_yes reaches its threshold, by falling p_yes; whatever the verdict. */
  present?: Omit<TopEntry, 'p'>[];
  /** With `why`: what the verdict rests on. */
  why?: Why;
  /** With `trace`: a (yes) and b (no) for each label, in label order. */
  logits?: { yes: number[]; no: number[] };
  /** With `trace`: SHA-256 of the S × S × 3 RGB bytes after resize and crop. */
  pixelsSha256?: string;
  /** With `trace`: the image's D numbers. */
  feature?: number[];
}

/** An image of a list or stream that could not be answered; the others are. */
export interface CheckFailure {
  /** As of a `CheckResult`. */
  image?: string;
  /** As of a `CheckResult`. */
  region?: Region;
  /** Why. */
  error: ClipnError;
}

/** Options of `detector.check` and `detector.stream`. */
export interface CheckOptions {
  /** Also say why: in a sentence, label by label, and where in the image (docs/reasons.md). Default false. */
  why?: boolean;
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal;
}

const CHECK_OPTIONS: OptionNames<CheckOptions> = { why: true, signal: true };

type Judged = Omit<CheckResult, 'image' | 'region' | 'quality' | 'why'> & {
  explain?: (seen: SeenImage) => Why;
  differences?: Differences;
};

/** An answer in fp32 and, of a guarded model, how far its first tower is from it. */
export type MeasuredResult = CheckResult & { differences?: Differences };

/** Made by `model.createDetector` or `loadDetector`. */
export class Detector {
  /** Its classes. */
  readonly bank: LabelBank;
  /** Why the verdicts may mislead: notes on the labels and on the rule. */
  readonly warnings: readonly string[];
  readonly #negatives: NegativeBank | undefined;
  readonly #host: DetectorHost;
  readonly #options: Omit<DetectorOptions, 'negatives'>;
  readonly #decision: Decision;
  readonly #ownsModel: boolean;
  readonly #judge: Consumer<Judged>;
  readonly #present: readonly number[] | undefined;
  /** As `#judge`, for who wants to know why. */
  readonly #explain: Consumer<Judged>;
  /** As `#judge`, by a guarded model's first tower where that decides. */
  readonly #judgeFirst: Consumer<Judged>;
  /** As `#judge`, and how far the first tower is from it. */
  readonly #measure: Consumer<Judged>;
  #guard: Guard | undefined;

  /** @internal */
  constructor(
    host: DetectorHost,
    bank: LabelBank,
    negatives: NegativeBank | undefined,
    options: Omit<DetectorOptions, 'negatives'>,
    ownsModel = false,
  ) {
    if (negatives) assertNegativesFit(negatives, bank);
    if (options.calibration !== undefined) parseCalibration(options.calibration, 'the calibration');
    this.#host = host;
    this.bank = bank;
    this.#negatives = negatives;
    this.#options = options;
    this.#present = options.present === undefined ? undefined : thresholdsOf(options.present, bank);
    this.#decision = decisionOf(options, {
      no: bank.no !== null,
      words: negatives?.words.length ?? 0,
      labels: bank.labels.length,
    });
    this.#ownsModel = ownsModel;
    this.#judge = { wantsPixels: options.trace === true, answer: (encoded, n) => this.#judgeRows(encoded, n) };
    this.#explain = {
      wantsPixels: options.trace === true,
      wantsContributions: mapAbsence(host.info, bank) === undefined,
      answer: (encoded, n) => this.#judgeRows(encoded, n, true),
    };
    this.#judgeFirst = {
      wantsPixels: options.trace === true,
      own: this.#judge,
      answer: (encoded, n) => this.#judgeByFirst(encoded, n),
    };
    this.#measure = {
      wantsPixels: false,
      wantsFirst: host.info.first !== null,
      answer: (encoded, n) => this.#measureRows(encoded, n),
    };
    if (options.calibration !== undefined) {
      const compared = needsNegatives(options.calibration.score) ? negatives : undefined;
      assertCalibrationFits(options.calibration, fittedFor(host.info, bank, options, compared), bank.labels.length);
    }
    const few = ruleWarning(this.#decision, bank.labels.length);
    this.warnings = Object.freeze([
      ...comparedWarnings(host.info, bank, negatives, decidingName(this.#decision)),
      ...(few === undefined ? [] : [few]),
    ]);
  }

  /** @internal What its scores are made of. */
  get scoring(): { info: ModelInfo; bank: LabelBank; negatives: NegativeBank | undefined } {
    return { info: this.#host.info, bank: this.bank, negatives: this.#negatives };
  }

  /** Which images are encoded again in fp32; undefined unless the model is guarded (docs/precision.md). */
  get guard(): Guard | undefined {
    return this.#guard;
  }

  /** @internal From here on the first tower of a guarded model answers what it can. */
  async measureGuard(): Promise<void> {
    const present = this.#present !== undefined;
    this.#guard = await guardOf({
      host: this.#host,
      bank: this.bank,
      negatives: this.#negatives,
      decision: this.#decision,
      present,
    });
  }

  /**
   * Judges one image, or a list of them in order.
   *
   * A single image that cannot be read rejects; in a list it becomes a `CheckFailure` and the others are answered.
   * Single images asked for at the same time go to the tower together. Do not change a buffer before its answer: it is
   * read when there is room for its pixels.
   *
   * @throws ERR_CLIPN_IMAGE_*, ERR_CLIPN_INVALID_ARG, ERR_CLIPN_QUEUE_FULL (a single image, `queue.whenFull: 'reject'`),
   *   ERR_CLIPN_CLOSED, or `signal.reason`
   */
  check(image: ImageInput, options: CheckOptions & { why: true }): Promise<CheckResult & { why: Why }>;
  check(image: ImageInput, options?: CheckOptions): Promise<CheckResult>;
  check(images: readonly ImageInput[], options?: CheckOptions): Promise<(CheckResult | CheckFailure)[]>;
  async check(
    input: ImageInput | readonly ImageInput[],
    options: CheckOptions = {},
  ): Promise<CheckResult | (CheckResult | CheckFailure)[]> {
    assertArguments({ options: ['options', options] });
    assertOptionNames('check', options, CHECK_OPTIONS);
    const { signal } = options;
    const consumer = this.#consumerFor(options);
    if (!Array.isArray(input)) {
      const result = await this.#answer(input as ImageInput, consumer, 'single', signal);
      if ('error' in result) throw result.error;
      return result;
    }
    const results: (CheckResult | CheckFailure)[] = [];
    await this.#host.queue.callOfMany(async () => {
      for await (const result of this.#inOrder(input, consumer, 'listed', signal)) results.push(result);
    });
    return results;
  }

  /**
   * Judges images as they come, in order, reading a bounded number ahead. Leaving the loop ends the source.
   *
   * @throws ERR_CLIPN_CLOSED, `signal.reason`, or what the source throws; an unreadable image is a `CheckFailure`
   */
  async *stream(
    source: Iterable<ImageInput> | AsyncIterable<ImageInput>,
    options: CheckOptions = {},
  ): AsyncGenerator<CheckResult | CheckFailure, void, undefined> {
    assertArguments({ source: ['items', source], options: ['options', options] });
    assertOptionNames('stream', options, CHECK_OPTIONS);
    yield* this.#inOrder(source, this.#consumerFor(options), 'streamed', options.signal);
  }

  /** @internal As `stream`, in fp32, and beside it how far a guarded model's first tower is. */
  async *measured(
    source: Iterable<ImageInput> | AsyncIterable<ImageInput>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<MeasuredResult | CheckFailure, void, undefined> {
    yield* this.#inOrder(source, this.#measure, 'streamed', signal);
  }

  #consumerFor({ why }: CheckOptions): Consumer<Judged> {
    if (why === true) return this.#explain;
    if (why === undefined || why === false) return this.#guard ? this.#judgeFirst : this.#judge;
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `why must be true or false, not ${shown(why)}`);
  }

  #inOrder(
    source: Iterable<ImageInput> | AsyncIterable<ImageInput>,
    consumer: Consumer<Judged>,
    kind: 'listed' | 'streamed',
    signal: AbortSignal | undefined,
  ) {
    const start = (input: ImageInput, leave: AbortSignal) => this.#answer(input, consumer, kind, leave);
    const { room, roomForTwice } = this.#host.queue;
    return inOrder(source, start, { window: this.#guard ? roomForTwice : room, signal });
  }

  /** An image that cannot be read is a `CheckFailure`; whatever else goes wrong is thrown. */
  async #answer(
    input: ImageInput,
    consumer: Consumer<Judged>,
    kind: ImageRequest<Judged>['kind'],
    signal: AbortSignal | undefined,
  ): Promise<MeasuredResult | CheckFailure> {
    const asked: Pick<CheckResult, 'image' | 'region' | 'quality'> = {};
    let size = { width: 0, height: 0 };
    let unreadable: unknown;
    const readable = async <T>(read: Promise<T>): Promise<T> =>
      read.catch((error) => {
        unreadable = error;
        throw error;
      });
    try {
      const { whole, region } = splitRegion(input);
      const image = nameOf(whole);
      if (image !== undefined) asked.image = image;
      if (region !== undefined) asked.region = region;
      const collected = collectImage(whole, this.#options, signal);
      const given = collected instanceof Promise ? await readable(collected) : collected;
      const decode = async () => {
        const decoded = await readable(decodeRegion(given, region, this.#options));
        const quality = qualityOf(decoded, this.#host.info.config.architecture.patchSize);
        if (quality !== undefined) asked.quality = quality;
        size = { width: decoded.width, height: decoded.height };
        return decoded;
      };
      const { explain, ...judged } = await this.#host.queue.submit({ decode, consumer, kind, signal });
      const why = explain?.({ ...size, region, quality: asked.quality });
      return { ...asked, ...judged, ...(why && { why }) };
    } catch (error) {
      if (!(error instanceof ClipnError)) throw error;
      // An argument of one image: options were checked before.
      if (error === unreadable || error.code === 'ERR_CLIPN_INVALID_ARG') return { ...asked, error };
      throw error;
    }
  }

  async #judgeRows(encoded: Encoded, n: number, why = false): Promise<Judged[]> {
    const { features, contributions } = encoded;
    const scored = await this.#score(features, this.#topK);
    const precision = this.#host.info.first === null ? undefined : 'fp32';
    return Array.from({ length: n }, (_, i) => {
      const judged = this.#judged(scored, encoded, i, n, precision);
      return why ? { ...judged, explain: this.#explanation(judged, scored, features, contributions, i, n) } : judged;
    });
  }

  /** Of the rows that fp32 might judge otherwise undefined. */
  async #judgeByFirst(encoded: Encoded, n: number): Promise<(Judged | undefined)[]> {
    const scored = await this.#score(encoded.features, this.#topK, true);
    const { first, margins } = this.#guard!;
    const thresholds = this.#present;
    return decidingRows(scored, n, labelSpaceOf(this.#host, this.bank), margins.label).map((row, i) => {
      const present = thresholds && { gaps: gapsOf(logitsOf(scored, i, n)), thresholds };
      const isClose = isTooClose(this.#decision, { ...row, present }, margins);
      return isClose ? undefined : this.#judged(scored, encoded, i, n, first);
    });
  }

  async #measureRows(encoded: Encoded, n: number): Promise<Judged[]> {
    const judged = this.#judgeRows(encoded, n);
    if (encoded.first === undefined) return await judged;
    const measured = async (features: Float32Array) => measuredRows(await this.#score(features, 1, true), n);
    const [answers, first, own] = await Promise.all([judged, measured(encoded.first), measured(encoded.features)]);
    const space = labelSpaceOf(this.#host, this.bank);
    return answers.map((answer, i) => ({
      ...answer,
      differences: differencesOf(this.#decision, space, first[i]!, own[i]!),
    }));
  }

  get #topK(): number {
    return this.#options.topK ?? 5;
  }

  #score(features: Float32Array, topK: number, logits = this.#options.trace === true || this.#present !== undefined) {
    return this.#host.scoreFeatures(features, this.bank, { topK, logits, negatives: this.#negatives });
  }

  #judged(
    scored: ScoreResult & Pick<NativeScores, 'logitsYes' | 'logitsNo'>,
    { features, pixels }: Encoded,
    i: number,
    n: number,
    precision: CheckResult['precision'],
  ): Judged {
    return {
      ...this.#verdict(scored, i),
      ...(precision && { precision }),
      ...(this.#present && { present: presentLabels(this.bank.labels, this.#present, logitsOf(scored, i, n)) }),
      ...(this.#options.trace && pixels !== undefined && this.#trace(scored, features, pixels, i, n)),
    };
  }

  #explanation(
    answer: Judged,
    scored: ScoreResult,
    features: Float32Array,
    contributions: Float32Array | undefined,
    i: number,
    n: number,
  ): (seen: SeenImage) => Why {
    const judged = {
      ...answer,
      decision: this.#decision,
      indices: Array.from(scored.topIndex.subarray(i * scored.k, (i + 1) * scored.k)),
      logQMax: scored.logQMax[i]!,
      wordMax: scored.wordMax[i]!,
      feature: rowOf(features, i, n),
      contributions: contributions && rowOf(contributions, i, n),
    };
    return (seen) => whyOf(judged, this.bank, this.#host.info, seen);
  }

  #verdict(scored: ScoreResult, i: number): Judged {
    const words = this.#negatives?.words;
    const scores = {} as Scores;
    for (const name of [...DECIDING_SCORES, 'logPOut'] as const) {
      if (words || !needsNegatives(name)) scores[name] = scored[name][i]!;
    }
    const top: TopEntry[] = [];
    for (let j = i * scored.k; j < i * scored.k + Math.min(this.#topK, scored.k); j++) {
      top.push({ label: this.bank.labels[scored.topIndex[j]!]!, p: scored.topP[j]!, pYes: scored.topPYes[j]! });
    }
    const others = { logQMax: scored.logQMax[i]!, wordMax: scored.wordMax[i]!, top: scored.topIndex[i * scored.k]! };
    const { calibration } = this.#options;
    const pValue = calibration && calibratedPValue(calibration, scores, others.top);
    return {
      label: top[0]!.label,
      ...(words && { nearestWord: words[scored.wordIndex[i]!]! }),
      verdict: decide(this.#decision, scores, others),
      ...(pValue !== undefined && { pValue }),
      rule: this.#decision.rule,
      scores,
      top,
    };
  }

  #trace(
    scored: Pick<NativeScores, 'logitsYes' | 'logitsNo'>,
    features: Float32Array,
    pixels: Uint8Array,
    i: number,
    n: number,
  ): Pick<CheckResult, 'logits' | 'pixelsSha256' | 'feature'> {
    return {
      logits: logitsOf(scored, i, n),
      pixelsSha256: createHash('sha256')
        .update(rowOf(pixels, i, n))
        .digest('hex'),
      feature: Array.from(rowOf(features, i, n)),
    };
  }

  /** Closes the model too, as `model.close` does, if `loadDetector` opened it. Safe to call again. */
  async close(options: CloseOptions = {}): Promise<void> {
    assertOptionNames('close', options, CLOSE_OPTIONS);
    if (this.#ownsModel) await this.#host.close(options);
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** a − b of each label. */
const gapsOf = ({ yes, no }: { yes: number[]; no: number[] }) => yes.map((a, c) => a - no[c]!);

/** Row i of n. */
function rowOf<T extends Float32Array | Uint8Array>(all: T, i: number, n: number): T {
  return all.subarray((i * all.length) / n, ((i + 1) * all.length) / n) as T;
}

/** Of image i of n; empty where there are none. */
function logitsOf({ logitsYes, logitsNo }: Pick<NativeScores, 'logitsYes' | 'logitsNo'>, i: number, n: number) {
  const numbers = (all: Float32Array | undefined) => (all === undefined ? [] : Array.from(rowOf(all, i, n)));
  return { yes: numbers(logitsYes), no: numbers(logitsNo) };
}

/** For the values of options that can be told without a model. @throws ERR_CLIPN_INVALID_ARG */
export function assertDetectorOptions({ topK, score, ...decoding }: DetectorOptions): void {
  if (topK !== undefined && (!Number.isInteger(topK) || topK < 1)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `topK must be a whole number of at least 1, not ${topK}`);
  }
  assertDecoding(decoding);
  if (score !== undefined && !DECIDING_SCORES.includes(score)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `score must be one of ${DECIDING_SCORES.join(', ')}, not ${score}`);
  }
}
