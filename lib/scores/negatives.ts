/** Negative words: which of a list count, in which group, and their rows. */
import { createHash } from 'node:crypto';
import { ClipnError } from '../base/errors';
import { jsonHash } from '../base/json-hash';
import { cleanText } from '../text/clean-text';

/** Groups as in NegLabel's paper; fewer where a group would have less than ten words. */
const MOST_GROUPS = 100;
const LEAST_WORDS = 10;

export interface GroupedWords {
  /** Words by group; no group is empty. */
  groups: string[][];
  /** Words that equal a label, and repeated ones: left out. */
  dropped: number;
}

/** Words that are none of the labels, as the yes tower sees them. Plain data. */
export interface NegativeBank {
  /** [W], group after group; row i of `rows` belongs to word i. */
  readonly words: readonly string[];
  /** [W, D], unit rows. */
  readonly rows: Float32Array;
  /** Of each group, the index behind its last word. */
  readonly groupEnds: readonly number[];
  /** Words of the list that equal a label or another word: left out. */
  readonly dropped: number;
  /** What the words were put into. */
  readonly templates: { readonly name: string; readonly sha256: string; readonly count: number };
  /** The model that made the rows: they fit no other. */
  readonly model: { readonly contentId: string };
  /** SHA-256 of the files of the photos that the words were mined with. */
  readonly photos: readonly string[];
  /** What a user should know of them, in sentences. */
  readonly warnings: readonly string[];
}

/** What calibrations know negative words by: SHA-256 over the words, their groups and their templates. */
export function negativesHash({ words, groupEnds, templates }: NegativeBank): string {
  return jsonHash([words, groupEnds, templates.sha256]);
}

/**
 * The grouping is fixed: words are ordered by the SHA-256 of their text (cleaned and lower-case, as the tokenizer sees it)
 * and dealt to the groups in turn. It depends on the set of words alone, not on their order, and no word is left over.
 *
 * @param most groups, as long as each has ten words
 * @throws ERR_CLIPN_LABELS when a word is empty or none is left
 */
export function groupNegatives(
  words: readonly string[],
  labels: readonly string[],
  most: number = MOST_GROUPS,
): GroupedWords {
  const taken = new Set(labels.map(cleanText));
  const kept: { word: string; order: string }[] = [];
  for (const [index, word] of words.entries()) {
    if (typeof word !== 'string')
      throw new ClipnError('ERR_CLIPN_LABELS', `negative word ${index + 1} is not a string: ${typeof word}`);
    const text = cleanText(word);
    if (text === '') throw new ClipnError('ERR_CLIPN_LABELS', `negative word ${index + 1} is empty`);
    if (taken.has(text)) continue;
    taken.add(text);
    kept.push({ word, order: createHash('sha256').update(text).digest('hex') });
  }
  if (kept.length === 0) throw new ClipnError('ERR_CLIPN_LABELS', 'the list of negatives has no word but labels');
  kept.sort((a, b) => (a.order < b.order ? -1 : 1));
  const count = Math.min(most, Math.max(1, Math.floor(kept.length / LEAST_WORDS)));
  const groups = Array.from({ length: count }, (_, g) =>
    kept.filter((_, i) => i % count === g).map(({ word }) => word),
  );
  return { groups, dropped: words.length - kept.length };
}
