/**
 * The queue in front of a model's lane, for the images of all callers: decodes a bounded number ahead, gathers what is
 * decoded while the lane is busy into batches, and keeps count.
 *
 *   line (inputs only) → decoding → ready (pixels in memory) → in a batch on the lane → answered
 */
import { assertSignal } from '../base/arguments';
import { ClipnError, type ClipnErrorCode } from '../base/errors';
import type { NativeImage } from '../native/addon';
import type { QueueLimits } from './queue-options';
import { type ModelStats, QueueCounts } from './queue-stats';
import { SignalGroups } from './signal-groups';

/**
 * Features [n, D] of n images, and if anyone asked for it what the tower saw, uint8 [n, S, S, 3], what each patch
 * contributes to the feature, [n, P, D], and the features by a guarded model's first tower, [n, D].
 */
export interface Encoded {
  features: Float32Array;
  pixels?: Uint8Array;
  contributions?: Float32Array;
  first?: Float32Array;
}

/** Whose features: the model's own, those of its first tower, or both. All but `own` of guarded models alone. */
export type EncodedBy = 'own' | 'first' | 'both';

/** What turns features into answers. Images of one batch that share a consumer are answered in one call. */
export interface Consumer<Out> {
  readonly wantsPixels: boolean;
  readonly wantsContributions?: boolean;
  /** Also `first`. */
  readonly wantsFirst?: boolean;
  /**
   * Makes this a consumer of features by the first tower. A row that it answers with undefined is encoded again by the
   * model's own, from the same pixels, and answered by `own`.
   */
  readonly own?: Consumer<Out>;
  /** One answer a row. Hands its own work to the lane before it first waits: the next batch follows right behind. */
  answer(encoded: Encoded, n: number): Promise<(Out | undefined)[]>;
}

export interface ImageRequest<Out> {
  /** Called when there is room for the pixels. */
  decode: () => Promise<NativeImage>;
  consumer: Consumer<Out>;
  /**
   * `single`: one call, one image; may be refused when the queue is full. `listed`: part of a call inside `callOfMany`,
   * which close() waits for. `streamed`: waits for room; refused after close().
   */
  kind: 'single' | 'listed' | 'streamed';
  signal?: AbortSignal | undefined;
}

export interface QueueSetup {
  limits: QueueLimits;
  /** Images decoded at the same time, at most. */
  decoders: number;
  /** Runs one batch; called again only when it has settled. */
  encode: (images: NativeImage[], pixels: boolean, contributions: boolean, by: EncodedBy) => Promise<Encoded>;
  /** What calls after close() are told. */
  closed: () => ClipnError;
}

interface Entry {
  decode: () => Promise<NativeImage>;
  consumer: Consumer<unknown>;
  image?: NativeImage | undefined;
  inBatch: boolean;
  askedAt: number;
  /** Start of the present wait, and sum of those before it. */
  waitingSince: number;
  waited: number;
  resolve: (answer: unknown) => void;
  reject: (reason: unknown) => void;
  signal: AbortSignal | undefined;
}

/** Codes of a failed batch that one of its images may have caused. */
const OF_ONE_IMAGE: readonly ClipnErrorCode[] = ['ERR_CLIPN_INVALID_ARG', 'ERR_CLIPN_OUT_OF_MEMORY'];

const isOfOneImage = (error: unknown) => error instanceof ClipnError && OF_ONE_IMAGE.includes(error.code);

const firstOf = <T>(set: Set<T>): T => set.values().next().value as T;

export class ImageQueue {
  readonly #setup: QueueSetup;
  readonly #limits: QueueLimits;
  readonly #counts = new QueueCounts();
  /** All that is not answered. */
  readonly #unanswered = new Set<Entry>();
  readonly #line = new Set<Entry>();
  readonly #ready = new Set<Entry>();
  readonly #signals = new SignalGroups<Entry>((entries, reason) => this.#abort(entries, reason));
  #decoding = 0;
  /** Images of the batch on the lane, those aborted meanwhile too. */
  #onLane = 0;
  /** Images that the first tower has encoded, kept until it is known whether that is enough. */
  #held = 0;
  /** Calls inside `callOfMany`. */
  #callsOfMany = 0;
  #timer: NodeJS.Timeout | undefined;
  #state: 'open' | 'draining' | 'dropped' = 'open';
  #drained: (() => void)[] = [];

  constructor(setup: QueueSetup) {
    this.#setup = setup;
    this.#limits = setup.limits;
  }

  /** Images whose pixels may be in memory at once: one batch on the lane, one ready or held, and those being decoded. */
  get room(): number {
    return Math.min(this.#limits.queueMax, 2 * this.#limits.batchMax + this.#setup.decoders);
  }

  /** Images that a list or stream reads ahead where some are encoded twice: behind one that waits, whole batches go on. */
  get roomForTwice(): number {
    return Math.min(this.#limits.queueMax, 2 * this.room);
  }

  /**
   * Resolves with the consumer's answer. On abort it rejects at once: what waits leaves the queue and is never computed,
   * what is in a batch is computed and dropped. The other images of the batch are not affected.
   *
   * @throws what `decode` throws; ERR_CLIPN_QUEUE_FULL; ERR_CLIPN_CLOSED; `signal.reason`; when a batch fails, its error,
   *   for all its images, but for what may be one image's fault (OF_ONE_IMAGE): that is told of this image alone
   */
  submit<Out>({ decode, consumer, kind, signal }: ImageRequest<Out>): Promise<Out> {
    return new Promise<Out>((resolve, reject) => {
      assertSignal(signal);
      signal?.throwIfAborted();
      if (this.#state === 'dropped' || (this.#state === 'draining' && kind !== 'listed')) throw this.#setup.closed();
      if (kind === 'single' && this.#limits.whenFull === 'reject' && this.#unanswered.size >= this.#limits.queueMax) {
        throw this.#full();
      }
      const now = performance.now();
      const entry: Entry = {
        decode,
        consumer,
        inBatch: false,
        askedAt: now,
        waitingSince: now,
        waited: 0,
        resolve: resolve as (answer: unknown) => void,
        reject,
        signal,
      };
      this.#admit(entry);
      this.#pump();
    });
  }

  /** Runs a call of many images. close() waits for it and lets its further images in. @throws ERR_CLIPN_CLOSED */
  async callOfMany<T>(call: () => Promise<T>): Promise<T> {
    if (this.#state !== 'open') throw this.#setup.closed();
    this.#callsOfMany++;
    try {
      return await call();
    } finally {
      this.#callsOfMany--;
      this.#pump();
    }
  }

  stats(): ModelStats {
    let running = 0;
    for (const { inBatch } of this.#unanswered) if (inBatch) running++;
    return this.#counts.stats(this.#unanswered.size - running, running);
  }

  /**
   * Takes no more calls; resolves when those taken are answered. With `drain` false, images that are in no batch yet
   * reject with ERR_CLIPN_CLOSED. May be called again, to stop draining.
   */
  async close(drain: boolean): Promise<void> {
    if (this.#state !== 'dropped') this.#state = drain ? 'draining' : 'dropped';
    if (!drain) {
      for (const entry of this.#unanswered) if (!entry.inBatch) this.#fail(entry, this.#setup.closed());
    }
    await new Promise<void>((resolve) => {
      this.#drained.push(resolve);
      this.#pump();
    });
  }

  #full(): ClipnError {
    const { waiting, running } = this.stats();
    this.#counts.rejected++;
    const text = `the queue is full: ${waiting} images wait and ${running} are being computed`;
    return new ClipnError('ERR_CLIPN_QUEUE_FULL', text, { details: { max: this.#limits.queueMax, waiting, running } });
  }

  /** Starts whatever can start now. Called after every change. */
  #pump(): void {
    const mayDecode = () =>
      this.#decoding < this.#setup.decoders &&
      this.#decoding + this.#ready.size + this.#held + this.#onLane < this.room;
    while (this.#line.size > 0 && mayDecode()) this.#decode(firstOf(this.#line));
    if (this.#ready.size === 0) clearTimeout(this.#timer);
    else if (this.#onLane === 0) this.#startBatch();
    if (this.#state !== 'open' && this.#unanswered.size === 0 && this.#onLane === 0 && this.#callsOfMany === 0) {
      for (const resolve of this.#drained.splice(0)) resolve();
    }
  }

  async #decode(entry: Entry): Promise<void> {
    this.#line.delete(entry);
    this.#decoding++;
    entry.waited += performance.now() - entry.waitingSince;
    try {
      entry.image = await entry.decode();
      entry.waitingSince = performance.now();
      if (this.#unanswered.has(entry)) this.#ready.add(entry);
    } catch (error) {
      this.#fail(entry, error);
    }
    this.#decoding--;
    this.#pump();
  }

  #startBatch(): void {
    const { batchMax, maxDelayMs } = this.#limits;
    const wait = firstOf(this.#ready).waitingSince + maxDelayMs - performance.now();
    clearTimeout(this.#timer);
    if (wait > 0 && this.#ready.size < batchMax && this.#state === 'open') {
      this.#timer = setTimeout(() => this.#pump(), wait);
      return;
    }
    // One batch, one tower.
    const isFirst = firstOf(this.#ready).consumer.own !== undefined;
    const batch = [...this.#ready]
      .filter(({ consumer }) => (consumer.own !== undefined) === isFirst)
      .slice(0, batchMax);
    for (const entry of batch) {
      this.#ready.delete(entry);
      entry.inBatch = true;
      entry.waited += performance.now() - entry.waitingSince;
    }
    this.#run(batch);
  }

  async #run(batch: Entry[]): Promise<void> {
    this.#onLane = batch.length;
    this.#counts.batch(batch.length);
    try {
      await this.#encodeAndAnswer(batch);
    } catch (error) {
      if (batch.length > 1 && isOfOneImage(error)) await this.#oneByOne(batch);
      else for (const entry of batch) this.#fail(entry, error);
    }
    this.#onLane = 0;
    this.#pump();
  }

  async #oneByOne(batch: Entry[]): Promise<void> {
    for (const entry of batch) {
      if (!this.#unanswered.has(entry)) continue;
      await this.#encodeAndAnswer([entry]).catch((error: unknown) => this.#fail(entry, error));
    }
  }

  async #encodeAndAnswer(batch: Entry[]): Promise<void> {
    const wantsPixels = batch.some(({ consumer }) => consumer.wantsPixels);
    const isFirst = batch[0]!.consumer.own !== undefined;
    const wantsFirst = batch.some(({ consumer }) => consumer.wantsFirst);
    const encoded = await this.#setup.encode(
      batch.map(({ image }) => image!),
      wantsPixels,
      batch.some(({ consumer }) => consumer.wantsContributions),
      isFirst ? 'first' : wantsFirst ? 'both' : 'own',
    );
    const groups = new Map<Consumer<unknown>, number[]>();
    batch.forEach((entry, row) => {
      if (!isFirst) entry.image = undefined;
      if (!this.#unanswered.has(entry)) return;
      groups.set(entry.consumer, [...(groups.get(entry.consumer) ?? []), row]);
    });
    for (const [consumer, rows] of groups) this.#answer(consumer, batch, encoded, rows);
  }

  async #answer(consumer: Consumer<unknown>, batch: Entry[], encoded: Encoded, rows: number[]): Promise<void> {
    const held = consumer.own === undefined ? 0 : rows.length;
    this.#held += held;
    try {
      const pick = <T extends Float32Array | Uint8Array>(all: T) => pickRows(all, rows, batch.length);
      const picked: Encoded = { features: pick(encoded.features) };
      if (consumer.wantsPixels) picked.pixels = pick(encoded.pixels!);
      if (consumer.wantsContributions) picked.contributions = pick(encoded.contributions!);
      if (consumer.wantsFirst) picked.first = pick(encoded.first!);
      const answers = await consumer.answer(picked, rows.length);
      const now = performance.now();
      rows.forEach((row, i) => {
        const entry = batch[row]!;
        if (consumer.own !== undefined && answers[i] === undefined) {
          this.#encodeAgain(entry, consumer.own);
          return;
        }
        if (!this.#settle(entry)) return;
        this.#counts.answered(now - entry.askedAt, entry.waited);
        entry.resolve(answers[i]);
      });
    } catch (error) {
      for (const row of rows) this.#fail(batch[row]!, error);
    }
    this.#held -= held;
    this.#pump();
  }

  /** Back among the ready ones, for the model's own tower; the pixels are still there. */
  #encodeAgain(entry: Entry, consumer: Consumer<unknown>): void {
    if (!this.#unanswered.has(entry)) return;
    this.#counts.again++;
    entry.consumer = consumer;
    entry.inBatch = false;
    entry.waitingSince = performance.now();
    this.#ready.add(entry);
  }

  #fail(entry: Entry, error: unknown): void {
    if (!this.#settle(entry)) return;
    this.#counts.failed++;
    entry.reject(error);
  }

  /** Puts it on the books and at the end of the line. */
  #admit(entry: Entry): void {
    this.#unanswered.add(entry);
    this.#line.add(entry);
    this.#signals.add(entry);
  }

  /** Takes it off the books; false when it was off already. */
  #settle(entry: Entry): boolean {
    if (!this.#unanswered.delete(entry)) return false;
    entry.image = undefined;
    this.#line.delete(entry);
    this.#ready.delete(entry);
    this.#signals.delete(entry);
    return true;
  }

  #abort(entries: Entry[], reason: unknown): void {
    for (const entry of entries) {
      if (!this.#settle(entry)) continue;
      this.#counts.aborted++;
      entry.reject(reason);
    }
    this.#pump();
  }
}

/** These rows of a matrix of n, in this order; the matrix itself when it is all of them. */
function pickRows<T extends Float32Array | Uint8Array>(all: T, rows: number[], n: number): T {
  if (rows.length === n) return all;
  const width = all.length / n;
  const picked = new (all.constructor as { new (length: number): T })(rows.length * width);
  rows.forEach((row, i) => {
    picked.set(all.subarray(row * width, (row + 1) * width), i * width);
  });
  return picked;
}
