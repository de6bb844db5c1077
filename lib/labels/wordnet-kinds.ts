/** What WordNet says of two nouns: names of one thing, or one a kind of the other. */
import { join } from 'node:path';
import { cleanText } from '../text/clean-text';
import { dictionaryFolder, dictionaryLines } from './wordnet-files';

/** A line of index.noun: the lemma, then counts and pointer signs, then the offsets of its synsets, most used first. */
const ENTRY = /^(\S+) n (\d+) (\d+) (.*\S)/;
/** A line of data.noun: offset, file, type, words, pointers. */
const SYNSET = /^(\d{8}) \d{2} n [0-9a-f]{2} /;
/** Pointers to what a synset is a kind of, or an instance of. */
const ABOVE = /(?:^| )@i? (\d{8}) n /g;
/** Of a noun only its most used meanings count: by a rare one nearly every noun is a kind of nearly every other. */
const SENSES = 2;

export interface NounKinds {
  /**
   * How `word` stands to `label`, by the two most used meanings of each; undefined when WordNet lacks one of them or
   * they are neither.
   *
   * - `same`: names of one thing (puma, cougar)
   * - `kind`: the word is a kind of the label (beagle, dog)
   */
  relation(word: string, label: string): 'same' | 'kind' | undefined;
}

/**
 * @param folder of data.noun and index.noun
 * @throws ERR_CLIPN_WORDNET when the package is missing or its files are damaged
 */
export async function readNounKinds(folder: string = dictionaryFolder()): Promise<NounKinds> {
  const [index, data] = await Promise.all(
    ['index.noun', 'data.noun'].map((name) => dictionaryLines(join(folder, name))),
  );
  const senses = new Map<string, string[]>();
  for (const { text, malformed } of index!) {
    const [, lemma, synsets, , rest] = ENTRY.exec(text) ?? [];
    if (lemma === undefined) throw malformed('is no noun');
    const offsets = rest!.split(' ').slice(-Number(synsets));
    senses.set(lemma.replaceAll('_', ' '), offsets.slice(0, SENSES));
  }
  const above = new Map<string, string[]>();
  for (const { text, malformed } of data!) {
    const offset = SYNSET.exec(text)?.[1];
    if (offset === undefined) throw malformed('is no synset');
    const pointers = text.slice(0, text.indexOf(' | '));
    above.set(
      offset,
      [...pointers.matchAll(ABOVE)].map(([, each]) => each!),
    );
  }
  const known = new Map<string, readonly string[]>();
  const sensesOf = (noun: string): readonly string[] => {
    let found = known.get(noun);
    if (found === undefined) {
      const text = cleanText(noun);
      found = senses.get(text) ?? senses.get(text.replaceAll('-', ' ')) ?? [];
      known.set(noun, found);
    }
    return found;
  };
  const ancestors = new Map<string, ReadonlySet<string>>();
  const ancestorsOf = (synset: string): ReadonlySet<string> => {
    let all = ancestors.get(synset);
    if (all === undefined) {
      all = new Set((above.get(synset) ?? []).flatMap((each) => [each, ...ancestorsOf(each)]));
      ancestors.set(synset, all);
    }
    return all;
  };
  return {
    relation(word, label) {
      const [ofWord, ofLabel] = [sensesOf(word), sensesOf(label)];
      if (ofWord.some((sense) => ofLabel.includes(sense))) return 'same';
      return ofWord.some((sense) => ofLabel.some((each) => ancestorsOf(sense).has(each))) ? 'kind' : undefined;
    },
  };
}
