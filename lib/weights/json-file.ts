/** JSON and other text files that a user gives beside weights. */
import { readFile, stat } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import { parseJson } from '../base/parse-json';

/**
 * @param name what messages call the file
 * @throws ERR_CLIPN_IO when it cannot be read
 */
export async function readTextFile(path: string, name = path): Promise<string> {
  try {
    // Opening a pipe would wait for a writer.
    if (!(await stat(path)).isFile()) throw new Error('it is no regular file');
    return (await readFile(path, 'utf8')).replace(/^\uFEFF/, '');
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_IO', `cannot read ${name}: ${(cause as Error).message}`, { cause });
  }
}

/**
 * @param name what messages call the file
 * @throws ERR_CLIPN_IO when it cannot be read, ERR_CLIPN_INVALID_ARG when it is not JSON
 */
export async function readJsonFile(path: string, name = path): Promise<unknown> {
  const text = await readTextFile(path, name);
  try {
    return parseJson(text);
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${name} is not JSON`, { cause });
  }
}
