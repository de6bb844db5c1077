import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ClipnError } from '../../lib/base/errors';
import { createTokenizer } from '../../lib/text/tokenizer';
import { clipTokenizer, goldenFile } from '../support/paths';

const read = (path: string): string => readFileSync(path, 'utf8');
const clipJson = read(clipTokenizer);
const tokenizer = createTokenizer(clipJson, 77);

interface WorkedExample {
  tokenizer: {
    sot: number;
    eot: number;
    cases: { text: string; bpe_ids_without_sot_eot: number[] }[];
    truncation_case: { first3: number[]; last3: number[]; non_pad: number };
  };
}
const { tokenizer: golden } = JSON.parse(read(goldenFile('worked-example.json'))) as WorkedExample;
const random = JSON.parse(read(goldenFile('clean-text.json'))) as { cases: { text: string; ids: number[] }[] };

test('start and end token are those of CLIP', () => {
  assert.deepEqual([tokenizer.sot, tokenizer.eot], [golden.sot, golden.eot]);
});

for (const { text, bpe_ids_without_sot_eot: ids } of golden.cases) {
  test(`the ids of ${JSON.stringify(text)} are the golden ones`, () => {
    assert.deepEqual(tokenizer.encode(text), { ids: [golden.sot, ...ids, golden.eot], truncated: false });
  });
}

test('ids equal open_clip on stored random strings', () => {
  const long = createTokenizer(clipJson, 1000);
  for (const { text, ids } of random.cases) {
    assert.deepEqual(long.encode(text).ids.slice(1, -1), ids, JSON.stringify(text));
  }
});

test('a text longer than the context is cut and ends in the end token', () => {
  const { ids, truncated } = tokenizer.encode(Array(100).fill('dog').join(' '));
  assert.equal(truncated, true);
  assert.equal(ids.length, golden.truncation_case.non_pad);
  assert.deepEqual(ids.slice(0, 3), golden.truncation_case.first3);
  assert.deepEqual(ids.slice(-3), golden.truncation_case.last3);
});

test('a text that just fits is not cut', () => {
  const { ids, truncated } = tokenizer.encode(Array(75).fill('dog').join(' '));
  assert.deepEqual([ids.length, truncated], [77, false]);
});

test('a batch is padded with 0 to the longest text and names those that were cut', () => {
  const batch = createTokenizer(clipJson, 10).encodeBatch([
    'dog',
    'a photo of a dog.',
    Array(20).fill('dog').join(' '),
  ]);
  assert.equal(batch.n, 3);
  assert.equal(batch.l, 10);
  assert.deepEqual(batch.truncated, [2]);
  const row = (i: number): number[] => [...batch.ids.subarray(i * batch.l, (i + 1) * batch.l)].map(Number);
  assert.deepEqual(row(0), [49406, 1929, 49407, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(row(1), [49406, 320, 1125, 539, 320, 1929, 269, 49407, 0, 0]);
  assert.deepEqual(row(2), [49406, ...Array(8).fill(1929), 49407]);
});

for (const text of [
  '<|endoftext|>',
  'a <|STARTOFTEXT|> b',
  '<end_of_text>',
  '<start_of_text>',
  '&lt;|endoftext|&gt;',
]) {
  test(`${text} inside a text is refused`, () => {
    assert.throws(() => tokenizer.encode(text), { code: 'ERR_CLIPN_LABELS', message: /special token/ });
  });
}

function broken(change: (file: ReturnType<typeof tiny>) => void): string {
  const file = tiny();
  change(file);
  return JSON.stringify(file);
}
/** A byte-level vocabulary of three letters, as a smaller model might bring. */
function tiny() {
  const regex = "'s|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
  const pretokenizers = [
    { type: 'Split', pattern: { Regex: regex }, behavior: 'Removed', invert: true },
    { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
  ];
  const vocab: Record<string, number> = { a: 0, b: 1, 'a</w>': 2, 'b</w>': 3, 'ab</w>': 4, '<|startoftext|>': 5 };
  vocab['<|endoftext|>'] = 6;
  return {
    added_tokens: [{ id: 6, content: '<|endoftext|>', special: true }] as unknown,
    normalizer: null as unknown,
    pre_tokenizer: { type: 'Sequence', pretokenizers } as unknown,
    model: { type: 'BPE', vocab, merges: [['a', 'b</w>']] as unknown[], end_of_word_suffix: '</w>' },
  };
}

test('a smaller vocabulary works', () => {
  assert.deepEqual(createTokenizer(JSON.stringify(tiny()), 8).encode('AB a').ids, [5, 4, 2, 6]);
});

test('a character the vocabulary lacks is refused, not read as the end', () => {
  const small = createTokenizer(JSON.stringify(tiny()), 8);
  assert.throws(() => small.encode('abc'), { code: 'ERR_CLIPN_LABELS', message: /no token/ });
});

const malformed: [string, string][] = [
  ['not JSON', '{'],
  ['no model', '{}'],
  ['model.type', broken((file) => Object.assign(file.model, { type: 'WordPiece' }))],
  ['model.vocab', broken((file) => Object.assign(file.model, { vocab: 3 }))],
  ['whole number', broken((file) => Object.assign(file.model.vocab, { a: 'x' }))],
  ['model.merges[1]', broken((file) => file.model.merges.push(['b']))],
  ['model.merges[1]', broken((file) => file.model.merges.push('b a'))],
  ['added_tokens[0]', broken((file) => Object.assign(file, { added_tokens: [3] }))],
  ['start token', broken((file) => Reflect.deleteProperty(file.model.vocab, '<|startoftext|>'))],
  ['larger id', broken((file) => Object.assign(file.model.vocab, { a: 99 }))],
  ['normalizer', broken((file) => Object.assign(file, { normalizer: { type: 'NFKD' } }))],
  ['pre_tokenizer', broken((file) => Object.assign(file, { pre_tokenizer: null }))],
  ['PreTokenizer', broken((file) => Object.assign(file, { pre_tokenizer: { type: 'Nonsense' } }))],
];
for (const [what, json] of malformed) {
  test(`a tokenizer.json is refused for its fault: ${what}`, () => {
    assert.throws(
      () => createTokenizer(json, 77),
      (error: unknown) =>
        error instanceof ClipnError && error.code === 'ERR_CLIPN_TOKENIZER' && error.message.includes(what),
    );
  });
}
