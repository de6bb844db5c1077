/**
 * model/: A loaded model at work: queue, banks, detector, fitting a calibration.
 *
 * A loaded model: encodes images and texts on its own core thread, makes label banks and detectors.
 */
import { availableParallelism } from 'node:os';
import { assertArguments, assertOptionNames, optionsNamed } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { inOrder } from '../base/in-order';
import { assertDecoding, decodeRegion } from '../images/decode';
import { collectImage, type ImageInput, splitRegion } from '../images/image-input';
import { assertBankFits, type LabelBank } from '../labels/bank';
import { cachedLabelBank } from '../labels/bank-cache';
import { loadLabelBank } from '../labels/bank-file';
import { addLabels, buildLabelBank, type TextTowers } from '../labels/build-bank';
import type { NativeImage, NativeLane } from '../native/addon';
import type { Engine } from '../native/engine';
import { closeLane, runTask } from '../native/lane';
import type { NegativeBank } from '../scores/negatives';
import { type ScoreOptions, scoreOn } from '../scores/score';
import { createTokenizer, type Tokenizer } from '../text/tokenizer';
import { NEGATIVES_OPTIONS, type NegativesOptions, type WordEncoder } from './choose-words';
import { assertDetectorOptions, DETECTOR_OPTIONS, Detector, type DetectorOptions } from './detector';
import type { DetectorHost } from './detector-host';
import { type DrawnFeatures, encodeDrawn } from './drawn';
import { type Consumer, type Encoded, type EncodedBy, ImageQueue } from './image-queue';
import type { ModelInfo } from './info';
import { isNegativeBank, labelTemplates, type NegativesInput, negativeBank, readWords } from './negatives';
import {
  assertNothingToEncode,
  CLOSE_OPTIONS,
  type CloseOptions,
  ENCODE_OPTIONS,
  type EncodeOptions,
  LABEL_BANK_OPTIONS,
  type LabelBankOptions,
} from './options';
import type { QueueLimits } from './queue-options';
import type { ModelStats } from './queue-stats';

/** Images decoded at the same time: one a core, and no more than libuv's pool has threads, where sharp works. */
const DECODERS = Math.min(availableParallelism(), Number(process.env.UV_THREADPOOL_SIZE) || 4);

/** Drawn images in one batch. */
const DRAWN_AT_ONCE = 8;

/** What `loadModel` opened: the model owns the lane and the core's handle from then on. */
interface Opened {
  engine: Engine;
  lane: NativeLane;
  handle: unknown;
  /** The core's handle of a guarded model's first tower. */
  first: unknown;
  tokenizerJson: string;
}

/** Made by `loadModel`. Holds the weights until `close()`. */
export class Model implements DetectorHost {
  /** What it is and can do. */
  readonly info: ModelInfo;
  readonly #engine: Engine;
  readonly #lane: NativeLane;
  readonly #handle: unknown;
  readonly #first: unknown;
  #drawn: Promise<DrawnFeatures> | undefined;
  readonly #towers: TextTowers | undefined;
  /** @internal Where every image goes. */
  readonly queue: ImageQueue;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(info: ModelInfo, { engine, lane, handle, first, tokenizerJson }: Opened, limits: QueueLimits) {
    this.info = info;
    this.#engine = engine;
    this.#lane = lane;
    this.#handle = handle;
    this.#first = first;
    this.queue = new ImageQueue({
      limits,
      decoders: DECODERS,
      encode: (images, pixels, contributions, by) => this.encodePixels(images, pixels, undefined, contributions, by),
      closed: () => this.#closed(),
    });
    if (info.hasText) this.#towers = this.#textTowers(tokenizerJson);
  }

  #textTowers(tokenizerJson: string): TextTowers {
    const { contentId, contextLength, embedDim, hasNo } = this.info;
    return {
      contentId,
      contextLength: contextLength ?? 0,
      tokenizer: readTokenizer(tokenizerJson, this.info),
      dim: embedDim,
      hasNo,
      encodeText: (tower, ids, n, l, signal) =>
        runTask(this.lane, signal, () => this.#lane.encodeText(this.#handle, tower, ids, n, l, embedDim)),
    };
  }

  /** @internal Tokenizer and text towers; undefined when the file has none. */
  get towers(): TextTowers | undefined {
    return this.#towers;
  }

  /** @internal The lane, or ERR_CLIPN_CLOSED. */
  get lane(): NativeLane {
    if (this.#closing) throw this.#closed();
    return this.#lane;
  }

  #closed(): ClipnError {
    return new ClipnError('ERR_CLIPN_CLOSED', `the model ${this.info.path} is closed`);
  }

  /**
   * Encodes class names with both text towers (spec 2.1), or takes the result of an earlier call from the disk cache.
   *
   * @throws ERR_CLIPN_LABELS, ERR_CLIPN_TEMPLATES, ERR_CLIPN_MODEL_CONTRACT (a model without text tower), or
   *   `signal.reason`
   */
  async createLabelBank(labels: readonly string[], options: LabelBankOptions = {}): Promise<LabelBank> {
    assertArguments({ options: ['options', options] });
    assertOptionNames('createLabelBank', options, LABEL_BANK_OPTIONS);
    const { cache = true, yesOnly = false, ...rest } = options;
    const build = { ...rest, templates: rest.templates ?? this.info.config.templates };
    return await (cache ? cachedLabelBank : buildLabelBank)(this.#requireTowers(yesOnly), labels, build);
  }

  /**
   * The bank with names appended; only those are encoded, with the bank's own templates. The bank itself stays as it is.
   *
   * @throws ERR_CLIPN_BANK_MISMATCH (another model's bank), else as `createLabelBank`
   */
  async addLabels(
    bank: LabelBank,
    names: readonly string[],
    options: Pick<LabelBankOptions, 'signal' | 'onProgress'> = {},
  ): Promise<LabelBank> {
    assertArguments({ bank: ['bank', bank], options: ['options', options] });
    assertOptionNames('addLabels', options, { signal: true, onProgress: true });
    return await addLabels(this.#requireTowers(bank.no === null), bank, names, options);
  }

  #requireTowers(yesOnly: boolean): TextTowers {
    if (!this.#towers) {
      throw new ClipnError('ERR_CLIPN_MODEL_CONTRACT', `${this.info.path} holds no text tower`, {
        hint: 'Load a label bank made by the full model: `loadLabelBank(path)` or --bank FILE.',
      });
    }
    return yesOnly ? { ...this.#towers, hasNo: false } : this.#towers;
  }

  /**
   * Reads a saved bank and makes sure that it is of this model; it serves every precision of the images.
   *
   * @throws ERR_CLIPN_BANK_FORMAT, ERR_CLIPN_BANK_MISMATCH
   */
  async loadLabelBank(path: string): Promise<LabelBank> {
    const bank = await loadLabelBank(path);
    this.assertFits(bank);
    return bank;
  }

  /** @internal */
  assertFits(bank: LabelBank): void {
    const { contentId, embedDim: dim } = this.info;
    assertBankFits(bank, { contentId, dim });
  }

  /**
   * Words that are none of the labels, encoded by the yes tower: a list or a file through the labels' templates as they
   * are, or 'wordnet', those of its nouns and adjectives that are far from the labels.
   *
   * @throws ERR_CLIPN_WORDNET (its package is not installed), ERR_CLIPN_IO (the file), otherwise as `createLabelBank`
   */
  async createNegatives(
    bank: LabelBank,
    negatives: NegativesInput,
    options: NegativesOptions = {},
  ): Promise<NegativeBank> {
    assertArguments({ bank: ['bank', bank], options: ['options', options] });
    assertOptionNames('createNegatives', options, NEGATIVES_OPTIONS);
    this.assertFits(bank);
    const words = await readWords(negatives);
    return isNegativeBank(words) ? words : await negativeBank(this.wordEncoder(), bank, words, options);
  }

  /** @internal */
  wordEncoder(): WordEncoder {
    return { lane: this.lane, towers: this.#requireTowers(true) };
  }

  /**
   * A detector for these classes: names, or a label bank of this model. Names go through the model's templates, but of a
   * plain CLIP with mined negatives through those of the words.
   */
  async createDetector(
    labels: LabelBank | readonly string[],
    options: DetectorOptions & { labelBank?: LabelBankOptions } = {},
  ): Promise<Detector> {
    assertArguments({ labels: ['classes', labels], options: ['options', options] });
    assertOptionNames('createDetector', options, { ...DETECTOR_OPTIONS, labelBank: true });
    assertOptionNames('labelBank', options.labelBank ?? {}, LABEL_BANK_OPTIONS);
    return await this.detectorFor(labels, options, false);
  }

  /** @internal As `createDetector`; one that owns the model closes it, one that is not `guarded` answers in fp32. */
  async detectorFor(
    labels: LabelBank | readonly string[],
    { labelBank = {}, negatives, ...options }: DetectorOptions & { labelBank?: LabelBankOptions },
    ownsModel: boolean,
    guarded = true,
  ): Promise<Detector> {
    assertDetectorOptions(options);
    if ('yes' in labels) assertNothingToEncode(labelBank);
    const words = negatives === undefined ? undefined : await readWords(negatives);
    const templates = labelBank.templates ?? labelTemplates(this.info, words);
    const bank = 'yes' in labels ? labels : await this.createLabelBank(labels, { ...labelBank, templates });
    this.assertFits(bank);
    const rows =
      words === undefined
        ? undefined
        : await this.createNegatives(bank, words, optionsNamed<NegativesOptions>(NEGATIVES_OPTIONS, labelBank));
    const detector = new Detector(this, bank, rows, options, ownsModel);
    if (guarded) await detector.measureGuard();
    return detector;
  }

  /**
   * Features of images, float [N, D], unit rows, in order.
   *
   * @throws the first image's error: ERR_CLIPN_IMAGE_*, ERR_CLIPN_INVALID_ARG, ERR_CLIPN_CLOSED, or `signal.reason`
   */
  async encodeImages(
    images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
    options: EncodeOptions = {},
  ): Promise<Float32Array> {
    assertArguments({ images: ['items', images], options: ['options', options] });
    assertOptionNames('encodeImages', options, ENCODE_OPTIONS);
    assertDecoding(options);
    const { signal } = options;
    const kind = Array.isArray(images) ? 'listed' : 'streamed';
    const encode = async (image: ImageInput, leave: AbortSignal) => {
      const { whole, region } = splitRegion(image);
      const given = await collectImage(whole, options, leave);
      const decode = () => decodeRegion(given, region, options);
      return await this.queue.submit({ decode, consumer: ROWS, kind, signal: leave });
    };
    const rows: Float32Array[] = [];
    const encodeAll = async () => {
      for await (const row of inOrder(images, encode, { window: this.queue.room, signal })) rows.push(row);
    };
    await (kind === 'listed' ? this.queue.callOfMany(encodeAll) : encodeAll());
    const dim = this.info.embedDim;
    const all = new Float32Array(rows.length * dim);
    rows.forEach((row, i) => {
      all.set(row, i * dim);
    });
    return all;
  }

  /**
   * @internal One batch, straight to the lane. `pixels` also returns what the tower saw, uint8 [N, S, S, 3];
   * `contributions` what each patch gives the feature, [N, P, D], of a model with `info.rewritten`; `by` which tower of a
   * guarded model.
   */
  async encodePixels(
    images: NativeImage[],
    pixels: boolean,
    signal: AbortSignal | undefined,
    contributions = false,
    by: EncodedBy = 'own',
  ): Promise<Encoded> {
    const { imageSize: side, mean, std, embedDim: dim, architecture } = this.info.config;
    const options = {
      side,
      mean,
      std,
      dim,
      pixels,
      ...(contributions && { contributions: patchesOf(side, architecture.patchSize) }),
    };
    const encode = (handle: unknown, wants: typeof options): Promise<Encoded> =>
      runTask(this.#lane, signal, () => this.#lane.encodeImages(handle, images, wants));
    if (by !== 'both') return await encode(by === 'first' ? this.#first : this.#handle, options);
    const rough = encode(this.#first, { ...options, pixels: false, contributions: 0 });
    const [own, first] = await Promise.all([encode(this.#handle, options), rough]);
    return { ...own, first: first.features };
  }

  /** @internal As `encodePixels`, and from the same forward pass `patches`: float [N, P, D], unit rows. */
  async encodePatches(
    images: NativeImage[],
    signal: AbortSignal | undefined,
  ): Promise<{ features: Float32Array; patches: Float32Array }> {
    const { imageSize: side, mean, std, embedDim: dim, architecture } = this.info.config;
    const options = { side, mean, std, dim, pixels: false, patches: patchesOf(side, architecture.patchSize) };
    const task = () => this.#lane.encodeImages(this.#handle, images, options);
    const { features, patches } = await runTask(this.lane, signal, task);
    return { features, patches: patches! };
  }

  /** @internal The linears of all image blocks for n images, once, and nothing else: the bound of `bench`. */
  async runImageLinears(n: number): Promise<void> {
    await runTask(this.lane, undefined, () => this.#lane.runImageLinears(this.#handle, n));
  }

  /** @internal Drawn images by both towers of a guarded model; encoded once, when the first detector asks. */
  drawn(): Promise<DrawnFeatures> {
    if (!this.#drawn) {
      this.#drawn = encodeDrawn((images) => this.encodePixels(images, false, undefined, false, 'both'), DRAWN_AT_ONCE);
      this.#drawn.catch(() => {
        this.#drawn = undefined;
      });
    }
    return this.#drawn;
  }

  /** @internal Scores features on the model's lane, also while close() waits for the last answers. */
  async scoreFeatures(features: Float32Array, bank: LabelBank, options: ScoreOptions & { logits: boolean }) {
    return await scoreOn(this.#lane, features, bank, {
      ...options,
      scale: this.info.config.scale,
      device: this.info.device,
    });
  }

  /** What the model has done, and what it is doing: images, batches, latencies. */
  stats(): ModelStats {
    return this.queue.stats();
  }

  /**
   * Ends the thread and frees the weights, when what was asked before is answered: single images, lists, and what a
   * stream has read ahead. Later calls, and a stream's later images, fail with ERR_CLIPN_CLOSED. Safe to call again.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    assertOptionNames('close', options, CLOSE_OPTIONS);
    const { drain = true } = options;
    const answered = this.queue.close(drain);
    this.#closing ??= answered
      .then(() => closeLane(this.#lane))
      .then(() => {
        for (const handle of [this.#handle, this.#first])
          if (handle !== undefined) this.#engine.addon.closeModel(handle);
      });
    await this.#closing;
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const patchesOf = (side: number, patchSize: number) => Math.floor(side / patchSize) ** 2;

/** Answers an image with its row. */
const ROWS: Consumer<Float32Array> = {
  wantsPixels: false,
  answer: async ({ features }, n) =>
    Array.from({ length: n }, (_, i) => features.slice((i * features.length) / n, ((i + 1) * features.length) / n)),
};

function readTokenizer(json: string, { path, config }: ModelInfo): Tokenizer {
  const options = { hint: 'Export the checkpoint again with `npx clipn-native export CHECKPOINT OUT`.' };
  try {
    if (json === '') throw new ClipnError('ERR_CLIPN_TOKENIZER', 'tokenizer.json is missing');
    const tokenizer = createTokenizer(json, config.contextLength ?? 0);
    if (tokenizer.sot === config.sot && tokenizer.eot === config.eot) return tokenizer;
    throw new ClipnError('ERR_CLIPN_TOKENIZER', 'tokenizer.json: start and end token are not those of clipn.json');
  } catch (error) {
    if (!(error instanceof ClipnError)) throw error;
    throw new ClipnError(error.code, `${path}: ${error.message}`, { ...options, cause: error });
  }
}
