import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { gate } from '../../lib';
import { uniformSource } from '../../lib/base/random';
import type { FittedCalibration } from '../../lib/decide/calibration';
import { conformalThreshold } from '../../lib/decide/conformal';
import { assertGateCanPass } from '../../lib/decide/gate';
import { goldenFile } from '../support/paths';

// One-sided bounds by SciPy's binomtest: test/reference/make_conformal_golden.py.
const { gates } = JSON.parse(readFileSync(goldenFile('conformal.json'), 'utf8'));
const answers = (out: number, all: number) =>
  Array.from({ length: all }, (_, i) => ({ verdict: i < out ? ('out' as const) : ('in' as const) }));

describe('a gate', () => {
  for (const { out, images, maxOut, confidence, low } of gates) {
    test(`for ${maxOut} with ${out} of ${images} out decides by SciPy's bound`, () => {
      const result = gate(answers(out, images), { maxOut, confidence });
      assert.ok(Math.abs(result.atLeast - low) < 1e-12, `${result.atLeast} ${low}`);
      assert.equal(result.passed, low <= maxOut);
    });
  }

  test('fails at most one batch of twenty whose true share is the one allowed', () => {
    const uniform = uniformSource(20);
    let failed = 0;
    for (let batch = 0; batch < 4000; batch++) {
      const images = Array.from({ length: 150 }, () => (uniform() < 0.1 ? 1 : 0) as number);
      const out = images.reduce((sum, one) => sum + one, 0);
      if (!gate(answers(out, 150), { maxOut: 0.1 }).passed) failed++;
    }
    assert.ok(failed / 4000 <= 0.05, `${failed / 4000}`);
    assert.ok(failed / 4000 > 0.02, `${failed / 4000}`);
  });

  test('counts review and failures apart, and does not pass when there is nothing', () => {
    const result = gate([{ verdict: 'review' }, { error: new Error('x') }, { verdict: 'out' }], { maxOut: 0 });
    assert.deepEqual(
      [result.judged, result.in, result.review, result.out, result.failures, result.passed],
      [2, 0, 1, 1, 1, false],
    );
    assert.equal(gate([], { maxOut: 0 }).passed, false);
    assert.throws(() => gate([], { maxOut: 0, confidence: '0.9' as never }), { code: 'ERR_CLIPN_INVALID_ARG' });
  });

  test('refuses a share that is none, and what is no answer', () => {
    for (const maxOut of [1, -0.1, Number.NaN]) {
      assert.throws(() => gate([], { maxOut }), { code: 'ERR_CLIPN_INVALID_ARG' });
    }
    assert.throws(() => gate([{ verdict: 'maybe' } as never], { maxOut: 0.1 }), {
      code: 'ERR_CLIPN_INVALID_ARG',
      message: /result 0/,
    });
  });

  test('is refused unless good images pass it, however the calibration came out', () => {
    const scores = (n: number) => Array.from({ length: n }, (_, i) => i);
    const calibration = (n: number, k: number) =>
      ({ formatVersion: 3, out: k - 1, scores: scores(n) }) as unknown as FittedCalibration;
    // By SciPy: the 95 % quantile of Beta(1, 59) is 0.0495, of Beta(5, 95) 0.09007, of Beta(50, 951) 0.0618.
    assertGateCanPass(calibration(59, 1), 0.05);
    for (const [n, k, share] of [
      [99, 5, 0.0901],
      [1000, 50, 0.0618],
    ] as const) {
      assertGateCanPass(calibration(n, k), share + 1e-4);
      assert.throws(() => assertGateCanPass(calibration(n, k), share - 1e-4), {
        code: 'ERR_CLIPN_CALIBRATION',
        message: new RegExp(`made on ${n}, perhaps ${(100 * share).toFixed(1)} %`),
      });
    }
    assert.throws(() => assertGateCanPass(calibration(59, 1), 0), { code: 'ERR_CLIPN_CALIBRATION' });
  });

  test('fails few batches of good images alone, whatever the draw of a calibration that it takes', () => {
    const uniform = uniformSource(19);
    let failed = 0;
    for (let draw = 0; draw < 2000; draw++) {
      const threshold = conformalThreshold(Float64Array.from({ length: 200 }, uniform), 0.95, 0.95);
      const batch = Array.from({ length: 500 }, () => ({ verdict: uniform() >= threshold ? 'in' : 'out' }) as const);
      if (!gate(batch, { maxOut: 0.05 }).passed) failed++;
    }
    // One calibration of twenty keeps less than it says, one good batch of twenty looks worse than it is.
    assert.ok(failed / 2000 <= 0.05, `${failed / 2000}`);
  });
});
