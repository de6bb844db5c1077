/** The bytes behind an address of a list: a file or an object of a store. */
import { readFile, stat } from 'node:fs/promises';
import { ServeError } from '../errors';
import { Unavailable, withBackOff } from './retry';
import { Denied, isS3, parseS3, s3, TooLarge } from './s3';

/** As the detector's own limit for what it reads itself. */
const MOST_BYTES = 2 ** 28;

/** What the system says of a path that will not be better tomorrow. */
const ABSENT = ['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG', 'ELOOP', 'ERR_INVALID_ARG_VALUE'];
const FORBIDDEN = ['EACCES', 'EPERM'];

/**
 * Reads an object whole.
 *
 * @throws ERR_SERVE_OBJECT_NOT_FOUND, ERR_SERVE_OBJECT_DENIED, ERR_SERVE_OBJECT_TOO_LARGE: the object's own fault;
 *   ERR_SERVE_OBJECT_UNAVAILABLE when its store did not answer after five tries; ERR_SERVE_S3_ACCESS; `signal.reason`
 */
export async function readObject(address: string, signal?: AbortSignal): Promise<Uint8Array> {
  try {
    const bytes = isS3(address) ? await s3().get(parseS3(address), MOST_BYTES, signal) : await file(address, signal);
    if (bytes !== undefined) return bytes;
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof Denied) throw new ServeError('ERR_SERVE_OBJECT_DENIED', `${address}: ${message}`);
    if (error instanceof TooLarge) throw new ServeError('ERR_SERVE_OBJECT_TOO_LARGE', `${address}: ${message}`);
    if (error instanceof Unavailable) {
      throw new ServeError('ERR_SERVE_OBJECT_UNAVAILABLE', `${address}: ${message}`, { cause: error });
    }
    throw error;
  }
  throw new ServeError('ERR_SERVE_OBJECT_NOT_FOUND', `${address} does not exist`);
}

async function file(path: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
  return await withBackOff(async () => {
    try {
      if ((await stat(path)).size > MOST_BYTES) throw new TooLarge(`more than ${MOST_BYTES} bytes`);
      return await readFile(path, { signal });
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof TooLarge) throw error;
      const { code = '', message } = error as NodeJS.ErrnoException;
      if (ABSENT.includes(code)) return undefined;
      // A shared disk that is away, no handle left: later it may be read.
      throw FORBIDDEN.includes(code) ? new Denied(message) : new Unavailable(message);
    }
  }, signal);
}
