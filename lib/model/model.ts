/** A loaded model: encodes images and texts on its own core thread, makes label banks and detectors. */
import { availableParallelism } from 'node:os';
import { ClipnError } from '../base/errors';
import { inOrder } from '../base/in-order';
import { type DecodeOptions, decodeImage, type ImageInput } from '../images/decode';
import { cachedLabelBank } from '../labels/bank-cache';
import {
  addLabels,
  assertBankFits,
  type LabelBankOptions as BuildOptions,
  buildLabelBank,
  type LabelBank,
  loadLabelBank,
  type TextTowers,
} from '../labels/build-bank';
import {
  closeLane,
  type Engine,
  type NativeImage,
  type NativeLane,
  type NativeModel,
  openEngine,
  openLane,
  runTask,
} from '../native/engine';
import { chooseTarget, type Device, type Precision, type Target } from '../native/target';
import { type ScoreOptions, scoreOn } from '../scores/score';
import { createTokenizer, type Tokenizer } from '../text/tokenizer';
import type { ModelConfig } from '../weights/model-config';
import { checkModelFile } from '../weights/model-file';
import { Detector, type DetectorOptions } from './detector';
import { type Consumer, type Encoded, ImageQueue } from './image-queue';
import { type BatchOptions, type QueueLimits, type QueueOptions, queueLimits } from './queue-options';
import type { ModelStats } from './queue-stats';

export interface LoadModelOptions {
  /** Where to compute. `cuda` is strict; `auto` takes the CPU where CUDA lacks a piece (`info.deviceReason`). Default `auto`. */
  device?: Device;
  /**
   * Arithmetic: `fp32` gives the same verdict everywhere; `auto` is bf16 where the CPU or GPU has it, on an older GPU fp16.
   * `fp16` needs CUDA. Default `fp32`.
   */
  precision?: Precision | 'auto';
  /** Threads of the model's lane. Default 0: libtorch's own choice, one per physical core. */
  threads?: number;
  /** Folder of libtorch; found by itself when absent (docs/libtorch.md). One per process. */
  libtorch?: string;
  /** How images of all callers are gathered into batches. */
  batch?: BatchOptions;
  /** How many images the model takes at once, and what happens to more. */
  queue?: QueueOptions;
  signal?: AbortSignal;
}

export interface CloseOptions {
  /** Answer the images that were taken before (default); else those that are in no batch yet reject with ERR_CLIPN_CLOSED. */
  drain?: boolean;
}

export interface LabelBankOptions extends BuildOptions {
  /** Keep and reuse the bank on disk, in the cache folder. Default true. */
  cache?: boolean;
  /** Leave out the no tower: enough for `msp`, `maxLogit`, `energy` and `mcm`, in half the time. Default false. */
  yesOnly?: boolean;
}

export interface EncodeOptions extends DecodeOptions {
  signal?: AbortSignal;
}

/** What a model is and can do. */
export interface ModelInfo {
  path: string;
  /** Hash of the weights: banks and caches are keyed on it. */
  contentId: string;
  device: 'cpu' | 'cuda';
  /** With device `auto`: why it is not CUDA. Else null. */
  deviceReason: string | null;
  precision: Precision;
  /** Width D of a feature. */
  embedDim: number;
  /** Side S of the square the image tower sees. */
  imageSize: number;
  /** Longest prompt in tokens, start and end included; null without text towers. */
  contextLength: number | null;
  /** Whether the file gives the features of image patches, which GL-MCM needs. */
  hasPatches: boolean;
  /** Whether the file has the yes text tower: without it, labels come from a saved bank. */
  hasText: boolean;
  /** Whether the file has the no text tower: without it, ctw and atd are unavailable. */
  hasNo: boolean;
  /**
   * Whether the towers run with weights packed for this machine; false for a file that `export` did not write, or a CPU
   * without AVX2, which run as the file has them: same features, slower.
   */
  rewritten: boolean;
  config: ModelConfig;
}

const ENCODE_IMAGE_PATCHES = 2;
const ENCODE_TEXT_YES = 4;
const ENCODE_TEXT_NO = 8;

/** Images decoded at the same time: one a core, and no more than libuv's pool has threads, where sharp works. */
const DECODERS = Math.min(availableParallelism(), Number(process.env.UV_THREADPOOL_SIZE) || 4);

/**
 * Loads a model file made by `clipn-native export`.
 *
 * @throws ERR_CLIPN_MODEL_NOT_FOUND, ERR_CLIPN_MODEL_FORMAT, ERR_CLIPN_MODEL_CONTRACT, ERR_CLIPN_LIBTORCH_*,
 *   ERR_CLIPN_CUDA_UNAVAILABLE (device `cuda`), ERR_CLIPN_DEVICE_LOST, ERR_CLIPN_INVALID_ARG, or `signal.reason`
 */
export async function loadModel(path: string, options: LoadModelOptions = {}): Promise<Model> {
  const { device = 'auto', precision = 'fp32', threads = 0, libtorch, batch, queue, signal } = options;
  if (typeof path !== 'string') throw new ClipnError('ERR_CLIPN_INVALID_ARG', 'the model path must be a string');
  if (!['auto', 'cpu', 'cuda'].includes(device)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `device must be auto, cpu or cuda, not ${device}`);
  }
  if (!['fp32', 'bf16', 'fp16', 'auto'].includes(precision)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `precision must be fp32, bf16, fp16 or auto, not ${precision}`);
  }
  if (!Number.isInteger(threads) || threads < 0) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `threads must be a whole number of at least 0, not ${threads}`);
  }
  const limits = queueLimits(batch, queue);
  signal?.throwIfAborted();
  const config = await checkModelFile(path, signal);
  const engine = await openEngine(libtorch);
  const target = await chooseTarget(engine, device, precision);
  const lane = openLane(engine, threads);
  try {
    const native = await runTask(lane, signal, () => lane.openModel(path, target.precision, target.device));
    try {
      return new Model(path, engine, lane, native, target, config, limits);
    } catch (error) {
      engine.addon.closeModel(native.handle);
      throw error;
    }
  } catch (error) {
    await closeLane(lane);
    throw error;
  }
}

/** Made by `loadModel`. Holds the weights until `close()`. */
export class Model {
  readonly info: ModelInfo;
  readonly #engine: Engine;
  readonly #lane: NativeLane;
  readonly #handle: unknown;
  readonly #towers: TextTowers | undefined;
  /** @internal Where every image goes. */
  readonly queue: ImageQueue;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(
    path: string,
    engine: Engine,
    lane: NativeLane,
    native: NativeModel,
    target: Target,
    config: ModelConfig,
    limits: QueueLimits,
  ) {
    this.#engine = engine;
    this.#lane = lane;
    this.#handle = native.handle;
    this.info = Object.freeze({
      path,
      contentId: config.contentId,
      device: target.device,
      deviceReason: target.reason,
      precision: target.precision,
      embedDim: config.embedDim,
      imageSize: config.imageSize,
      contextLength: config.contextLength,
      hasPatches: (native.methods & ENCODE_IMAGE_PATCHES) !== 0,
      hasText: (native.methods & ENCODE_TEXT_YES) !== 0,
      hasNo: (native.methods & ENCODE_TEXT_NO) !== 0,
      rewritten: native.rewritten,
      config,
    });
    assertMethods(this.info);
    this.queue = new ImageQueue({
      limits,
      decoders: DECODERS,
      encode: (images, pixels) => this.encodePixels(images, pixels, undefined),
      closed: () => this.#closed(),
    });
    if (this.info.hasText) this.#towers = this.#textTowers(native.tokenizerJson);
  }

  #textTowers(tokenizerJson: string): TextTowers {
    const { contentId, precision, contextLength, embedDim, hasNo } = this.info;
    return {
      contentId,
      precision,
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

  /** Reads a saved bank and makes sure that this model made it. @throws ERR_CLIPN_BANK_FORMAT, ERR_CLIPN_BANK_MISMATCH */
  async loadLabelBank(path: string): Promise<LabelBank> {
    const bank = await loadLabelBank(path);
    this.assertFits(bank);
    return bank;
  }

  /** @internal */
  assertFits(bank: LabelBank): void {
    const { contentId, precision, embedDim: dim } = this.info;
    assertBankFits(bank, { contentId, precision, dim });
  }

  /** A detector for these classes: names, or a label bank of this model. */
  async createDetector(
    labels: LabelBank | readonly string[],
    options: DetectorOptions & { labelBank?: LabelBankOptions } = {},
  ): Promise<Detector> {
    const { labelBank, ...rest } = options;
    const bank = 'yes' in labels ? labels : await this.createLabelBank(labels, labelBank);
    this.assertFits(bank);
    return new Detector(this, bank, rest);
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
    const { signal } = options;
    const kind = Array.isArray(images) ? 'listed' : 'streamed';
    const encode = (image: ImageInput, leave: AbortSignal) =>
      this.queue.submit({ decode: () => decodeImage(image, options), consumer: ROWS, kind, signal: leave });
    const rows: Float32Array[] = [];
    const encodeAll = async () => {
      for await (const row of inOrder(images, encode, { window: this.queue.room, signal })) rows.push(row);
    };
    await (kind === 'listed' ? this.queue.whole(encodeAll) : encodeAll());
    const dim = this.info.embedDim;
    const all = new Float32Array(rows.length * dim);
    rows.forEach((row, i) => {
      all.set(row, i * dim);
    });
    return all;
  }

  /** @internal One batch, straight to the lane; `pixels` also returns what the tower saw, uint8 [N, S, S, 3]. */
  async encodePixels(images: NativeImage[], pixels: boolean, signal: AbortSignal | undefined): Promise<Encoded> {
    const { imageSize: side, mean, std, embedDim: dim } = this.info.config;
    return await runTask(this.#lane, signal, () =>
      this.#lane.encodeImages(this.#handle, images, { side, mean, std, dim, pixels }),
    );
  }

  /** @internal As `encodePixels`, and from the same forward pass `patches`: float [N, P, D], unit rows. */
  async encodePatches(
    images: NativeImage[],
    signal: AbortSignal | undefined,
  ): Promise<{ features: Float32Array; patches: Float32Array }> {
    const { imageSize: side, mean, std, embedDim: dim, architecture } = this.info.config;
    const options = { side, mean, std, dim, pixels: false, patches: Math.floor(side / architecture.patchSize) ** 2 };
    const task = () => this.#lane.encodeImages(this.#handle, images, options);
    const { features, patches } = await runTask(this.lane, signal, task);
    return { features, patches: patches! };
  }

  /** @internal The linears of all image blocks for n images, once, and nothing else: the bound of `bench`. */
  async runImageLinears(n: number): Promise<void> {
    await runTask(this.lane, undefined, () => this.#lane.runImageLinears(this.#handle, n));
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
  async close({ drain = true }: CloseOptions = {}): Promise<void> {
    const answered = this.queue.close(drain);
    this.#closing ??= answered
      .then(() => closeLane(this.#lane))
      .then(() => this.#engine.addon.closeModel(this.#handle));
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Answers an image with its row. */
const ROWS: Consumer<Float32Array> = {
  wantsPixels: false,
  answer: async ({ features }, n) =>
    Array.from({ length: n }, (_, i) => features.slice((i * features.length) / n, ((i + 1) * features.length) / n)),
};

/** What clipn.json promises, the methods must keep: whether a bank has a "no" side hangs on it. */
function assertMethods({ path, config, hasText, hasNo }: ModelInfo): void {
  const said = { text: !config.imageOnly, no: !config.imageOnly && config.kind === 'clipn' };
  if (said.text === hasText && said.no === hasNo) return;
  const towers = (text: boolean, no: boolean) => (text ? (no ? 'both text towers' : 'the yes tower') : 'no text tower');
  throw new ClipnError(
    'ERR_CLIPN_MODEL_FORMAT',
    `${path}: clipn.json promises ${towers(said.text, said.no)}, the methods are those of ${towers(hasText, hasNo)}`,
  );
}

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
