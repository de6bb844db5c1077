/** Files that appear under their name only when they are whole. */
import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ClipnError } from './errors';

/** Of the final name in the temporary one: at 4 bytes each these, the UUID and the rest stay below 255 bytes. */
const NAME_CHARACTERS = 48;

/**
 * Lends `use` the name of a temporary file beside `out`; what lies there afterwards is removed.
 *
 * @throws ERR_CLIPN_IO when the system refuses; what `use` throws otherwise
 */
export async function withTemporaryFile<T>(out: string, use: (temporary: string) => Promise<T>): Promise<T> {
  const temporary = join(dirname(resolve(out)), temporaryName(out));
  // A first failure is the one to report; a folder that is no folder cannot be cleaned either.
  const remove = () => rm(temporary, { force: true }).catch(() => undefined);
  try {
    return await use(temporary);
  } catch (error) {
    if (error instanceof Error && ('syscall' in error || ('code' in error && error.code === 'ERR_INVALID_ARG_VALUE'))) {
      throw new ClipnError('ERR_CLIPN_IO', `cannot write ${out}: ${error.message}`, { cause: error });
    }
    throw error;
  } finally {
    await remove();
  }
}

/** No longer than file systems allow, whatever the length of the name that it stands for. */
function temporaryName(out: string): string {
  const begin = [...basename(out)].slice(0, NAME_CHARACTERS).join('');
  return `.${begin}.${randomUUID()}.tmp`;
}

/** Has `write` fill a temporary file and renames it to `out`; nothing is left behind on failure. Throws as above. */
export async function writeThenRename(out: string, write: (temporary: string) => Promise<void>): Promise<void> {
  await withTemporaryFile(out, async (temporary) => {
    await write(temporary);
    await rename(temporary, out);
  });
}
