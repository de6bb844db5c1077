/**
 * Files that appear under their name only when they are whole. What a killed process leaves is a temporary file beside it,
 * whose name begins with a dot and ends in `.tmp`; the next that is written to the same name removes it, from an hour on.
 */
import { randomUUID } from 'node:crypto';
import { fsync } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { ClipnError, isOfSystem } from './errors';

/** Of the final name in the temporary one: at 4 bytes each these, the UUID and the rest stay below 255 bytes. */
const NAME_CHARACTERS = 48;

/** Untouched for this long, a temporary file belongs to no living process. */
const ABANDONED_MS = 3_600_000;
const TEMPORARY = /^\.(.+)\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

/**
 * Lends `use` the name of a temporary file beside `out`; what lies there afterwards is removed.
 *
 * @throws ERR_CLIPN_IO when the system refuses; what `use` throws otherwise
 */
export async function withTemporaryFile<T>(out: string, use: (temporary: string) => Promise<T>): Promise<T> {
  const folder = dirname(resolve(out));
  const temporary = join(folder, temporaryName(out));
  // A first failure is the one to report; a folder that is no folder cannot be cleaned either.
  const remove = () => rm(temporary, { force: true }).catch(() => undefined);
  await removeAbandoned(folder, beginOf(out));
  try {
    return await use(temporary);
  } catch (error) {
    if (isOfSystem(error) || (error instanceof Error && 'code' in error && error.code === 'ERR_INVALID_ARG_VALUE')) {
      throw new ClipnError('ERR_CLIPN_IO', `cannot write ${out}: ${error.message}`, { cause: error });
    }
    // The core knows the temporary name alone.
    if (error instanceof ClipnError && error.code === 'ERR_CLIPN_IO' && error.message.includes(temporary)) {
      throw new ClipnError('ERR_CLIPN_IO', error.message.replaceAll(temporary, out), { cause: error });
    }
    throw error;
  } finally {
    await remove();
  }
}

/** No longer than file systems allow, whatever the length of the name that it stands for. */
function temporaryName(out: string): string {
  return `.${beginOf(out)}.${randomUUID()}.tmp`;
}

function beginOf(out: string): string {
  return [...basename(out)].slice(0, NAME_CHARACTERS).join('');
}

/**
 * Removes the temporary files in a folder that killed processes left.
 *
 * @param begin of the name that they stand for; all when absent, for a folder that is ours alone
 */
export async function removeAbandoned(folder: string, begin?: string): Promise<void> {
  // A folder that cannot be listed may be written all the same; what cannot be removed is in nobody's way.
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const of = TEMPORARY.exec(name)?.[1];
    if (of === undefined || (begin !== undefined && of !== begin)) continue;
    const path = join(folder, name);
    const touched = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => Number.POSITIVE_INFINITY,
    );
    if (Date.now() - touched > ABANDONED_MS) await rm(path, { force: true }).catch(() => undefined);
  }
}

/**
 * Has `write` fill a temporary file and renames it to `out` when the disk has it, so that not even a power failure leaves
 * half a file. Nothing is left behind on failure. Throws as above.
 */
export async function writeThenRename(out: string, write: (temporary: string) => Promise<void>): Promise<void> {
  await withTemporaryFile(out, async (temporary) => {
    await write(temporary);
    await syncFile(temporary);
    await rename(temporary, out);
  });
}

/** Waits until the disk has what was written. By descriptor: the file handles of Yarn's Plug'n'Play have no `sync()`. */
export async function sync(file: FileHandle): Promise<void> {
  await promisify(fsync)(file.fd);
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await sync(file);
  } finally {
    await file.close();
  }
}
