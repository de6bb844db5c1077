import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { gate } from '../../lib';
import { uniformSource } from '../../lib/base/random';
import type { FittedCalibration } from '../../lib/decide/calibration';
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

  test('counts review and failures apart, and passes when there is nothing', () => {
    const result = gate([{ verdict: 'review' }, { error: new Error('x') }, { verdict: 'out' }], { maxOut: 0 });
    assert.deepEqual(
      [result.judged, result.in, result.review, result.out, result.failures, result.passed],
      [2, 0, 1, 1, 1, false],
    );
    assert.equal(gate([], { maxOut: 0 }).passed, true);
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

  test('cannot be met by a calibration that calls more of the own images out', () => {
    const calibration = { formatVersion: 3, target: 0.95 } as FittedCalibration;
    assertGateCanPass(calibration, 0.05);
    assert.throws(() => assertGateCanPass(calibration, 0.02), {
      code: 'ERR_CLIPN_CALIBRATION',
      message: /keeps 95 % .* 5 % are out by design, more than the 2 % allowed/,
      hint: /target of at least 0\.98/,
    });
  });
});
