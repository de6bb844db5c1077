/** Negative words as a user names them: WordNet's, a list, or words mined with photos and their file. */

import { writeFile } from 'node:fs/promises';
import { assertArguments } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { isSha256, jsonHash } from '../base/json-hash';
import { readText } from '../base/list-file';
import { parseJson } from '../base/parse-json';
import { writeThenRename } from '../base/write-file';
import { namesIn } from '../labels/labels-file';

/** Words that `mineNegatives` chose with photos of the labels. The file is this object as JSON. */
export interface MinedNegatives {
  /** Version of this format. */
  formatVersion: 1;
  /** The furthest first. */
  words: string[];
  /** Groups that the words are dealt to. */
  groups: number;
  /** The sentence that the words were mined in, and are used in. */
  template: string;
  /** The model's weights, and the hash of the labels in any order: for others the words were not mined. */
  minedFor: { contentId: string; labels: string };
  /** SHA-256 of the photos' files: `calibrate` refuses them. */
  photos: string[];
  /** ISO 8601. */
  created: string;
}

/** WordNet's words mined for the labels, words as they are, or words mined with photos. */
export type NegativeWords = 'wordnet' | readonly string[] | MinedNegatives;

/** SHA-256 of the JSON of the labels, sorted, each once. */
export const labelSetHash = (labels: readonly string[]): string => jsonHash([...new Set(labels)].sort());

const areStrings = (value: unknown): boolean =>
  Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'string');

const FIELDS: Record<keyof MinedNegatives, readonly [valid: (value: unknown) => boolean, expected: string]> = {
  formatVersion: [(v) => v === 1, '1'],
  words: [areStrings, 'a list of strings'],
  groups: [(v) => Number.isSafeInteger(v) && (v as number) > 0, 'a whole number of at least 1'],
  template: [(v) => typeof v === 'string' && v.includes('{}'), 'a sentence with {} in it'],
  minedFor: [
    (v) =>
      isSha256((v as MinedNegatives['minedFor'])?.contentId) && isSha256((v as MinedNegatives['minedFor'])?.labels),
    'the hashes of model and labels',
  ],
  photos: [(v) => areStrings(v) && (v as unknown[]).every(isSha256), 'a list of SHA-256s'],
  created: [(v) => typeof v === 'string' && !Number.isNaN(Date.parse(v)), 'a date'],
};

/** @throws ERR_CLIPN_LABELS naming the field that is missing, malformed or unknown */
export function parseMinedNegatives(value: unknown, name: string): MinedNegatives {
  const refuse = (what: string) => new ClipnError('ERR_CLIPN_LABELS', `${name}: ${what}`, { hint: HINT });
  if (typeof value !== 'object' || value === null) throw refuse('it is not an object');
  const record = value as Record<string, unknown>;
  for (const [field, [valid, expected]] of Object.entries(FIELDS)) {
    if (!valid(record[field])) throw refuse(`${field} must be ${expected}`);
  }
  const unknown = Object.keys(record).find((field) => !Object.hasOwn(FIELDS, field));
  if (unknown !== undefined) throw refuse(`${unknown} is unknown`);
  return value as MinedNegatives;
}

const HINT = "Give 'wordnet', a list of words, a file with one word a line, or what `mineNegatives` made.";

/**
 * A file of words: one a line, a JSON array, or what `saveNegatives` wrote.
 *
 * @throws ERR_CLIPN_IO when it cannot be read, ERR_CLIPN_LABELS when it holds no words, or a single line of several
 */
export async function readNegatives(path: string): Promise<string[] | MinedNegatives> {
  const text = await readText(path, 'ERR_CLIPN_LABELS', 'ERR_CLIPN_IO');
  if (!text.trimStart().startsWith('{')) return namesIn(text, path).map((name) => name.text);
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_LABELS', `${path} begins with "{" but is not JSON`, { cause, hint: HINT });
  }
  return parseMinedNegatives(value, path);
}

/**
 * Writes words that `mineNegatives` chose; `negatives` takes the path. The file appears under its name when it is whole.
 *
 * @throws ERR_CLIPN_IO
 */
export async function saveNegatives(mined: MinedNegatives, path: string): Promise<void> {
  assertArguments({ mined: ['record', mined], path: ['text', path] });
  await writeThenRename(path, (temporary) => writeFile(temporary, `${JSON.stringify(mined, null, 2)}\n`));
}
