/** Files that hold a list of strings. */
import { readFile } from 'node:fs/promises';
import { ClipnError, type ClipnErrorCode } from './errors';
import { parseJson } from './parse-json';
import { decodeText } from './text-encoding';

export interface ListItem {
  text: string;
  /** Counted from 1; null in a JSON array, which has no lines. */
  line: number | null;
}

/**
 * The strings of a text: one a line, blank ones skipped, or a JSON array when it begins with "[", taken as it is.
 *
 * @param path of the file that it is from, for messages
 * @param malformed code thrown when the JSON is not an array of strings
 */
export function listItems(text: string, path: string, malformed: ClipnErrorCode): ListItem[] {
  if (!text.trimStart().startsWith('[')) {
    return text
      .split(/\r\n|\n|\r/)
      .map((each, index) => ({ text: each, line: index + 1 }))
      .filter((item) => item.text.trim() !== '');
  }
  let list: unknown;
  try {
    list = parseJson(text);
  } catch (cause) {
    throw new ClipnError(malformed, `${path} begins with "[" but is not a JSON array`, { cause });
  }
  if (!Array.isArray(list) || !list.every((item) => typeof item === 'string')) {
    throw new ClipnError(malformed, `${path} is not a JSON array of strings`);
  }
  return list.map((each: string) => ({ text: each, line: null }));
}

/**
 * The strings of a text file, as `listItems` and `readText` have them.
 *
 * @param malformed code thrown when it is no text, or the JSON is not an array of strings
 * @param unreadable code thrown when the file cannot be read
 */
export async function readListFile(
  path: string,
  malformed: ClipnErrorCode,
  unreadable: ClipnErrorCode,
): Promise<string[]> {
  const text = await readText(path, malformed, unreadable);
  return listItems(text, path, malformed).map((item) => item.text);
}

/**
 * The text of a file in UTF-8, or UTF-16 as Windows' editors write it. Codes as for `readListFile`.
 *
 * @param name what messages call the file
 */
export async function readText(
  path: string,
  malformed: ClipnErrorCode,
  unreadable: ClipnErrorCode,
  name = path,
): Promise<string> {
  const details = { path };
  const bytes = await readFile(path).catch((cause: Error) => {
    throw new ClipnError(unreadable, `cannot read ${name}: ${cause.message}`, { cause, details });
  });
  try {
    return decodeText(bytes);
  } catch (cause) {
    throw new ClipnError(malformed, `${name} is not UTF-8 or UTF-16 text`, { cause, details });
  }
}
