/**
 * A model file whose SHA-256 is the one that a caller trusts. What is lent is a copy, hashed while it was made, which has
 * no name that another program could open: whatever happens to the file meanwhile, what was hashed is what is loaded.
 */
import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClipnError, isOfSystem } from '../base/errors';
import { assertModelPath } from './model-file';

const CHUNK = 4 << 20;

/** @throws ERR_CLIPN_INVALID_ARG for what is no SHA-256 in hex */
export function assertSha256(value: unknown): void {
  if (typeof value === 'string' && /^[0-9a-f]{64}$/i.test(value)) return;
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', 'trustedSha256 must be the 64 hexadecimal digits of a SHA-256', {
    hint: '`sha256sum FILE` prints it.',
  });
}

/**
 * Lends `use` a path that leads to a copy of the file; the copy is gone afterwards.
 *
 * @throws ERR_CLIPN_MODEL_UNTRUSTED when the file has another SHA-256, ERR_CLIPN_MODEL_NOT_FOUND, ERR_CLIPN_MODEL_FORMAT,
 *   ERR_CLIPN_IO, or `signal.reason`; what `use` throws
 */
export async function withTrustedCopy<T>(
  path: string,
  trusted: string,
  signal: AbortSignal | undefined,
  use: (copy: string) => Promise<T>,
): Promise<T> {
  await assertModelPath(path);
  const file = await orIoError(`cannot read the model file ${path}`, open(path, 'r'));
  try {
    const copy = await orIoError(`cannot make a file in ${tmpdir()} to copy the model to`, openNameless());
    try {
      const sha256 = await orIoError(`cannot copy ${path} to ${tmpdir()}`, copyAndHash(file, copy, signal));
      if (sha256 !== trusted.toLowerCase()) {
        throw new ClipnError('ERR_CLIPN_MODEL_UNTRUSTED', `${path} has the SHA-256 ${sha256}, not ${trusted}`, {
          details: { path, sha256, trusted },
        });
      }
      const lent = `/proc/self/fd/${copy.fd}`;
      return await use(lent).catch((error) => {
        throw namedOtherwise(error, lent, path);
      });
    } finally {
      await copy.close();
    }
  } finally {
    await file.close();
  }
}

/** A file that nobody else may open while it has a name, and nobody can afterwards. */
async function openNameless(): Promise<FileHandle> {
  const name = join(tmpdir(), `clipn-trusted-${randomUUID()}`);
  const file = await open(name, 'wx+', 0o600);
  try {
    await unlink(name);
  } catch (error) {
    await file.close();
    throw error;
  }
  return file;
}

async function copyAndHash(from: FileHandle, to: FileHandle, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(CHUNK);
  for (let at = 0; ; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await from.read(chunk, 0, CHUNK, at);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(chunk.subarray(0, bytesRead));
    // A full disk shows as a short write first.
    for (let done = 0; done < bytesRead; ) {
      done += (await to.write(chunk, done, bytesRead - done, at + done)).bytesWritten;
    }
    at += bytesRead;
  }
}

async function orIoError<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (!isOfSystem(cause)) throw cause; // an abort
    throw new ClipnError('ERR_CLIPN_IO', `${what}: ${cause.message}`, { cause });
  }
}

function namedOtherwise(error: unknown, lent: string, path: string): unknown {
  if (!(error instanceof ClipnError) || !error.message.includes(lent)) return error;
  const { code, hint, details, cause } = error;
  return new ClipnError(code, error.message.replaceAll(lent, path), { hint, details, cause });
}
