/**
 * features/: Features of images kept on disk, so that no image is encoded twice.
 *
 * Features of images on disk, found by the content of the image file: a folder of shards (shard.ts). Nothing in
 * it is ever changed, so a kill at any time leaves a usable store, and several processes may add to one.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ClipnError } from '../base/errors';
import { lastAt } from '../base/last-at';
import { makeFolder } from '../base/make-folder';
import { removeAbandoned } from '../base/write-file';
import { HashIndex } from './hash-index';
import {
  crc32OfRows,
  damagedShard,
  HASH_BYTES,
  type KnownFile,
  readExactly,
  readShard,
  type Shard,
  type StoreIdentity,
  writeShard,
} from './shard';

export type { KnownFile, StoreIdentity } from './shard';

const SHARD_ROWS = 4096;
/** After this time a shard is written whatever waits: it bounds what a kill can cost. */
const SHARD_MS = 10_000;

/** What waits to be written. */
function nothing() {
  return {
    hashes: [] as Uint8Array[],
    features: [] as Float32Array[],
    patchMcm: [] as number[],
    files: [] as KnownFile[],
  };
}

type Waiting = ReturnType<typeof nothing>;

function joined(earlier: Waiting, later: Waiting): Waiting {
  return {
    hashes: [...earlier.hashes, ...later.hashes],
    features: [...earlier.features, ...later.features],
    patchMcm: [...earlier.patchMcm, ...later.patchMcm],
    files: [...earlier.files, ...later.files],
  };
}

export class FeatureStore {
  readonly folder: string;
  readonly identity: StoreIdentity;
  readonly #index = new HashIndex();
  /** `first` is the row number of the shard's first row. */
  readonly #shards: (Shard & { first: number })[] = [];
  /** What the store knew of the paths it was opened with: latest size (-1: nothing), time and hash of each. */
  readonly #size: Float64Array;
  readonly #mtime: BigInt64Array;
  readonly #hash: Uint8Array;
  readonly #shardRows: number;
  #waiting = nothing();
  #lastFlush = Date.now();

  private constructor(folder: string, identity: StoreIdentity, paths: number, shardRows: number) {
    this.folder = folder;
    this.identity = identity;
    this.#shardRows = shardRows;
    this.#size = new Float64Array(paths).fill(-1);
    this.#mtime = new BigInt64Array(paths);
    this.#hash = new Uint8Array(paths * HASH_BYTES);
  }

  /**
   * Opens or begins a store.
   *
   * @param paths the files that will be asked for
   * @param shardRows a shard is written when this many rows or files wait
   * @throws ERR_CLIPN_STORE_MISMATCH when another model, precision, preprocessing or (with patches) label bank made it;
   *   ERR_CLIPN_STORE_FORMAT naming a damaged shard; ERR_CLIPN_IO
   */
  static async open(
    folder: string,
    identity: StoreIdentity,
    paths: readonly string[],
    shardRows = SHARD_ROWS,
  ): Promise<FeatureStore> {
    const store = new FeatureStore(folder, identity, paths.length, shardRows);
    const indexOf = new Map(paths.map((path, index) => [path, index]));
    try {
      await makeFolder(folder);
      await removeAbandoned(folder);
      // By name, which begins with the time: of a file known twice the later word counts.
      for (const name of (await readdir(folder)).sort()) {
        const path = join(folder, name);
        if (name.endsWith('.safetensors') && !name.startsWith('.')) await store.#take(path, indexOf);
      }
    } catch (cause) {
      throw asClipnError(`cannot open the feature store ${folder}`, cause);
    }
    return store;
  }

  async #take(path: string, indexOf: ReadonlyMap<string, number>): Promise<void> {
    const { shard, hashes, files } = await readShard(path, this.identity);
    this.#shards.push({ ...shard, first: this.#index.rows });
    for (let at = 0; at < hashes.length; at += HASH_BYTES) this.#index.add(hashes.subarray(at, at + HASH_BYTES));
    for (const { path: of, size, mtime, sha256 } of files) {
      const index = indexOf.get(of);
      if (index === undefined) continue;
      this.#size[index] = size;
      this.#mtime[index] = mtime;
      this.#hash.set(sha256, index * HASH_BYTES);
    }
  }

  /** The row of path number `index` if its file has not changed since it was hashed, else -1. */
  rowOfFile(index: number, { size, mtime }: { size: number; mtime: bigint }): number {
    if (this.#size[index] !== size || this.#mtime[index] !== mtime) return -1;
    return this.rowOf(this.#hash.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES));
  }

  /** The row of an image with this content, or -1. */
  rowOf(sha256: Uint8Array): number {
    return this.#index.find(sha256);
  }

  /** Takes a row; it is on disk after `flush`. `patchMcm` only, and always, in a store with patches. */
  add(sha256: Uint8Array, feature: Float32Array, patchMcm?: number): void {
    this.#index.add(sha256);
    this.#waiting.hashes.push(sha256);
    this.#waiting.features.push(feature);
    if (patchMcm !== undefined) this.#waiting.patchMcm.push(patchMcm);
  }

  /** Notes what a file held; on disk after `flush`. */
  addFile(file: KnownFile): void {
    this.#waiting.files.push(file);
  }

  /** Writes a shard when there is enough to write or enough time has passed. */
  async flushIfDue(): Promise<void> {
    const { hashes, files } = this.#waiting;
    const due = Date.now() - this.#lastFlush >= SHARD_MS || Math.max(hashes.length, files.length) >= this.#shardRows;
    if (due) await this.flush();
  }

  /** Writes what has been added; what is added meanwhile waits for the next time. @throws ERR_CLIPN_IO */
  async flush(): Promise<void> {
    this.#lastFlush = Date.now();
    const written = this.#waiting;
    if (written.hashes.length === 0 && written.files.length === 0) return;
    this.#waiting = nothing();
    const first = this.#index.rows - written.hashes.length;
    // Unique: a process never replaces a shard that another has read.
    const name = `${String(Date.now()).padStart(14, '0')}-${randomUUID().slice(0, 8)}.safetensors`;
    const path = join(this.folder, name);
    try {
      await writeShard(path, this.identity, written);
    } catch (error) {
      this.#waiting = joined(written, this.#waiting);
      throw error;
    }
    const { shard } = await readShard(path, this.identity);
    this.#shards.push({ ...shard, first });
  }

  /**
   * Reads rows that are on disk.
   *
   * @param features [rows.length, D], filled
   * @param patchMcm [rows.length], filled; null in a store without
   * @throws ERR_CLIPN_STORE_FORMAT naming the shard when a row is not what was written (in a shard of format 1: not of
   *   unit length); ERR_CLIPN_IO
   */
  async read(rows: ArrayLike<number>, features: Float32Array, patchMcm: Float32Array | null): Promise<void> {
    const { dim } = this.identity;
    let file: FileHandle | undefined;
    let shard: (Shard & { first: number }) | undefined;
    try {
      for (let from = 0, to = 0; from < rows.length; from = to) {
        const row = rows[from]!;
        if (!shard || row < shard.first || row >= shard.first + shard.rows) {
          await file?.close();
          shard = lastAt(this.#shards, row);
          file = await open(shard.path, 'r');
        }
        const end: number = shard.first + shard.rows;
        for (to = from + 1; to < rows.length && rows[to] === row + to - from && rows[to]! < end; ) to++;
        const at = row - shard.first;
        const run = features.subarray(from * dim, to * dim);
        await readExactly(file!, shard.feature + 4 * at * dim, bytesOf(run), shard.path);
        if (shard.crc32 === null) assertUnitRows(run, dim, at, shard.path);
        else assertChecksums(run, dim, at, shard.crc32, shard.path);
        patchMcm?.set(shard.patchMcm!.subarray(at, at + to - from), from);
      }
    } catch (cause) {
      throw asClipnError(`cannot read ${shard?.path}`, cause);
    } finally {
      await file?.close();
    }
  }
}

const bytesOf = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

function assertChecksums(features: Float32Array, dim: number, first: number, crc32: Int32Array, path: string): void {
  for (const [i, sum] of crc32OfRows(features, dim).entries()) {
    if (sum !== crc32[first + i]) throw damagedShard(path, `the checksum of row ${first + i} is wrong`);
  }
}

/** Wide enough for rows that were normalised in bf16; NaN fails too. */
export function isUnitRow(features: Float32Array, start: number, dim: number): boolean {
  let square = 0;
  for (let d = start; d < start + dim; d++) square += features[d]! * features[d]!;
  return Math.abs(square - 1) < 0.05;
}

function assertUnitRows(features: Float32Array, dim: number, first: number, path: string): void {
  for (let start = 0; start < features.length; start += dim) {
    if (!isUnitRow(features, start, dim)) throw damagedShard(path, `row ${first + start / dim} is not of unit length`);
  }
}

function asClipnError(what: string, cause: unknown): ClipnError {
  if (cause instanceof ClipnError) return cause;
  return new ClipnError('ERR_CLIPN_IO', `${what}: ${(cause as Error).message}`, { cause });
}
