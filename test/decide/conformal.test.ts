import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { uniformSource } from '../../lib/base/random';
import { conformalPValues, conformalRank, conformalThreshold, scoresNeeded } from '../../lib/decide/conformal';
import { binomialCdf } from '../../lib/metrics/binomial';
import { goldenFile } from '../support/paths';

// By SciPy and NumPy: test/reference/make_conformal_golden.py.
const golden = JSON.parse(readFileSync(goldenFile('conformal.json'), 'utf8'));

describe('conformal threshold', () => {
  test('its rank is the whole part of (1 - target)(n + 1), by exact arithmetic in thousandths', () => {
    for (const thousandths of [500, 550, 700, 800, 900, 950, 975, 990, 999]) {
      for (let n = 0; n <= 5000; n++) {
        const exact = Math.floor(((1000 - thousandths) * (n + 1)) / 1000);
        assert.equal(conformalRank(n, { target: thousandths / 1000 }), exact, `n ${n}, target ${thousandths / 1000}`);
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
    assert.deepEqual(
      [0.5, 0.9, 0.95, 0.99].map((target) => scoresNeeded({ target })),
      [1, 9, 19, 99],
    );
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

describe('a threshold with confidence', () => {
  test("has the rank of SciPy's beta distribution, and sums the binomial as SciPy does", () => {
    for (const { n, rank, ...promised } of golden.pacRanks) {
      assert.equal(conformalRank(n, promised), rank, `n ${n}, ${JSON.stringify(promised)}`);
    }
    for (const { k, n, p, cdf } of golden.binomial) {
      assert.ok(Math.abs(binomialCdf(k, n, p) / cdf - 1) < 1e-10, `${k} of ${n} at ${p}`);
    }
  });

  test('in 4,000 draws misses its target no more often than it says, within three standard errors', () => {
    const uniform = uniformSource(59);
    for (const n of [59, 100, 500, 1000]) {
      let missed = 0;
      for (let draw = 0; draw < 4000; draw++) {
        // Uniform scores: the share below a threshold is the threshold.
        const scores = Float64Array.from({ length: n }, uniform);
        if (1 - conformalThreshold(scores, 0.95, 0.95) < 0.95) missed++;
      }
      const bound = 0.05 + 3 * Math.sqrt((0.05 * 0.95) / 4000);
      assert.ok(missed / 4000 <= bound, `n ${n}: ${missed / 4000}`);
      // Nor is it idle: without confidence four times of ten would miss.
      assert.ok(missed / 4000 > 0.02, `n ${n}: ${missed / 4000}`);
    }
  });

  test('needs 59 scores for 95 % with 95 % confidence, and says so of fewer', () => {
    assert.deepEqual(
      [scoresNeeded({ target: 0.95, confidence: 0.95 }), scoresNeeded({ target: 0.9, confidence: 0.99 })],
      [59, 44],
    );
    assert.throws(() => conformalThreshold(Array(58).fill(0.5), 0.95, 0.95), {
      code: 'ERR_CLIPN_TOO_FEW_IMAGES',
      message: /with confidence 0\.95 needs at least 59 .* there are 58/,
    });
    assert.throws(() => conformalThreshold(Array(59).fill(0.5), 0.95, 1), { code: 'ERR_CLIPN_INVALID_ARG' });
  });
});

describe('p-values', () => {
  test('count the calibration scores that are no higher, as NumPy does', () => {
    const { calibration, scores, p } = golden.pValues;
    assert.deepEqual([...conformalPValues(calibration, scores)], p);
  });

  test('of new ID images are no smaller than uniform, and smoothed exactly uniform even with heavy ties', () => {
    const uniform = uniformSource(7);
    const draw = (n: number) => Array.from({ length: n }, () => Math.floor(6 * uniform()));
    const small = { plain: 0, smoothed: 0 };
    const smoothed: number[] = [];
    for (let i = 0; i < 4000; i++) {
      const calibration = draw(39);
      const scores = draw(1);
      if (conformalPValues(calibration, scores)[0]! <= 0.1) small.plain++;
      const p = conformalPValues(calibration, scores, { smoothing: true, seed: i })[0]!;
      if (p <= 0.1) small.smoothed++;
      smoothed.push(p);
    }
    assert.ok(small.plain / 4000 <= 0.1);
    assert.ok(Math.abs(small.smoothed / 4000 - 0.1) < 3 * Math.sqrt(0.09 / 4000), `${small.smoothed / 4000}`);
    // Kolmogorov-Smirnov: 1.63 / √n is passed by chance once in a hundred times.
    smoothed.sort((a, b) => a - b);
    const distance = Math.max(...smoothed.map((p, i) => Math.max(p - i / 4000, (i + 1) / 4000 - p)));
    assert.ok(distance < 1.63 / Math.sqrt(4000), `${distance}`);
  });

  test('the same seed gives the same, another other ones', () => {
    const options = (seed: number) => ({ smoothing: true, seed });
    const p = (seed: number) => [...conformalPValues([1, 1, 2], [1, 1, 1, 2], options(seed))];
    assert.deepEqual(p(1), p(1));
    assert.notDeepEqual(p(1), p(2));
  });

  test('of nothing, or of scores that are not finite, there are none', () => {
    assert.throws(() => conformalPValues([], [1]), { code: 'ERR_CLIPN_SCORES' });
    assert.throws(() => conformalPValues([1], [Number.NaN]), { code: 'ERR_CLIPN_SCORES' });
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
