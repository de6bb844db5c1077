/** Which names a model learnt: a CLIP taught on captions of the web knows most, one taught on a few classes only these. */
import { firstFew } from '../base/wording';
import { cleanText } from '../text/clean-text';

/** `open`: no list of names bounds it. */
export type Vocabulary = 'open' | readonly string[];

export function isVocabulary(value: unknown): value is Vocabulary {
  if (value === 'open') return true;
  return (
    Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string' && name.trim() !== '')
  );
}

/** A model with an open vocabulary, for those whose labels a small one does not know. */
export const REAL_MODEL = 'laion/CLIP-ViT-B-16-laion2B-s34B-b88K';

/** The labels that the model never learnt, as given; names are compared as the tokenizer sees them. */
export function unknownLabels(vocabulary: Vocabulary, labels: readonly string[]): string[] {
  if (vocabulary === 'open') return [];
  const known = new Set(vocabulary.map(cleanText));
  return labels.filter((label) => !known.has(cleanText(label)));
}

const REMEDY = `One that knows most words: npx clipn-native fetch model ${REAL_MODEL}`;

/** Why verdicts on these labels are guesses, and what to do; undefined when the model knows them all. */
export function vocabularyWarning(vocabulary: Vocabulary, labels: readonly string[]): string | undefined {
  const unknown = unknownLabels(vocabulary, labels);
  if (unknown.length === 0) return undefined;
  const them = unknown.length === 1 ? 'it' : 'them';
  return `the model never learnt ${firstFew(unknown)}: what it says of ${them} is a guess. ${REMEDY}`;
}

/** The same of negative words, of which there may be thousands. */
export function negativesWarning(vocabulary: Vocabulary, words: readonly string[]): string | undefined {
  const unknown = unknownLabels(vocabulary, words).length;
  if (unknown === 0) return undefined;
  return `the model never learnt ${unknown} of the ${words.length} negative words: where it finds them is a guess. ${REMEDY}`;
}
