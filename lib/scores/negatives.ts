/** A user's negative words for NegLabel (neg-label.ts): which count, and in which group. */
import { createHash } from 'node:crypto';
import { ClipnError } from '../base/errors';
import { jsonHash } from '../base/json-hash';
import { cleanText } from '../text/clean-text';

/** Groups as in the paper; fewer where a group would have less than ten words. */
const MOST_GROUPS = 100;
const LEAST_WORDS = 10;

export interface NegativeWords {
  /** Words by group; no group is empty. */
  groups: string[][];
  /** Words that equal a label, and repeated ones: left out. */
  dropped: number;
  /** Of the JSON of the words in their order: the same list gives the same groups. */
  sha256: string;
}

/**
 * The grouping is fixed: words are ordered by the SHA-256 of their text (cleaned and lower-case, as the tokenizer sees it)
 * and dealt to the groups in turn. It depends on the set of words alone, not on their order, and no word is left over.
 *
 * @throws ERR_CLIPN_LABELS when a word is empty or none is left
 */
export function groupNegatives(words: readonly string[], labels: readonly string[]): NegativeWords {
  const key = (word: string) => cleanText(word).toLowerCase();
  const taken = new Set(labels.map(key));
  const kept: { word: string; order: string }[] = [];
  for (const [index, word] of words.entries()) {
    const text = key(word);
    if (text === '') throw new ClipnError('ERR_CLIPN_LABELS', `negative word ${index + 1} is empty`);
    if (taken.has(text)) continue;
    taken.add(text);
    kept.push({ word, order: createHash('sha256').update(text).digest('hex') });
  }
  if (kept.length === 0) throw new ClipnError('ERR_CLIPN_LABELS', 'the list of negatives has no word but labels');
  kept.sort((a, b) => (a.order < b.order ? -1 : 1));
  const count = Math.min(MOST_GROUPS, Math.max(1, Math.floor(kept.length / LEAST_WORDS)));
  const groups = Array.from({ length: count }, (_, g) =>
    kept.filter((_, i) => i % count === g).map(({ word }) => word),
  );
  const sha256 = jsonHash(kept.map(({ word }) => word));
  return { groups, dropped: words.length - kept.length, sha256 };
}
