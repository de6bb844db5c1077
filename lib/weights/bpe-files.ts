/** vocab.json and merges.txt, as transformers keeps CLIP's byte pairs: the tokenizer.json that they stand for. */
import { ClipnError } from '../base/errors';
import { parseJson } from '../base/parse-json';
import { readTextFile } from './json-file';

export interface BpeFiles {
  /** Token → id. */
  vocab: string;
  /** Two tokens a line, the first merge first. */
  merges: string;
}

interface TokenizerJson {
  added_tokens: { id: number; content: string }[];
  model: { vocab: Record<string, number>; merges: string[] };
}

/**
 * All but vocabulary and merges is as in CLIP's own tokenizer; where these are CLIP's own too, so is the result.
 *
 * @param own CLIP's own tokenizer.json
 * @throws ERR_CLIPN_IO when a file cannot be read, ERR_CLIPN_TOKENIZER naming the file that is at fault and where
 */
export async function tokenizerOf(files: BpeFiles, own: string): Promise<string> {
  const vocab = readVocabulary(await readTextFile(files.vocab), files.vocab);
  const merges = readMerges(await readTextFile(files.merges), files.merges, vocab);
  const clip = JSON.parse(own) as TokenizerJson;
  if (isSame(vocab, merges, clip.model)) return own;
  const added_tokens = clip.added_tokens.map((token) => {
    const id = vocab.get(token.content);
    if (id === undefined) throw broken(files.vocab, `it lacks ${token.content}`);
    return { ...token, id };
  });
  return JSON.stringify({ ...clip, added_tokens, model: { ...clip.model, vocab: Object.fromEntries(vocab), merges } });
}

function isSame(vocab: ReadonlyMap<string, number>, merges: readonly string[], clip: TokenizerJson['model']): boolean {
  const tokens = Object.entries(clip.vocab);
  return (
    tokens.length === vocab.size &&
    merges.length === clip.merges.length &&
    tokens.every(([token, id]) => vocab.get(token) === id) &&
    merges.every((merge, i) => merge === clip.merges[i])
  );
}

function readVocabulary(text: string, path: string): Map<string, number> {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (cause) {
    throw broken(path, 'it is not JSON', cause);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw broken(path, 'it is no JSON object');
  const vocab = new Map<string, number>();
  const ids = new Set<number>();
  for (const [token, id] of Object.entries(json)) {
    const isFree = Number.isSafeInteger(id) && id >= 0 && !ids.has(id);
    if (!isFree) throw broken(path, `the id of ${JSON.stringify(token)} is ${JSON.stringify(id)}`);
    ids.add(id);
    vocab.set(token, id);
  }
  return vocab;
}

/** A first line may tell a version. */
function readMerges(text: string, path: string, vocab: ReadonlyMap<string, number>): string[] {
  const merges: string[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line === '' || (i === 0 && line.startsWith('#version'))) continue;
    const pair = line.split(' ');
    if (pair.length !== 2 || pair.includes('')) throw broken(path, `line ${i + 1} is not two tokens`);
    const unknown = [...pair, pair.join('')].find((token) => !vocab.has(token));
    if (unknown !== undefined) {
      throw broken(path, `line ${i + 1} has to do with ${JSON.stringify(unknown)}, which the vocabulary lacks`);
    }
    merges.push(line);
  }
  return merges;
}

function broken(path: string, what: string, cause?: unknown): ClipnError {
  return new ClipnError('ERR_CLIPN_TOKENIZER', `${path}: ${what}`, { cause });
}
