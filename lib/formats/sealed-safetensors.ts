/**
 * .safetensors files that vouch for themselves: `__metadata__` begins with `sha256`, the SHA-256 of the file with these 64
 * digits written as zeros. Tensors at the end may be left out, when something else vouches for them.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { headerOf, streamed, type TensorToWrite } from './safetensors';

const PREFIX = '{"__metadata__":{"sha256":"';
const DIGITS = 64;
const ZEROS = '0'.repeat(DIGITS);
/** Where the digits stand in the file. */
const SEAL_AT = 8 + PREFIX.length;

/**
 * Writes a file. Not atomic: write it to a temporary name, which `writeThenRename` lends.
 *
 * @param unsealed tensors behind the others that the seal leaves out
 */
export async function writeSealedSafetensors(
  path: string,
  tensors: Readonly<Record<string, TensorToWrite>>,
  metadata: Readonly<Record<string, string>>,
  unsealed: Readonly<Record<string, TensorToWrite>> = {},
): Promise<void> {
  const head = headerOf(streamed({ ...tensors, ...unsealed }), { sha256: ZEROS, ...metadata });
  const sealed = [head, ...Object.values(tensors).map(bytesOf)];
  head.write(sealOf(sealed), SEAL_AT, 'latin1');
  const file = await open(path, 'w');
  try {
    for (const part of [...sealed, ...Object.values(unsealed).map(bytesOf)]) await file.writeFile(part);
  } finally {
    await file.close();
  }
}

/**
 * Whether `bytes`, a file or what of it is sealed, are what was written; undefined for a file that has no seal.
 * Overwrites the seal in `bytes` by zeros.
 */
export function isSealIntact(bytes: Buffer): boolean | undefined {
  if (bytes.toString('latin1', 8, SEAL_AT) !== PREFIX) return undefined;
  const written = bytes.toString('latin1', SEAL_AT, SEAL_AT + DIGITS);
  bytes.write(ZEROS, SEAL_AT, 'latin1');
  return sealOf([bytes]) === written;
}

function sealOf(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

const bytesOf = ({ data }: TensorToWrite): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
