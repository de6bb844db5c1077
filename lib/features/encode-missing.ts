/** Makes sure that a store has the features of every readable image of some folders; each image is encoded once. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { ClipnError, isOutOfHandles } from '../base/errors';
import { type DecodeOptions, decodeImage } from '../images/decode';
import type { NativeImage } from '../native/addon';
import { HASH_BYTES } from './shard';
import type { FeatureStore, KnownFile } from './store';

export interface FeaturePassOptions {
  /**
   * Images in each call of the tower: never fewer, since the number of rows in a matrix product may change the last bits
   * of each.
   */
  batch: number;
  /** Features [batch, D] and, in a store with patches, [batch] values for its column. */
  encode(images: NativeImage[]): Promise<{ features: Float32Array; patchMcm?: Float32Array }>;
  exif: boolean;
  truncated?: DecodeOptions['truncated'];
  limitPixels?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Images done, of those whose features were not in the store. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface UnreadablePath {
  /** Index of the path. */
  index: number;
  error: ClipnError;
}

/** File look-ups under way at once. */
const STATS = 64;
/** Files open at once, which a process may have few of: more than libuv's pool has threads are no faster. */
const OPEN = 8;

/**
 * Images are taken in order, and batches are filled in order from those that have to be encoded: after a kill the rest
 * falls into the same batches as it would have, so that features are the same to the last bit.
 *
 * @param paths absolute; the store was opened with the same list
 * @returns the store's row of each path, -1 for an unreadable image; all rows are on disk
 * @throws ERR_CLIPN_IO when the store cannot be written or the process may open no more files, what `encode` throws, or `signal.reason`
 */
export async function encodeMissing(
  store: FeatureStore,
  paths: readonly string[],
  options: FeaturePassOptions,
): Promise<{ rows: Int32Array; unreadable: UnreadablePath[] }> {
  const { signal, onProgress } = options;
  const rows = new Int32Array(paths.length).fill(-1);
  const missing: number[] = [];
  const storedRow = async (index: number) => {
    // What cannot be looked at is told when it is its turn to be read.
    const stamp = await stampOf(paths[index]!).catch(() => undefined);
    return { index, row: stamp ? store.rowOfFile(index, stamp) : -1 };
  };
  for await (const { index, row } of ahead(paths.keys(), STATS, storedRow)) {
    signal?.throwIfAborted();
    rows[index] = row;
    if (row === -1) missing.push(index);
  }

  const hashes = new Uint8Array(missing.length * HASH_BYTES);
  const unreadable: UnreadablePath[] = [];
  const batches = new Batches(store, options);
  const look = atMost(OPEN, (index: number) => lookAt(paths[index]!, index, store, options));
  try {
    let done = 0;
    for await (const seen of ahead(missing, 3 * options.batch, look)) {
      signal?.throwIfAborted();
      // No fault of this image: the figures would lack it, and others of the set, without a reason.
      if ('error' in seen && isOutOfHandles(seen.error)) throw seen.error;
      if ('error' in seen) unreadable.push(seen);
      else {
        hashes.set(seen.file.sha256, done * HASH_BYTES);
        await batches.add(seen);
      }
      onProgress?.(++done, missing.length);
    }
    await batches.finish();
    await store.flush();
  } catch (error) {
    // What is encoded is kept; the first failure is the one to report.
    await batches.settle().catch(() => undefined);
    await store.flush().catch(() => undefined);
    throw error;
  }
  // Of an unreadable image the hash is all zeros, which no row has.
  for (const [k, index] of missing.entries()) {
    rows[index] = store.rowOf(hashes.subarray(k * HASH_BYTES, (k + 1) * HASH_BYTES));
  }
  return { rows, unreadable };
}

async function stampOf(path: string): Promise<{ size: number; mtime: bigint }> {
  const { size, mtimeNs } = await stat(path, { bigint: true });
  return { size: Number(size), mtime: mtimeNs };
}

function unreadableFile(path: string, cause: unknown): ClipnError {
  const { code, message } = cause as NodeJS.ErrnoException;
  return code === 'ENOENT'
    ? new ClipnError('ERR_CLIPN_IMAGE_NOT_FOUND', `no file at ${path}`, { cause })
    : new ClipnError('ERR_CLIPN_IO', `cannot read ${path}: ${message}`, { cause });
}

interface Seen {
  index: number;
  file: KnownFile;
  /** Absent when the store has an image of this content. */
  image?: NativeImage;
}

/** Hashes a file and decodes it if its content is new. Never rejects. */
async function lookAt(
  path: string,
  index: number,
  store: FeatureStore,
  { exif, truncated, limitPixels }: FeaturePassOptions,
): Promise<Seen | UnreadablePath> {
  try {
    // Looked at before it is read: a file that changes meanwhile is read again the next time.
    const stamp = await stampOf(path);
    const sha256 = createHash('sha256')
      .update(await readFile(path))
      .digest();
    const file = { path, ...stamp, sha256 };
    if (store.rowOf(sha256) !== -1) return { index, file };
    return { index, file, image: await decodeImage(path, { exif, truncated, ...(limitPixels && { limitPixels }) }) };
  } catch (cause) {
    return { index, error: cause instanceof ClipnError ? cause : unreadableFile(path, cause) };
  }
}

/** Fills batches in order; the next is filled while one is encoded. */
class Batches {
  #waiting: Seen[] = [];
  readonly #queued = new Set<string>();
  #running: Promise<void> | undefined;

  constructor(
    private readonly store: FeatureStore,
    private readonly options: FeaturePassOptions,
  ) {}

  async add(seen: Seen): Promise<void> {
    const key = Buffer.from(seen.file.sha256).toString('latin1');
    // The same content twice: it is encoded once, whatever the second was decoded for.
    const isNew = seen.image !== undefined && this.store.rowOf(seen.file.sha256) === -1 && !this.#queued.has(key);
    if (!isNew) {
      this.store.addFile(seen.file);
      return;
    }
    this.#queued.add(key);
    this.#waiting.push(seen);
    if (this.#waiting.length === this.options.batch) await this.#start();
  }

  async finish(): Promise<void> {
    if (this.#waiting.length > 0) await this.#start();
    await this.settle();
  }

  /** Waits for the batch that is being encoded. */
  async settle(): Promise<void> {
    await this.#running;
  }

  async #start(): Promise<void> {
    const batch = this.#waiting;
    this.#waiting = [];
    await this.#running;
    this.#running = this.#encode(batch);
    // It is awaited before the next batch or at the end: until then a failure must not count as unhandled.
    this.#running.catch(() => undefined);
  }

  async #encode(batch: readonly Seen[]): Promise<void> {
    const images = batch.map(({ image }) => image!);
    while (images.length < this.options.batch) images.push(images[0]!);
    const { features, patchMcm } = await this.options.encode(images);
    const { dim } = this.store.identity;
    for (const [i, { file }] of batch.entries()) {
      this.store.add(file.sha256, features.slice(i * dim, (i + 1) * dim), patchMcm?.[i]);
      this.store.addFile(file);
      this.#queued.delete(Buffer.from(file.sha256).toString('latin1'));
    }
    await this.store.flushIfDue();
  }
}

/** `work`, of which no more calls than `most` run at once; the others wait in line. `work` must not reject. */
function atMost<In, Out>(most: number, work: (item: In) => Promise<Out>): (item: In) => Promise<Out> {
  let running = 0;
  const line: (() => void)[] = [];
  return async (item) => {
    if (running < most) running++;
    else await new Promise<void>((go) => line.push(go));
    const result = await work(item);
    const next = line.shift();
    if (next) next();
    else running--;
    return result;
  };
}

/** Runs `work` on items, some ahead of the one that is awaited; results in order. `work` must not reject. */
async function* ahead<In, Out>(
  items: Iterable<In>,
  count: number,
  work: (item: In) => Promise<Out>,
): AsyncGenerator<Out, void, undefined> {
  const running: Promise<Out>[] = [];
  for (const item of items) {
    running.push(work(item));
    if (running.length > count) yield await running.shift()!;
  }
  while (running.length > 0) yield await running.shift()!;
}
