import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { ClipnError } from '../../lib/base/errors';
import { normal, uniformSource } from '../../lib/base/random';
import { imagesNeeded, type SelectMethod, select } from '../../lib/decide/select';
import { goldenFile } from '../support/paths';

interface Golden {
  select: { method: SelectMethod; p: number[]; adjusted: number[]; flagged: Record<string, number[]> }[];
  imagesNeeded: { images: number; flagged: number; alpha: number; method: SelectMethod; needed: number }[];
}
const golden: Golden = JSON.parse(readFileSync(goldenFile('decide.json'), 'utf8'));
const results = (p: readonly number[]) => p.map((pValue) => ({ pValue }));

describe('select', () => {
  test("adjusted p-values are SciPy's, to 1e-12", () => {
    for (const { method, p, adjusted } of golden.select) {
      const found = select(results(p), { alpha: 0.1, method }).adjusted;
      for (const [i, value] of adjusted.entries()) {
        assert.ok(Math.abs(found[i]! - value) <= 1e-12, `${method}, ${i}: ${found[i]}, not ${value}`);
      }
    }
  });

  test('flags the set of the step-up procedure in exact fractions, where a bound is met exactly too', () => {
    for (const { method, p, flagged } of golden.select) {
      for (const [alpha, expected] of Object.entries(flagged)) {
        const found = select(results(p), { alpha: Number(alpha), method });
        assert.deepEqual(found.flagged, expected);
        const byCut = p.flatMap((value, i) => (value <= found.cut ? [i] : []));
        assert.deepEqual(byCut, expected, 'cut');
      }
    }
  });

  test('images that cannot be read are counted, flag nothing and change nothing for the others', () => {
    const error = new ClipnError('ERR_CLIPN_IMAGE_DECODE', 'not an image');
    const whole = [{ pValue: 0.01 }, { pValue: 0.9 }, { pValue: 0.011 }];
    const found = select([{ error }, ...whole, { error }], { alpha: 0.05 });
    // 0.011 · 3 / 2 for the two lowest.
    assert.deepEqual(found, {
      flagged: [1, 3],
      cut: 0.011,
      adjusted: [null, 0.0165, 0.9, 0.0165, null],
      judged: 3,
      failures: 2,
    });
  });

  test('of no images none is flagged', () => {
    assert.deepEqual(select([], { alpha: 0.1 }), { flagged: [], cut: 0, adjusted: [], judged: 0, failures: 0 });
  });

  test('results without a p-value are refused by their place, with what to do', () => {
    assert.throws(
      () => select([{ pValue: 0.5 }, {}], { alpha: 0.1 }),
      (error: ClipnError) => {
        assert.equal(error.code, 'ERR_CLIPN_CALIBRATION');
        assert.match(error.message, /result 1 .* no pValue/);
        assert.match(error.hint, /--calibration/);
        return true;
      },
    );
  });

  for (const [what, odd] of [
    ['a p-value above 1', () => select([{ pValue: 1.5 }], { alpha: 0.1 })],
    ['a p-value that is NaN', () => select([{ pValue: Number.NaN }], { alpha: 0.1 })],
    ['an alpha of 0', () => select([], { alpha: 0 })],
    ['an alpha in percent', () => select([], { alpha: 5 })],
    ['an unknown method', () => select([], { alpha: 0.1, method: 'holm' as 'bh' })],
    ['more flagged than images', () => imagesNeeded({ images: 5, flagged: 6, alpha: 0.1 })],
    ['none flagged', () => imagesNeeded({ images: 5, flagged: 0, alpha: 0.1 })],
  ] as const) {
    test(`${what} is refused`, () => {
      assert.throws(odd, { code: 'ERR_CLIPN_INVALID_ARG' });
    });
  }

  test('over 4,000 batches of drawn scores the share of ID images among the flagged is at most alpha', () => {
    const draws = 4000;
    const [n, m, alpha] = [200, 100, 0.1];
    const uniform = uniformSource(18);
    for (const method of ['bh', 'by'] as const) {
      const shares: number[] = [];
      for (let draw = 0; draw < draws; draw++) {
        const calibration = Float64Array.from({ length: n }, () => normal(uniform)).sort();
        const p = Array.from({ length: m }, (_, i) => {
          const score = normal(uniform) - (i < 10 ? 3 : 0);
          let rank = 0;
          while (rank < n && calibration[rank]! <= score) rank++;
          return { pValue: (1 + rank) / (n + 1) };
        });
        const { flagged } = select(p, { alpha, method });
        shares.push(flagged.filter((i) => i >= 10).length / Math.max(1, flagged.length));
      }
      const mean = shares.reduce((sum, share) => sum + share, 0) / draws;
      const variance = shares.reduce((sum, share) => sum + (share - mean) ** 2, 0) / (draws - 1);
      assert.ok(mean <= alpha + 3 * Math.sqrt(variance / draws), `${method}: ${mean}`);
      // BH spends nearly all that it may: alpha times the share of ID images.
      if (method === 'bh') assert.ok(mean > 0.07, `${mean}`);
    }
  });
});

describe('imagesNeeded', () => {
  test('is the least number with which that many can be flagged, found by trying in exact fractions', () => {
    for (const { needed, ...wish } of golden.imagesNeeded)
      assert.equal(imagesNeeded(wish), needed, JSON.stringify(wish));
  });

  test('with that many calibration images select flags them, with one fewer none', () => {
    const wish = { images: 1000, flagged: 7, alpha: 0.05 };
    const flaggedWith = (n: number) =>
      select(results(Array.from({ length: 1000 }, (_, i) => (i < 7 ? 1 / (n + 1) : 1))), wish).flagged.length;
    const needed = imagesNeeded(wish);
    assert.deepEqual([flaggedWith(needed), flaggedWith(needed - 1)], [7, 0]);
  });
});
