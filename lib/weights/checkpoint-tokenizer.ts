/** The tokenizer of a checkpoint, which its vocabulary must fit. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { ClipnError } from '../base/errors';
import { createTokenizer } from '../text/tokenizer';
import type { Network } from './network';

const CLIP_VOCABULARY = 49408;
const CLIP_TOKENIZER = path.join(__dirname, '../data/clip-tokenizer.json');

/** The tokenizer of a checkpoint: CLIP's own, or the file given. @throws ClipnError ERR_CLIPN_TOKENIZER, ERR_CLIPN_IO */
export async function loadTokenizer(file: string | undefined, { architecture }: Network) {
  const { vocabSize, contextLength } = architecture;
  if (file === undefined && vocabSize !== CLIP_VOCABULARY) {
    throw new ClipnError(
      'ERR_CLIPN_TOKENIZER',
      `the checkpoint has ${vocabSize} tokens, not CLIP's own ${CLIP_VOCABULARY}, so its tokenizer must be given`,
    );
  }
  const json = await readTokenizerFile(file ?? CLIP_TOKENIZER);
  const { sot, eot } = createTokenizer(json, contextLength);
  if (eot + 1 !== vocabSize) {
    throw new ClipnError(
      'ERR_CLIPN_TOKENIZER',
      `${file ?? 'the built-in tokenizer'} has ${eot + 1} tokens, the checkpoint's embedding ${vocabSize}`,
    );
  }
  return { json, sot, eot };
}

async function readTokenizerFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_IO', `cannot read the tokenizer ${file}: ${(cause as Error).message}`, { cause });
  }
}
