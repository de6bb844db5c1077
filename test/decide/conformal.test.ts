import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { uniformSource } from '../../lib/base/random';
import { conformalRank, conformalThreshold, scoresNeeded } from '../../lib/decide/conformal';

describe('conformal threshold', () => {
  test('its rank is the whole part of (1 - target)(n + 1), by exact arithmetic in thousandths', () => {
    for (const thousandths of [500, 550, 700, 800, 900, 950, 975, 990, 999]) {
      for (let n = 0; n <= 5000; n++) {
        const exact = Math.floor(((1000 - thousandths) * (n + 1)) / 1000);
        assert.equal(conformalRank(n, thousandths / 1000), exact, `n ${n}, target ${thousandths / 1000}`);
      }
    }
  });

  test('is the score of that rank from below', () => {
    const scores = Array.from({ length: 39 }, (_, i) => ((i * 7) % 39) / 39);
    // 0.05 · 40 = 2, 0.1 · 40 = 4.
    assert.deepEqual([conformalThreshold(scores, 0.95), conformalThreshold(scores, 0.9)], [1 / 39, 3 / 39]);
  });

  test('in 4,000 draws the mean acceptance is within 0.2 points of nominal, and 1 - k / (n + 1) where that is not whole', () => {
    const uniform = uniformSource(4000);
    for (const [n, nominal] of [
      [19, 0.95],
      [99, 0.95],
      [500, 0.95],
      [1000, 0.95],
      [50, 1 - 2 / 51],
    ] as const) {
      let sum = 0;
      let below = 0;
      for (let draw = 0; draw < 4000; draw++) {
        // Of continuous scores whose distribution function is known: the acceptance is exact.
        const scores = Float64Array.from({ length: n }, () => -Math.log(1 / (1 - uniform()) - 1));
        const acceptance = 1 - 1 / (1 + Math.exp(-conformalThreshold(scores, 0.95)));
        sum += acceptance;
        if (acceptance < 0.95) below++;
      }
      assert.ok(Math.abs(sum / 4000 - nominal) < 0.002, `n ${n}: mean acceptance ${sum / 4000}`);
      // One draw's acceptance is Beta(n + 1 - k, k): below 0.95 as often as Binomial(n, 0.05) is below k.
      const expected = binomialBelow(n, 0.05, Math.floor((n + 1) / 20));
      assert.ok(Math.abs(below / 4000 - expected) < 0.032, `n ${n}: ${below / 4000} below, not ${expected}`);
    }
  });

  test('with heavy ties the mean acceptance is above nominal, not below', () => {
    const uniform = uniformSource(1);
    let sum = 0;
    for (let draw = 0; draw < 4000; draw++) {
      const threshold = conformalThreshold(
        Array.from({ length: 59 }, () => Math.floor(8 * uniform())),
        0.95,
      );
      sum += 1 - threshold / 8;
    }
    assert.ok(sum / 4000 > 0.95 && sum / 4000 < 1, `${sum / 4000}`);
  });

  test('needs 19 scores for 0.95, and says so of fewer', () => {
    assert.deepEqual([0.5, 0.9, 0.95, 0.99].map(scoresNeeded), [1, 9, 19, 99]);
    assert.equal(conformalThreshold(Array(19).fill(0.5), 0.95), 0.5);
    assert.throws(
      () => conformalThreshold(Array(18).fill(0.5), 0.95),
      (error: Error & Record<string, unknown>) => {
        assert.equal(error['code'], 'ERR_CLIPN_TOO_FEW_IMAGES');
        assert.match(error.message, /at least 19 .* there are 18/);
        assert.equal((error['details'] as Record<string, unknown>)['needed'], 19);
        return true;
      },
    );
  });

  test('of scores that are not finite, or a target that is no share, there is none', () => {
    for (const odd of [Number.NaN, Number.NEGATIVE_INFINITY]) {
      assert.throws(() => conformalThreshold([...Array(19).fill(0.5), odd], 0.95), {
        code: 'ERR_CLIPN_SCORES',
        message: /image 19/,
      });
    }
    for (const target of [0, 1, 95, Number.NaN]) {
      assert.throws(() => conformalThreshold(Array(19).fill(0.5), target), { code: 'ERR_CLIPN_INVALID_ARG' });
    }
  });
});

/** P(Binomial(n, p) < k). */
function binomialBelow(n: number, p: number, k: number): number {
  let term = (1 - p) ** n;
  let sum = 0;
  for (let j = 0; j < k; j++) {
    sum += term;
    term *= ((n - j) * p) / ((j + 1) * (1 - p));
  }
  return sum;
}
