/** Files of class names. */

import { assertArguments } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { type ListItem, listItems, readText } from '../base/list-file';
import imagenet from '../data/imagenet-classnames.json';

/** Separators of lists that were meant to be several names. */
const SEPARATORS = { semicolons: /;/g, tabs: /\t/g, commas: /,/g };

/**
 * Class names from a file (one a line, blank lines skipped, or a JSON array), or 'imagenet': the 1000 names of
 * ImageNet-1k that CLIPN was evaluated with, in class order (spec 2.1).
 *
 * @param onWarning gets a sentence for each name that stands on two lines
 * @throws ClipnError ERR_CLIPN_IO when the file cannot be read, ERR_CLIPN_LABELS when it holds no list of strings, or a
 *   single line that looks like several names
 */
export async function loadLabelsFile(source: string, onWarning?: (warning: string) => void): Promise<string[]> {
  assertArguments({ source: ['text', source] });
  if (source === 'imagenet') return [...imagenet];
  const names = namesIn(await readText(source, 'ERR_CLIPN_LABELS', 'ERR_CLIPN_IO'), source);
  for (const warning of repeated(source, names)) onWarning?.(warning);
  return names.map(({ text }) => text);
}

/**
 * Names in the text of a file: one a line, blank lines skipped, or a JSON array.
 *
 * @throws ERR_CLIPN_LABELS as `loadLabelsFile`
 */
export function namesIn(text: string, source: string): ListItem[] {
  const items = listItems(text, source, 'ERR_CLIPN_LABELS');
  const names = items.map((item) => ({ text: item.text.trim(), line: item.line }));
  if (names.length === 1 && names[0]!.line !== null) questionLine(source, names[0]!.text);
  return names;
}

function questionLine(source: string, text: string): void {
  for (const [what, pattern] of Object.entries(SEPARATORS)) {
    const count = text.match(pattern)?.length ?? 0;
    if (count === 0 || (what === 'commas' && count === 1)) continue; // one name may have a comma
    throw new ClipnError('ERR_CLIPN_LABELS', `${source} is a single line with ${count} ${what}: is it one name?`, {
      hint: 'Put one name a line. One name with such a sign in it stands in a JSON array: ["salt; pepper"].',
    });
  }
}

function repeated(source: string, names: readonly ListItem[]): string[] {
  const lines = new Map<string, number[]>();
  for (const { text, line } of names) if (line !== null) lines.set(text, [...(lines.get(text) ?? []), line]);
  return [...lines]
    .filter(([, at]) => at.length > 1)
    .map(([text, at]) => `${source}: ${JSON.stringify(text)} stands on lines ${at.join(' and ')}`);
}
