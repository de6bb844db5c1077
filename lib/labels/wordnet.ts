/**
 * The nouns and adjectives of WordNet.
 *
 * Which words: the first of each synset, in lower case, `_` as a space. So NegLabel's published lists were made (Jiang et
 * al., ICLR 2024): proper names are in them. Theirs lack the animals and the foods, since their labels are ImageNet's;
 * here they are in.
 */
import { join } from 'node:path';
import { dictionaryFolder, dictionaryLines } from './wordnet-files';

export interface WordNetWords {
  /** In the order of the file, each once. */
  nouns: string[];
  /** Those that are no nouns too. */
  adjectives: string[];
}

/** A synset's line of data.noun or data.adj: offset, file, type, number of words, then the first of them. */
const SYNSET = /^\d{8} \d{2} [nas] [0-9a-f]{2} (\S+) /;

async function firstWords(path: string): Promise<string[]> {
  const words: string[] = [];
  for (const { text, malformed } of await dictionaryLines(path)) {
    const word = SYNSET.exec(text)?.[1];
    if (word === undefined) throw malformed('is no synset');
    // Where an adjective may stand is marked behind it: (a), (p) or (ip).
    words.push(
      word
        .replace(/\(\w+\)$/, '')
        .replaceAll('_', ' ')
        .toLowerCase(),
    );
  }
  return words;
}

/**
 * @param folder of data.noun and data.adj
 * @throws ERR_CLIPN_WORDNET when the package is missing or its files are damaged
 */
export async function readWordNet(folder: string = dictionaryFolder()): Promise<WordNetWords> {
  const [nouns, adjectives] = await Promise.all(
    ['data.noun', 'data.adj'].map((name) => firstWords(join(folder, name))),
  );
  const unique = new Set(nouns);
  return { nouns: [...unique], adjectives: [...new Set(adjectives)].filter((word) => !unique.has(word)) };
}
