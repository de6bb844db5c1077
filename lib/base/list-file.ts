/** Files that hold a list of strings. */
import { readFile } from 'node:fs/promises';
import { ClipnError, type ClipnErrorCode } from './errors';

/**
 * The strings of a UTF-8 text file: one a line, or a JSON array when it begins with "[". Empty lines at the end are
 * dropped; elsewhere they are returned, for the caller to refuse with their number.
 *
 * @param malformed code thrown when the JSON is not an array of strings
 * @param unreadable code thrown when the file cannot be read
 */
export async function readListFile(
  path: string,
  malformed: ClipnErrorCode,
  unreadable: ClipnErrorCode,
): Promise<string[]> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path));
  } catch (cause) {
    const isText = !(cause instanceof TypeError);
    const reason = isText && cause instanceof Error ? cause.message : 'not UTF-8 text';
    throw new ClipnError(isText ? unreadable : malformed, `cannot read ${path}: ${reason}`, { cause });
  }
  if (!text.trimStart().startsWith('[')) return text.trimEnd() === '' ? [] : text.trimEnd().split(/\r\n|\n|\r/);
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (cause) {
    throw new ClipnError(malformed, `${path} begins with "[" but is not a JSON array`, { cause });
  }
  if (!Array.isArray(list) || !list.every((item) => typeof item === 'string')) {
    throw new ClipnError(malformed, `${path} is not a JSON array of strings`);
  }
  return list;
}
