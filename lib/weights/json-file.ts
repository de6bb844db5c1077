/** JSON and other text files that a user gives beside weights. */
import { stat } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import { readText } from '../base/list-file';
import { parseJson } from '../base/parse-json';

/**
 * @param name what messages call the file
 * @throws ERR_CLIPN_IO when it cannot be read, ERR_CLIPN_INVALID_ARG when it is no text
 */
export async function readTextFile(path: string, name = path): Promise<string> {
  // Opening a pipe would wait for a writer.
  const info = await stat(path).catch(() => undefined);
  if (info && !info.isFile()) throw new ClipnError('ERR_CLIPN_IO', `cannot read ${name}: it is no regular file`);
  return await readText(path, 'ERR_CLIPN_INVALID_ARG', 'ERR_CLIPN_IO', name);
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
