/** What a linter of labels says. */

/**
 * - `repeated`: one name more than once, but for capitals and spaces
 * - `sentence`: a phrase or sentence instead of a name
 * - `photo`: a name that speaks of a photo or picture
 * - `plural`: one name in singular and plural
 * - `contains`: one name is in another (bear, teddy bear)
 * - `unknown`: names that a model of few names never learnt
 * - `synonyms`: names of one thing, says WordNet
 * - `kind`: one is a kind of the other, says WordNet
 * - `near`: the model can hardly tell them apart
 * - `template`: its vector moves with the sentence that it is put into
 * - `negatives`: negative words that are a label, or a kind of it
 */
export type FindingKind =
  | 'repeated'
  | 'sentence'
  | 'photo'
  | 'plural'
  | 'contains'
  | 'unknown'
  | 'synonyms'
  | 'kind'
  | 'near'
  | 'template'
  | 'negatives';

/** One thing that is amiss with labels. */
export interface LabelFinding {
  /** Of what kind it is. */
  kind: FindingKind;
  /** The labels it is about, as given. */
  labels: string[];
  /** Of `negatives`: the words. */
  words?: string[];
  /**
   * Of `near` the distance as a share of the usual one between names, below 0.5; of `template` how far the label moves as
   * a share of the distance to the nearest label, from 0.2 on; of `unknown` and `negatives` how many labels or
   * words; of `sentence` how many words it has; else 1.
   */
  value: number;
  /** What it is and what to do, in a sentence. */
  advice: string;
}
