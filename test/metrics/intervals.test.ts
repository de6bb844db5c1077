import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { clopperPearson } from '../../lib/metrics/intervals';
import { goldenFile } from '../support/paths';

interface Bounds {
  successes: number;
  total: number;
  confidence: number;
  both: [low: number, high: number];
  one: [low: number, high: number];
}
const golden: Bounds[] = JSON.parse(readFileSync(goldenFile('decide.json'), 'utf8')).bounds;

describe('clopperPearson', () => {
  test("has the quantiles of SciPy's beta distribution, on both sides and on one", () => {
    for (const { successes, total, confidence, both, one } of golden) {
      const two = clopperPearson(successes, total, confidence);
      const lower = clopperPearson(successes, total, confidence, 'lower');
      const upper = clopperPearson(successes, total, confidence, 'upper');
      for (const [found, expected] of [
        [two.low, both[0]],
        [two.high, both[1]],
        [lower.low, one[0]],
        [upper.high, one[1]],
      ] as const) {
        const what = `${successes} of ${total}, ${confidence}: ${found} is not ${expected}`;
        assert.ok(Math.abs(found - expected) <= 1e-12, what);
      }
      assert.deepEqual([lower.high, upper.low], [1, 0]);
    }
  });

  test('59 images of which none fails bound the rate by 5 %, and 58 do not', () => {
    assert.ok(clopperPearson(0, 59, 0.95, 'upper').high < 0.05);
    assert.ok(clopperPearson(0, 58, 0.95, 'upper').high > 0.05);
  });

  for (const [what, call] of [
    ['more successes than images', () => clopperPearson(3, 2, 0.95)],
    ['no images', () => clopperPearson(0, 0, 0.95)],
    ['half a success', () => clopperPearson(0.5, 2, 0.95)],
    ['a confidence in percent', () => clopperPearson(1, 2, 95)],
    ['a confidence of NaN', () => clopperPearson(1, 2, Number.NaN)],
  ] as const) {
    test(`${what}: refused`, () => {
      assert.throws(call, { code: 'ERR_CLIPN_INVALID_ARG' });
    });
  }
});
