/** Files that appear under their name only when they are whole. */
import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ClipnError } from './errors';

/**
 * Has `write` fill a temporary file beside `out` and renames it into place; nothing is left behind on failure.
 *
 * @throws ERR_CLIPN_IO when the system refuses; what `write` throws otherwise
 */
export async function writeThenRename(out: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = join(dirname(resolve(out)), `.${basename(out)}.${randomUUID()}.tmp`);
  try {
    await write(temporary);
    await rename(temporary, out);
  } catch (error) {
    // The first failure is the one to report; a folder that is no folder cannot be cleaned either.
    await rm(temporary, { force: true }).catch(() => undefined);
    if (error instanceof Error && ('syscall' in error || ('code' in error && error.code === 'ERR_INVALID_ARG_VALUE'))) {
      throw new ClipnError('ERR_CLIPN_IO', `cannot write ${out}: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
