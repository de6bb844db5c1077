/** The tokenizer of a checkpoint, which its vocabulary must fit. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { ClipnError } from '../base/errors';
import { createTokenizer } from '../text/tokenizer';
import { type BpeFiles, tokenizerOf } from './bpe-files';
import { readTextFile } from './json-file';
import type { Network } from './network';

const CLIP_VOCABULARY = 49408;
/** In the order in which transformers looks for them. */
export const TOKENIZER_FILES = ['tokenizer.json', 'vocab.json', 'merges.txt'] as const;
const CLIP_TOKENIZER = path.join(__dirname, '../data/clip-tokenizer.json');

/** A tokenizer.json, or what older folders have in its place. */
export type TokenizerFiles = string | BpeFiles;

/** Those in a folder of transformers'; undefined where there is none. A vocabulary needs its merges, there or not. */
export function findTokenizer(folder: string): TokenizerFiles | undefined {
  const [json, vocab, merges] = TOKENIZER_FILES.map((name) => path.join(folder, name)) as [string, string, string];
  if (existsSync(json)) return json;
  return existsSync(vocab) ? { vocab, merges } : undefined;
}

/**
 * The tokenizer of a checkpoint: CLIP's own, or the one given.
 * @throws ClipnError ERR_CLIPN_TOKENIZER, ERR_CLIPN_IO
 */
export async function loadTokenizer(given: TokenizerFiles | undefined, { architecture }: Network) {
  const { vocabSize, contextLength } = architecture;
  if (given === undefined && vocabSize !== CLIP_VOCABULARY) {
    throw new ClipnError(
      'ERR_CLIPN_TOKENIZER',
      `the checkpoint has ${vocabSize} tokens, not CLIP's own ${CLIP_VOCABULARY}, so its tokenizer must be given`,
    );
  }
  const json = await readTokenizer(given ?? CLIP_TOKENIZER);
  const { sot, eot } = createTokenizer(json, contextLength);
  if (eot + 1 !== vocabSize) {
    const name = given === undefined ? 'the built-in tokenizer' : typeof given === 'string' ? given : given.vocab;
    throw new ClipnError(
      'ERR_CLIPN_TOKENIZER',
      `${name} has ${eot + 1} tokens, the checkpoint's embedding ${vocabSize}`,
    );
  }
  return { json, sot, eot };
}

async function readTokenizer(files: TokenizerFiles): Promise<string> {
  if (typeof files === 'string') return await readTextFile(files, `the tokenizer ${files}`);
  return await tokenizerOf(files, await readTextFile(CLIP_TOKENIZER));
}
