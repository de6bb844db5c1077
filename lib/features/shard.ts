/**
 * The files of a feature store. Each is a .safetensors file, written whole, renamed into place and never changed.
 *
 * Tensors: `sha256` U8 [n, 32] (of the image files), in a store with patches `patchMcm` F32 [n] (scores/gl-mcm.ts),
 * `featureCrc32` I32 [n] (of each row of `feature`), and last `feature` F32 [n, D] (unit rows). Metadata: `sha256` of all
 * but `feature` (formats/sealed-safetensors.ts), `format`, `identity` (JSON: what the numbers depend on), `files` (JSON:
 * [path, size, mtime in ns, sha256][], to know a file again without reading it). Format 1 has neither checksum.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { ClipnError } from '../base/errors';
import { parseJson } from '../base/parse-json';
import { writeThenRename } from '../base/write-file';
import { readHeader } from '../formats/safetensors';
import { isSealIntact, writeSealedSafetensors } from '../formats/sealed-safetensors';
import type { TensorEntry, TensorTable } from '../formats/tensor-table';

const FORMAT = 'clipn-native features 2';
const UNSEALED_FORMAT = 'clipn-native features 1';
export const HASH_BYTES = 32;

/** Whatever changes a feature. */
export interface StoreIdentity {
  /** Of the model. */
  contentId: string;
  precision: string;
  preprocessing: string;
  dim: number;
  /** What the column `patchMcm` belongs to: labels, templates and method; empty without that column. */
  patches: string;
}

/** A file as it was when its content was hashed. */
export interface KnownFile {
  path: string;
  size: number;
  /** In ns, as the file system tells it. */
  mtime: bigint;
  sha256: Uint8Array;
}

/** What is kept of a shard: all but the features, which stay on disk. */
export interface Shard {
  path: string;
  rows: number;
  /** Where the features begin, in bytes from the start of the file. */
  feature: number;
  /** [rows] CRC-32 of each row's bytes; null for a shard of format 1. */
  crc32: Int32Array | null;
  /** [rows]; null in a store without. */
  patchMcm: Float32Array | null;
}

export interface ShardRows {
  hashes: readonly Uint8Array[];
  /** Rows of D numbers. */
  features: readonly Float32Array[];
  /** One per row, or none at all. */
  patchMcm: readonly number[];
  files: readonly KnownFile[];
}

export function damagedShard(path: string, what: string, cause?: unknown): ClipnError {
  return new ClipnError('ERR_CLIPN_STORE_FORMAT', `${path} is damaged: ${what}`, { cause, details: { path } });
}

const DIFFERENCE: Record<keyof StoreIdentity, string> = {
  contentId: 'another model',
  precision: 'another precision',
  preprocessing: 'another preprocessing',
  dim: 'another width of the embedding',
  patches: 'other labels or templates, or with --patches where this run is without, or the reverse',
};

/** @throws ERR_CLIPN_STORE_MISMATCH, ERR_CLIPN_STORE_FORMAT */
export async function readShard(
  path: string,
  identity: StoreIdentity,
): Promise<{ shard: Shard; hashes: Uint8Array; files: KnownFile[] }> {
  const damaged = (what: string, cause?: unknown) => damagedShard(path, what, cause);
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const { tensors, metadata } = await readHeader(file, size, damaged);
    const sealed = metadata['format'] === FORMAT;
    if (!sealed && metadata['format'] !== UNSEALED_FORMAT) throw damaged(`its format is not "${FORMAT}"`);
    const front = sealed ? Buffer.alloc(tensors.get('feature')?.offset ?? size) : null;
    if (front !== null) {
      await readExactly(file, 0, front, path);
      if (isSealIntact(front) !== true) throw damaged('its checksum is wrong');
    }
    assertIdentity(path, metadata['identity'], identity);
    const rows = tensors.get('sha256')?.shape[0] ?? -1;
    assertColumns(tensors, columnsOf(rows, identity, sealed), size, damaged);
    const column = async (name: string): Promise<Buffer> => {
      const { offset, byteLength } = tensors.get(name)!;
      const bytes = Buffer.alloc(byteLength);
      if (front === null) await readExactly(file, offset, bytes, path);
      else front.copy(bytes, 0, offset);
      return bytes;
    };
    const shard = {
      path,
      rows,
      feature: tensors.get('feature')!.offset,
      crc32: sealed ? new Int32Array((await column('featureCrc32')).buffer) : null,
      patchMcm: identity.patches === '' ? null : new Float32Array((await column('patchMcm')).buffer),
    };
    return { shard, hashes: await column('sha256'), files: filesOf(metadata['files'], damaged) };
  } finally {
    await file.close();
  }
}

type Column = Pick<TensorEntry, 'dtype' | 'shape'>;

/** What a shard holds, in the order of the file. */
function columnsOf(rows: number, { dim, patches }: StoreIdentity, sealed: boolean): Record<string, Column> {
  const sha256: Column = { dtype: 'uint8', shape: [rows, HASH_BYTES] };
  const feature: Column = { dtype: 'float32', shape: [rows, dim] };
  const patchMcm = patches !== '' && { patchMcm: { dtype: 'float32' as const, shape: [rows] } };
  if (!sealed) return { sha256, feature, ...patchMcm };
  return { sha256, ...patchMcm, featureCrc32: { dtype: 'int32', shape: [rows] }, feature };
}

/** @throws what `damaged` makes of a tensor that is missing, unknown or out of place, and of bytes that no tensor has */
function assertColumns(
  tensors: TensorTable,
  columns: Record<string, Column>,
  size: number,
  damaged: (what: string) => ClipnError,
): void {
  let end: number | undefined;
  for (const [name, { dtype, shape }] of Object.entries(columns)) {
    const entry = tensors.get(name);
    if (entry?.dtype !== dtype || entry.shape.join() !== shape.join()) throw damaged(`it lacks ${name} [${shape}]`);
    if (entry.offset !== (end ?? entry.offset)) throw damaged(`its ${name} lies elsewhere`);
    end = entry.offset + entry.byteLength;
  }
  if (tensors.size !== Object.keys(columns).length || end !== size) throw damaged('it holds more than its columns');
}

function assertIdentity(path: string, text: unknown, asked: StoreIdentity): void {
  let made: Partial<StoreIdentity>;
  try {
    made = parseJson(String(text)) as Partial<StoreIdentity>;
  } catch (cause) {
    throw damagedShard(path, 'its identity is no JSON', cause);
  }
  for (const field of Object.keys(DIFFERENCE) as (keyof StoreIdentity)[]) {
    if (made?.[field] === asked[field]) continue;
    throw new ClipnError('ERR_CLIPN_STORE_MISMATCH', `the features in ${path} were made with ${DIFFERENCE[field]}`, {
      details: { path, field, store: made?.[field], asked: asked[field] },
    });
  }
}

function filesOf(text: unknown, damaged: (what: string, cause?: unknown) => ClipnError): KnownFile[] {
  try {
    const list = parseJson(String(text)) as [string, number, string, string][];
    return list.map(([path, size, mtime, hex]) => {
      const sha256 = Buffer.from(hex, 'hex');
      if (typeof path !== 'string' || typeof size !== 'number' || sha256.length !== HASH_BYTES) {
        throw new TypeError('a file needs path, size, mtime and sha256');
      }
      return { path, size, mtime: BigInt(mtime), sha256 };
    });
  } catch (cause) {
    throw damaged('its list of files is broken', cause);
  }
}

/** @throws ERR_CLIPN_IO */
export async function writeShard(path: string, identity: StoreIdentity, rows: ShardRows): Promise<void> {
  const n = rows.hashes.length;
  const data = new Float32Array(n * identity.dim);
  for (const [row, values] of rows.features.entries()) data.set(values, row * identity.dim);
  const feature = { dtype: 'F32' as const, shape: [n, identity.dim], data };
  const tensors = {
    sha256: { dtype: 'U8' as const, shape: [n, HASH_BYTES], data: Buffer.concat(rows.hashes) },
    ...(identity.patches !== '' && {
      patchMcm: { dtype: 'F32' as const, shape: [n], data: Float32Array.from(rows.patchMcm) },
    }),
    featureCrc32: { dtype: 'I32' as const, shape: [n], data: crc32OfRows(data, identity.dim) },
  };
  const files = rows.files.map(({ path, size, mtime, sha256 }) => {
    return [path, size, String(mtime), Buffer.from(sha256).toString('hex')];
  });
  const metadata = { format: FORMAT, identity: JSON.stringify(identity), files: JSON.stringify(files) };
  await writeThenRename(path, (temporary) => writeSealedSafetensors(temporary, tensors, metadata, { feature }));
}

/** The CRC-32 of each row's bytes. */
export function crc32OfRows(features: Float32Array, dim: number): Int32Array {
  const bytes = Buffer.from(features.buffer, features.byteOffset, features.byteLength);
  return Int32Array.from({ length: features.length / dim }, (_, row) =>
    crc32(bytes.subarray(4 * row * dim, 4 * (row + 1) * dim)),
  );
}

/** @throws ERR_CLIPN_STORE_FORMAT when the file ends before */
export async function readExactly(file: FileHandle, position: number, out: Uint8Array, path: string): Promise<void> {
  for (let done = 0; done < out.length; ) {
    const { bytesRead } = await file.read(out, done, out.length - done, position + done);
    if (bytesRead === 0) throw damagedShard(path, 'it is cut short');
    done += bytesRead;
  }
}
