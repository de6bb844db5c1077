/**
 * text/: Words before a tower sees them: cleaned, put into templates, cut into tokens.
 *
 * The tokenizer of CLIP (spec 1.7): a text to the ids that its text towers take.
 */
import { createHash } from 'node:crypto';
import { isRecord } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { parseJson } from '../base/parse-json';
import { cleanText } from './clean-text';

/** Token ids of some texts as the text towers take them: row-major [n, l], each row right-padded with 0. */
export interface TokenBatch {
  ids: BigInt64Array;
  n: number;
  l: number;
  /** Indices of the texts that were longer than the context and cut. */
  truncated: number[];
}

export interface EncodedText {
  /** Start token, the text, end token; at most `contextLength` ids. */
  ids: number[];
  /** True when the text did not fit: it was cut and its last token is the end token. */
  truncated: boolean;
}

/**
 * Byte-level BPE of CLIP (spec 1.7), preceded by `cleanText`. Ids equal open_clip's but for two characters that its
 * case-insensitive pattern takes for letters and CLIP's tokenizer.json does not: U+0345, and U+017F after an apostrophe.
 */
export interface Tokenizer {
  readonly contextLength: number;
  /** Ids of the tokens that open and close every text; `eot` is the largest id there is (spec 1.3 reads out there). */
  readonly sot: number;
  readonly eot: number;
  /** sha256 (hex) of the tokenizer.json: what was made with another tokenizer is something else. */
  readonly sha256: string;
  /** @throws ClipnError ERR_CLIPN_LABELS when the text holds a special token or a byte the vocabulary lacks. */
  encode(text: string): EncodedText;
  encodeBatch(texts: readonly string[]): TokenBatch;
}

interface TokenizersLibrary {
  Tokenizer: new (tokenizer: object, config: object) => { encode(text: string, options: object): { ids: number[] } };
}

/** What each published form of CLIP's vocabulary calls its two special tokens. */
const START_TOKENS = ['<|startoftext|>', '<start_of_text>'];
const END_TOKENS = ['<|endoftext|>', '<end_of_text>'];

function broken(what: string, cause?: unknown): ClipnError {
  return new ClipnError('ERR_CLIPN_TOKENIZER', `tokenizer.json: ${what}`, { cause });
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** `cleanText` does what CLIP's own normalizers do and more; a file that asks for others means another text. */
function assertNormalizerIsClips(normalizer: unknown): void {
  if (normalizer === null || normalizer === undefined) return;
  if (!isRecord(normalizer)) throw broken('normalizer is not an object');
  const { type, normalizers, pattern, content } = normalizer;
  if (type === 'NFC' || type === 'Lowercase') return;
  if (type === 'Replace' && isRecord(pattern) && pattern['Regex'] === '\\s+' && content === ' ') return;
  if (type !== 'Sequence' || !Array.isArray(normalizers)) {
    throw broken(`normalizer ${JSON.stringify(normalizer)} is not one of CLIP's (NFC, \\s+ to one space, Lowercase)`);
  }
  normalizers.forEach(assertNormalizerIsClips);
}

function readVocabulary(model: Record<string, unknown>): Map<string, number> {
  if (model['type'] !== 'BPE') throw broken(`model.type is ${JSON.stringify(model['type'])}, not "BPE"`);
  if (!isRecord(model['vocab'])) throw broken('model.vocab is not an object');
  if (!Array.isArray(model['merges'])) throw broken('model.merges is not an array');
  const vocabulary = new Map<string, number>();
  for (const [token, id] of Object.entries(model['vocab'])) {
    if (!isId(id)) {
      throw broken(`the id of ${JSON.stringify(token)} in model.vocab is not a whole number`);
    }
    vocabulary.set(token, id);
  }
  model['merges'].forEach((merge: unknown, index) => {
    const pair: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    const whole = Array.isArray(pair) && pair.length === 2 && pair.every((half) => typeof half === 'string');
    if (!whole) throw broken(`model.merges[${index}] is not a pair of tokens`);
    const [first, second] = pair as string[];
    if (!vocabulary.has(`${first}${second}`)) throw broken(`model.merges[${index}] makes a token model.vocab lacks`);
  });
  return vocabulary;
}

function addSpecialTokens(vocabulary: Map<string, number>, added: unknown): string[] {
  if (added === undefined || added === null) return [];
  if (!Array.isArray(added)) throw broken('added_tokens is not an array');
  return added.map((token: unknown, index) => {
    if (!isRecord(token) || typeof token['content'] !== 'string' || !isId(token['id'])) {
      throw broken(`added_tokens[${index}] has no content and id`);
    }
    vocabulary.set(token['content'], token['id']);
    return token['content'];
  });
}

/** [n, l] padded with 0, l the longest row rounded up to 8 (few distinct shapes) and at most `contextLength`. */
export function padIds(rows: readonly (readonly number[])[], contextLength: number): { ids: BigInt64Array; l: number } {
  const longest = rows.reduce((most, row) => Math.max(most, row.length), 1);
  const l = Math.min(contextLength, Math.ceil(longest / 8) * 8);
  const ids = new BigInt64Array(rows.length * l);
  rows.forEach((row, i) => {
    row.forEach((id, j) => {
      ids[i * l + j] = BigInt(id);
    });
  });
  return { ids, l };
}

/** What a tokenizer.json holds: how text is cut, and the ids of the start and end token. */
interface BytePairs {
  sot: number;
  eot: number;
  encode: InstanceType<TokenizersLibrary['Tokenizer']>['encode'];
  /** Tokens that no text may hold, in lower case. */
  special: string[];
}

/** By the hash of the JSON. Reading CLIP's own takes 0.4 s, and the models of a process mostly have the same. */
const inUse = new Map<string, WeakRef<BytePairs>>();

function bytePairsOf(tokenizerJson: string, sha256: string): BytePairs {
  const known = inUse.get(sha256)?.deref();
  if (known !== undefined) return known;
  const read = readBytePairs(tokenizerJson);
  inUse.set(sha256, new WeakRef(read));
  return read;
}

/** @throws ClipnError ERR_CLIPN_TOKENIZER, naming the field at fault */
function readBytePairs(tokenizerJson: string): BytePairs {
  let file: unknown;
  try {
    file = parseJson(tokenizerJson);
  } catch (cause) {
    throw broken('not JSON', cause);
  }
  if (!isRecord(file) || !isRecord(file['model'])) throw broken('it has no model');
  assertNormalizerIsClips(file['normalizer']);
  if (!isRecord(file['pre_tokenizer'])) throw broken('pre_tokenizer is not an object');
  const vocabulary = readVocabulary(file['model']);
  const added = addSpecialTokens(vocabulary, file['added_tokens']);
  const named = (names: string[], role: string): string => {
    const found = names.find((name) => vocabulary.has(name));
    if (found === undefined) throw broken(`it has no ${role} token (${names.join(' or ')})`);
    return found;
  };
  const sot = vocabulary.get(named(START_TOKENS, 'start'))!;
  const endToken = named(END_TOKENS, 'end');
  const eot = vocabulary.get(endToken)!;
  for (const [token, id] of vocabulary) {
    if (id > eot) throw broken(`${token} has a larger id than ${endToken}, where the text towers read out`);
  }

  // Loaded by require: the library's types are written for ES modules only.
  const { Tokenizer: BytePairTokenizer } = require('@huggingface/tokenizers') as TokenizersLibrary;
  // The library drops what it has no token for unless there is an unknown token: with one, `encode` can see it.
  const model = { ...file['model'], unk_token: endToken };
  const added_tokens = file['added_tokens'] ?? [];
  let bytePairs: InstanceType<TokenizersLibrary['Tokenizer']>;
  try {
    const parts = { ...file, model, added_tokens, normalizer: null, post_processor: null, decoder: null };
    bytePairs = new BytePairTokenizer(parts, {});
  } catch (cause) {
    throw broken(cause instanceof Error ? cause.message : String(cause), cause);
  }
  const special = [...new Set([...START_TOKENS, ...END_TOKENS, ...added])].map((token) => token.toLowerCase());
  return { sot, eot, special, encode: (text, options) => bytePairs.encode(text, options) };
}

/**
 * Reads a Hugging Face tokenizer.json of CLIP's kind (byte-level BPE). Its own normalizer is replaced by `cleanText`;
 * start and end token are added here.
 *
 * @throws ClipnError ERR_CLIPN_TOKENIZER, naming the field at fault.
 */
export function createTokenizer(tokenizerJson: string, contextLength: number): Tokenizer {
  if (!Number.isSafeInteger(contextLength) || contextLength < 2) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `contextLength must be a whole number from 2, got ${contextLength}`);
  }
  const sha256 = createHash('sha256').update(tokenizerJson).digest('hex');
  const bytePairs = bytePairsOf(tokenizerJson, sha256);
  const { sot, eot, special } = bytePairs;

  const encode = (text: string): EncodedText => {
    const cleaned = cleanText(text);
    const literal = special.find((token) => cleaned.includes(token));
    if (literal !== undefined) {
      const message = `${JSON.stringify(text)} contains the special token ${literal}, which would move the read-out`;
      throw new ClipnError('ERR_CLIPN_LABELS', message, { hint: 'Take the token out of the name.', details: { text } });
    }
    const ids = bytePairs.encode(cleaned, { add_special_tokens: false }).ids;
    if (ids.includes(eot)) {
      const message = `${JSON.stringify(text)} has a character for which the tokenizer has no token`;
      throw new ClipnError('ERR_CLIPN_LABELS', message, { hint: 'Write the name differently.', details: { text } });
    }
    const truncated = ids.length > contextLength - 2;
    return { ids: [sot, ...ids.slice(0, contextLength - 2), eot], truncated };
  };
  const encodeBatch = (texts: readonly string[]): TokenBatch => {
    const encoded = texts.map(encode);
    const truncated = encoded.flatMap((text, index) => (text.truncated ? [index] : []));
    const rows = encoded.map((text) => text.ids);
    return { ...padIds(rows, contextLength), n: texts.length, truncated };
  };
  return Object.freeze({ contextLength, sot, eot, sha256, encode, encodeBatch });
}
