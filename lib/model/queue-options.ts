/** Options of a model's queue: defaults and checks. */
import { assertOptionNames, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';

/** How images of all callers are gathered into batches. docs/throughput.md */
export interface BatchOptions {
  /** Images the tower sees at once, at most. Default 8. */
  max?: number | undefined;
  /**
   * Longest time in ms that a decoded image waits for others while the lane is free, 0 to 60,000. Default 0: a batch is
   * what came while the one before it ran.
   */
  maxDelayMs?: number | undefined;
}

/** How many images a model takes at once. docs/throughput.md */
export interface QueueOptions {
  /**
   * Images in memory as pixels, at most; nor more than two batches and the images being decoded. Default 64. What waits
   * beyond holds its input only. With `whenFull: 'reject'` also the images taken and not yet answered, at most.
   */
  max?: number | undefined;
  /**
   * What a call for one more image does: `wait` its turn (default), or `reject` with ERR_CLIPN_QUEUE_FULL. Lists and
   * streams read on when there is room, whatever this says.
   */
  whenFull?: 'wait' | 'reject' | undefined;
}

/** Checked options, every one there. */
export interface QueueLimits {
  batchMax: number;
  maxDelayMs: number;
  queueMax: number;
  whenFull: 'wait' | 'reject';
}

/** Fills in the defaults. @throws ERR_CLIPN_INVALID_ARG */
export function queueLimits(batch: BatchOptions = {}, queue: QueueOptions = {}): QueueLimits {
  const { max: batchMax = 8, maxDelayMs = 0 } = batch;
  const { max: queueMax = 64, whenFull = 'wait' } = queue;
  assertOptionNames('batch', batch, { max: true, maxDelayMs: true } satisfies OptionNames<BatchOptions>);
  assertOptionNames('queue', queue, { max: true, whenFull: true } satisfies OptionNames<QueueOptions>);
  const invalid = (what: string) => new ClipnError('ERR_CLIPN_INVALID_ARG', what);
  for (const [name, value] of Object.entries({ 'batch.max': batchMax, 'queue.max': queueMax })) {
    if (!Number.isInteger(value) || value < 1) {
      throw invalid(`${name} must be a whole number of at least 1, not ${value}`);
    }
  }
  if (typeof maxDelayMs !== 'number' || !(maxDelayMs >= 0 && maxDelayMs <= 60_000)) {
    throw invalid(`batch.maxDelayMs must be a number from 0 to 60000, not ${maxDelayMs}`);
  }
  if (whenFull !== 'wait' && whenFull !== 'reject') {
    throw invalid(`queue.whenFull must be wait or reject, not ${whenFull}`);
  }
  return { batchMax: Math.min(batchMax, queueMax), maxDelayMs, queueMax, whenFull };
}
