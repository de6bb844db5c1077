/** A worker: takes shards off the queue until the batch has a result for each. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, WaitingError, Worker } from 'bullmq';
import { ClipnError } from 'clipn-native';
import { ServeError } from '../errors';
import type { BatchDetector } from './batch-detector';
import { entriesOf } from './list';
import { FILES, type Manifest, unfinishedShards } from './manifest';
import {
  addShards,
  connectionOf,
  countsOf,
  openQueue,
  queueName,
  type RedisAddress,
  redisName,
  type ShardJob,
  type ShardQueue,
} from './queue';
import { rowsToParquet } from './rows';
import { judgeShard } from './shard';
import type { Storage } from './storage';
import { CAREFUL_FROM, suspicion } from './suspects';

/**
 * Times that a shard may lose its worker (BullMQ's default: once). A killed worker is no fault of the shard; an image that
 * kills is found after a few (suspects.ts), so this bounds only what kills without any image being to blame.
 */
const MOST_STALLS = 100;
/** How often an idle worker looks whether the batch is done. */
const LOOK_MS = 1000;
const PROGRESS_MS = 2000;
const SETTLE_MS = 50;
const HAND_BACK_MS = 2000;

export interface WorkOptions {
  storage: Storage;
  manifest: Manifest;
  redis: RedisAddress;
  batch: BatchDetector;
  /** Shards of this process at the same time. */
  atOnce: number;
  /** Seconds without a sign of life after which others take a worker's shard. */
  lockSeconds: number;
  /** Seconds that shards may take to end after `stop`; then they are handed back. */
  graceSeconds: number;
  /** Aborts when the worker shall stop. */
  stop: AbortSignal;
  say: (line: string) => void;
}

export interface WorkOutcome {
  /** `stopped`: shards remain. */
  state: 'done' | 'stopped';
  shards: number;
  images: number;
}

/**
 * @throws ERR_SERVE_BATCH_INCOMPLETE when shards have failed for good; ERR_SERVE_S3_ACCESS, ERR_CLIPN_DEVICE_LOST: this
 *   worker's own trouble, its shards are handed back
 */
export async function work(options: WorkOptions): Promise<WorkOutcome> {
  const { manifest, redis, atOnce, lockSeconds, stop, say } = options;
  const run = new Run(options);
  const worker = new Worker<ShardJob>(queueName(manifest), (job, token) => run.process(job, token), {
    connection: connectionOf(redis),
    concurrency: atOnce,
    lockDuration: 1000 * lockSeconds,
    stalledInterval: 500 * lockSeconds,
    maxStalledCount: MOST_STALLS,
    // After a lost connection it asks again this much later.
    runRetryDelay: LOOK_MS,
  });
  const queue = openQueue(manifest, redis);
  const heard = new Connection(redisName(redis), say);
  worker.on('error', (error) => heard.lost(error));
  worker.on('ready', () => heard.back());
  worker.on('failed', (job, { message }) => {
    const over = job === undefined || job.attemptsMade >= (job.opts.attempts ?? 1);
    say(`shard ${job?.data.shard}: ${message}; ${over ? 'it has failed for good' : 'it is tried again later'}`);
  });
  try {
    const state = await run.untilDone(queue, stop);
    const closed = worker.close();
    if (state !== 'done') await run.settle();
    // Without Redis nothing can be handed back: the lock runs out, and others take the shard.
    await Promise.race([closed, sleep(HAND_BACK_MS, undefined, { ref: false })]);
    if (run.fault !== undefined) throw run.fault;
    return { state, shards: run.shards, images: run.images };
  } finally {
    const ended = Promise.allSettled([worker.close(true), queue.close()]);
    await Promise.race([ended, sleep(HAND_BACK_MS, undefined, { ref: false })]);
  }
}

/** What one worker does and has done. */
class Run {
  shards = 0;
  images = 0;
  /** Its own trouble, that no other worker need have. */
  fault: Error | undefined;
  readonly #options: WorkOptions;
  readonly #handBack = new AbortController();
  #active = 0;

  constructor(options: WorkOptions) {
    this.#options = options;
  }

  /** A shard: nothing to do when it has a result. */
  async process(job: Job<ShardJob>, token: string | undefined): Promise<void> {
    const { storage, manifest, say } = this.#options;
    const { shard } = job.data;
    this.#active++;
    try {
      if (this.#handBack.signal.aborted) throw this.#handBack.signal.reason;
      const name = FILES.result(shard);
      if ((await storage.read(name)) !== undefined) return;
      const began = performance.now();
      const { images, dead } = await this.#judge(job, name);
      this.shards++;
      this.images += images;
      const rate = (images / (performance.now() - began)) * 1000;
      const lost = dead === 0 ? '' : `, ${dead} dead letters`;
      say(`shard ${shard} of ${manifest.shards}: ${images} images${lost}, ${rate.toFixed(1)} images/s`);
    } catch (error) {
      if (error !== this.#handBack.signal.reason && !isOwnTrouble(error)) throw error;
      if (isOwnTrouble(error)) {
        this.fault ??= error as Error;
        this.#handBack.abort(error);
      }
      await job.moveToWait(token);
      say(`shard ${shard}: handed back`);
      throw new WaitingError();
    } finally {
      this.#active--;
    }
  }

  async #judge(job: Job<ShardJob>, name: string): Promise<{ images: number; dead: number }> {
    const { storage, manifest, batch, say } = this.#options;
    const { shard } = job.data;
    const list = await storage.read(FILES.list(shard));
    if (list === undefined)
      throw new ServeError('ERR_SERVE_BATCH_FORMAT', `${storage.address} lacks its ${FILES.list(shard)}`);
    const entries = entriesOf(list);
    let told = Date.now();
    const tell = (done: number) => {
      if (Date.now() - told < PROGRESS_MS) return;
      told = Date.now();
      job.updateProgress(done).catch(() => undefined);
    };
    const suspects = job.stalledCounter >= CAREFUL_FROM ? await suspicion(storage, shard) : undefined;
    if (suspects) say(`shard ${shard} has lost ${job.stalledCounter} workers: one image at a time`);
    const rows = await judgeShard(entries, {
      detector: batch.detector,
      giveUp: job.attemptsMade + 1 >= (job.opts.attempts ?? 1),
      signal: this.#handBack.signal,
      onProgress: tell,
      careful: suspects?.careful,
    }).finally(async () => {
      // A store that does not take the note is told of by what is written next.
      await suspects?.leave().catch(() => undefined);
    });
    const facts = { ...batch.provenance, shard, listed: entries.length };
    await storage.write(name, await rowsToParquet(rows, manifest.features, facts));
    return { images: entries.length, dead: rows.filter(({ error }) => error !== null).length };
  }

  /**
   * Waits until every shard has a result. A shard without one that the queue knows nothing of goes back into it: Redis may
   * forget all it was told.
   */
  async untilDone(queue: ShardQueue, stop: AbortSignal): Promise<'done' | 'stopped'> {
    const { storage, manifest } = this.#options;
    // A Redis that is away does not answer, and must not keep the worker from stopping.
    const stopped = new Promise<undefined>((resolve) => {
      stop.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    for (;;) {
      if (stop.aborted || this.fault !== undefined) return 'stopped';
      const counts =
        this.#active > 0 ? undefined : await Promise.race([countsOf(queue).catch(() => undefined), stopped]);
      if (counts !== undefined && counts.waiting + counts.running === 0) {
        const missing = await unfinishedShards(storage, manifest);
        if (missing.length === 0) return 'done';
        const added = addShards(queue, missing).then(
          () => countsOf(queue),
          () => undefined,
        );
        const left = await Promise.race([added, stopped]);
        // They are in the queue, and none is to be done: they are those that failed.
        if (left !== undefined && left.waiting + left.running === 0 && this.#active === 0) {
          throw new ServeError('ERR_SERVE_BATCH_INCOMPLETE', await failedText(queue, missing.length));
        }
      }
      await sleep(LOOK_MS, undefined, { signal: stop }).catch(() => undefined);
    }
  }

  /** Lets shards end, for as long as they may; what is left then is handed back. */
  async settle(): Promise<void> {
    const end = Date.now() + 1000 * this.#options.graceSeconds;
    while (this.#active > 0 && this.fault === undefined && Date.now() < end) await sleep(SETTLE_MS);
    if (this.#active > 0) this.#handBack.abort(new Error('the worker stops'));
  }
}

async function failedText(queue: ShardQueue, count: number): Promise<string> {
  const [first] = await queue.getFailed(0, 0);
  const why = first === undefined ? '' : `; shard ${first.data.shard}: ${first.failedReason}`;
  return `${count} shards have failed${why}`;
}

/** No fault of the shard, and of no use to try again in this process. */
function isOwnTrouble(error: unknown): boolean {
  if (error instanceof ServeError) return error.code === 'ERR_SERVE_S3_ACCESS';
  return error instanceof ClipnError && error.code === 'ERR_CLIPN_DEVICE_LOST';
}

const LOST = ['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'ENOTFOUND', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH'];

/** Tells once that Redis is away, and once that it is back. */
class Connection {
  readonly #name: string;
  readonly #say: (line: string) => void;
  #away = false;

  constructor(name: string, say: (line: string) => void) {
    this.#name = name;
    this.#say = say;
  }

  lost({ message, code }: NodeJS.ErrnoException): void {
    if (this.#away) return;
    if (code === undefined || !LOST.includes(code)) {
      this.#say(`the queue: ${message}`);
      return;
    }
    this.#away = true;
    this.#say(`Redis at ${this.#name} cannot be reached (${message || code}): waiting for it`);
  }

  back(): void {
    if (this.#away) this.#say(`Redis at ${this.#name} is back`);
    this.#away = false;
  }
}
