import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { score } from '../../lib/scores/score';
import { goldenFile } from '../support/paths';
import { bankOf, near } from '../support/score-bank';

// Computed in float64 by numpy (test/reference/make_words_golden.py).
const golden = JSON.parse(readFileSync(goldenFile('negative-words.json'), 'utf8'));
const rowsOf = (values: number[]) =>
  Array.from({ length: values.length / golden.dim }, (_, i) => values.slice(i * golden.dim, (i + 1) * golden.dim));

const features = Float32Array.from(golden.features);
const bank = bankOf(rowsOf(golden.yes), rowsOf(golden.no));
const negatives = { rows: Float32Array.from(golden.words), groupEnds: golden.groupEnds as number[] };

for (const expected of golden.expected) {
  describe(`at scale ${expected.scale} the words`, () => {
    const result = score(features, bank, { scale: expected.scale, negatives });

    // Relative: a logit of 100 is only known to 1e-5, and a share of 0.001 no worse than one of 1.
    for (const name of ['negLabel', 'ole'] as const) {
      test(`give ${name}`, async () => {
        const ratios = (await result)[name].map((value, i) => value / expected[name][i]);
        near(ratios, [1, 1, 1, 1], 3e-5, name);
      });
    }

    test('have the nearest named with its logit', async () => {
      near((await result).wordMax, expected.wordMax, 2e-5, 'wordMax');
      assert.deepEqual([...(await result).wordIndex], expected.wordIndex);
    });
  });
}

test('a label that is also a word is exactly as near as the word', async () => {
  const same = { rows: bank.yes, groupEnds: [1, bank.labels.length] };
  const { maxLogit, wordMax, topIndex, wordIndex } = await score(features, bank, { topK: 1, negatives: same });
  assert.deepEqual(wordMax, maxLogit);
  assert.deepEqual(wordIndex, topIndex);
});

test('a plain CLIP has NegLabel and no OLE', async () => {
  const { negLabel, ole } = await score(features, bankOf(rowsOf(golden.yes), null), { negatives });
  near(negLabel, golden.expected[0].negLabel, 2e-5, 'negLabel');
  assert.ok(ole.every(Number.isNaN));
});

test('without words their scores are NaN and no word is named', async () => {
  const { negLabel, ole, wordMax, wordIndex } = await score(features, bank);
  for (const values of [negLabel, ole, wordMax]) assert.ok(values.length === 4 && values.every(Number.isNaN));
  assert.deepEqual([...wordIndex], [-1, -1, -1, -1]);
});

test('groups that do not cover the words are refused, and words of another width', async () => {
  const { rows } = negatives;
  for (const groupEnds of [[], [22], [24], [4, 4, 23], [5, 4, 23], [0, 23], [-1, 23], [11.5, 23], [Number.NaN, 23]]) {
    await assert.rejects(score(features, bank, { negatives: { rows, groupEnds } }), {
      code: 'ERR_CLIPN_INVALID_ARG',
      message: /groupEnds must rise to 23, the number of words/,
    });
  }
  for (const length of [0, 7]) {
    await assert.rejects(score(features, bank, { negatives: { rows: new Float32Array(length), groupEnds: [1] } }), {
      code: 'ERR_CLIPN_INVALID_ARG',
      message: /negatives\.rows has \d numbers, not rows of 8/,
    });
  }
});
