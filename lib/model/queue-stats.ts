/** What a model's queue has done: counters, and percentiles over a bounded window. */

/** Of the last images that were answered, 1,024 at most, in ms. */
export interface Percentiles {
  /** Half of them took no longer. */
  p50: number;
  /** 95 % of them took no longer. */
  p95: number;
  /** 99 % of them took no longer. */
  p99: number;
}

/** Counts are of images since the model was loaded, unless said otherwise. */
export interface ModelStats {
  /** Answered. */
  done: number;
  /** Rejected with an error of their own or of their batch, or dropped by `close({ drain: false })`. */
  failed: number;
  /** Left by their AbortSignal, or because the reader left the stream. */
  aborted: number;
  /** Refused with ERR_CLIPN_QUEUE_FULL. */
  rejected: number;
  /** Batches begun. */
  batches: number;
  /** How many images they held on average; null before the first. */
  meanBatch: number | null;
  /** Of a guarded model: encoded by both towers, since the first alone could not decide. */
  again: number;
  /** Now: taken and in no batch yet. What a list or stream has not read is not among them. */
  waiting: number;
  /** Now: being computed or scored. */
  running: number;
  /** From call to answer; null before the first. */
  latencyMs: Percentiles | null;
  /**
   * The part of it that was neither decoding nor computing: waiting for room, for company, for the lane; null before
   * the first.
   */
  waitMs: Percentiles | null;
}

const WINDOW = 1024;

/** The last `WINDOW` numbers. */
class Recent {
  readonly #values = new Float64Array(WINDOW);
  #count = 0;

  add(value: number): void {
    this.#values[this.#count++ % WINDOW] = value;
  }

  /** Nearest rank. */
  percentiles(): Percentiles | null {
    if (this.#count === 0) return null;
    const sorted = this.#values.slice(0, this.#count).sort();
    const at = (q: number) => sorted[Math.ceil(q * sorted.length) - 1]!;
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }
}

export class QueueCounts {
  failed = 0;
  aborted = 0;
  rejected = 0;
  again = 0;
  #done = 0;
  #batches = 0;
  #inBatches = 0;
  readonly #latency = new Recent();
  readonly #wait = new Recent();

  batch(images: number): void {
    this.#batches++;
    this.#inBatches += images;
  }

  answered(latencyMs: number, waitMs: number): void {
    this.#done++;
    this.#latency.add(latencyMs);
    this.#wait.add(waitMs);
  }

  stats(waiting: number, running: number): ModelStats {
    const { failed, aborted, rejected, again } = this;
    return {
      done: this.#done,
      failed,
      aborted,
      rejected,
      again,
      batches: this.#batches,
      meanBatch: this.#batches === 0 ? null : this.#inBatches / this.#batches,
      waiting,
      running,
      latencyMs: this.#latency.percentiles(),
      waitMs: this.#wait.percentiles(),
    };
  }
}
