/**
 * The files of a feature store. Each is a .safetensors file, written whole, renamed into place and never changed.
 *
 * Tensors: `sha256` U8 [n, 32] (of the image files), `feature` F32 [n, D] (unit rows) and, in a store with patches,
 * `patchMcm` F32 [n] (scores/gl-mcm.ts). Metadata: `format`, `identity` (JSON: what the numbers depend on), `files`
 * (JSON: [path, size, mtime in ns, sha256][], to know a file again without reading it).
 */
import { type FileHandle, open } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import { writeThenRename } from '../base/write-file';
import { readHeader, writeSafetensors } from '../formats/safetensors';

const FORMAT = 'clipn-native features 1';
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

/** Where the columns of a shard lie. */
export interface Shard {
  path: string;
  rows: number;
  /** Bytes from the start of the file; `patchMcm` is 0 in a store without. */
  feature: number;
  patchMcm: number;
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
    const { tensors, metadata } = await readHeader(file, (await file.stat()).size, damaged);
    if (metadata['format'] !== FORMAT) throw damaged(`its format is not "${FORMAT}"`);
    assertIdentity(path, metadata['identity'], identity);
    const rows = tensors.get('sha256')?.shape[0] ?? -1;
    const offset = (name: string, shape: number[]) => {
      const entry = tensors.get(name);
      if (entry?.shape.join() !== shape.join()) throw damaged(`it lacks ${name} [${shape}]`);
      return entry.offset;
    };
    const hashes = Buffer.alloc(Math.max(0, rows) * HASH_BYTES);
    await readExactly(file, offset('sha256', [rows, HASH_BYTES]), hashes, path);
    const feature = offset('feature', [rows, identity.dim]);
    const patchMcm = identity.patches === '' ? 0 : offset('patchMcm', [rows]);
    return { shard: { path, rows, feature, patchMcm }, hashes, files: filesOf(metadata['files'], damaged) };
  } finally {
    await file.close();
  }
}

function assertIdentity(path: string, text: unknown, asked: StoreIdentity): void {
  let made: Partial<StoreIdentity>;
  try {
    made = JSON.parse(String(text)) as Partial<StoreIdentity>;
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
    const list = JSON.parse(String(text)) as [string, number, string, string][];
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
  const feature = new Float32Array(n * identity.dim);
  for (const [row, values] of rows.features.entries()) feature.set(values, row * identity.dim);
  const tensors = {
    sha256: { dtype: 'U8' as const, shape: [n, HASH_BYTES], data: Buffer.concat(rows.hashes) },
    feature: { dtype: 'F32' as const, shape: [n, identity.dim], data: feature },
    ...(identity.patches !== '' && {
      patchMcm: { dtype: 'F32' as const, shape: [n], data: Float32Array.from(rows.patchMcm) },
    }),
  };
  const files = rows.files.map(({ path, size, mtime, sha256 }) => {
    return [path, size, String(mtime), Buffer.from(sha256).toString('hex')];
  });
  const metadata = { format: FORMAT, identity: JSON.stringify(identity), files: JSON.stringify(files) };
  await writeThenRename(path, (temporary) => writeSafetensors(temporary, tensors, metadata));
}

/** @throws ERR_CLIPN_STORE_FORMAT when the file ends before */
export async function readExactly(file: FileHandle, position: number, out: Uint8Array, path: string): Promise<void> {
  for (let done = 0; done < out.length; ) {
    const { bytesRead } = await file.read(out, done, out.length - done, position + done);
    if (bytesRead === 0) throw damagedShard(path, 'it is cut short');
    done += bytesRead;
  }
}
