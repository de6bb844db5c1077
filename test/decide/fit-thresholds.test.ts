import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { normal, uniformSource } from '../../lib/base/random';
import { costThreshold } from '../../lib/decide/cost';
import { fitThresholds, type ThresholdOptions } from '../../lib/decide/fit-thresholds';
import { goldenFile } from '../support/paths';

const golden = JSON.parse(readFileSync(goldenFile('conformal.json'), 'utf8'));

/** Scores of n images of four classes: some easy, some hard, one rare. */
function drawImages(n: number, uniform: () => number) {
  const top = Array.from({ length: n }, () => {
    const u = uniform();
    return u < 0.4 ? 0 : u < 0.7 ? 1 : u < 0.98 ? 2 : 3;
  });
  return { scores: top.map((c) => normal(uniform) * [1, 0.5, 2, 1][c]! + [0, 1, -2, 0][c]!), top };
}

/** Over many draws: the mean shares of new images in each verdict, and of each class that are not out. */
function play(n: number, draws: number, options: ThresholdOptions) {
  const uniform = uniformSource(n);
  const shares = { in: 0, review: 0, notOut: 0 };
  const byClass = [0, 1, 2, 3].map(() => ({ images: 0, notOut: 0 }));
  for (let draw = 0; draw < draws; draw++) {
    const fitted = fitThresholds(drawImages(n, uniform), undefined, 4, options);
    const fresh = drawImages(200, uniform);
    for (const [i, score] of fresh.scores.entries()) {
      const value = score - (fitted.offsets?.[fresh.top[i]!] ?? 0);
      const of = byClass[fresh.top[i]!]!;
      of.images++;
      if (value >= fitted.out) {
        shares.notOut++;
        of.notOut++;
      }
      if (value >= fitted.in) shares.in++;
      else if (value >= fitted.out) shares.review++;
    }
  }
  const total = draws * 200;
  return {
    in: shares.in / total,
    review: shares.review / total,
    notOut: shares.notOut / total,
    byClass: byClass.map(({ images, notOut }) => notOut / images),
  };
}

describe('fitted thresholds', () => {
  test('leave the share asked for between them, and keep the target', () => {
    const { in: accepted, review, notOut } = play(199, 4000, { target: 0.95, review: 0.1 });
    assert.ok(Math.abs(notOut - 0.95) < 0.002, `not out ${notOut}`);
    assert.ok(Math.abs(review - 0.1) < 0.002, `review ${review}`);
    assert.ok(Math.abs(accepted - 0.85) < 0.003, `in ${accepted}`);
  });

  test('by class keep the target for all together, and bring the classes nearer to it than one threshold does', () => {
    const common = play(399, 4000, { target: 0.95 });
    const own = play(399, 4000, { target: 0.95, classConditional: true });
    assert.ok(Math.abs(common.notOut - 0.95) < 0.002, `${common.notOut}`);
    assert.ok(Math.abs(own.notOut - 0.95) < 0.002, `${own.notOut}`);
    const worst = ({ byClass }: typeof own) => Math.max(...byClass.map((share) => Math.abs(share - 0.95)));
    assert.ok(worst(common) > 0.1, `${common.byClass}`);
    assert.ok(worst(own) < 0.04, `${own.byClass}`);
  });

  test('of a class without images are the common one', () => {
    const { offsets } = fitThresholds(drawImages(100, uniformSource(1)), undefined, 6, { classConditional: true });
    assert.deepEqual(offsets!.slice(4), [0, 0]);
    assert.ok(offsets!.slice(0, 3).every((offset) => offset !== 0));
  });

  test('need twice the images by class, and enough for a band; what leaves nothing for "in" is refused', () => {
    const images = (n: number) => ({ scores: Array.from({ length: n }, (_, i) => i), top: Array(n).fill(0) });
    const fit = (n: number, options: ThresholdOptions) => fitThresholds(images(n), undefined, 1, options);
    assert.throws(() => fit(37, { classConditional: true }), { code: 'ERR_CLIPN_TOO_FEW_IMAGES', message: /least 38/ });
    assert.deepEqual(fit(38, { classConditional: true }).scores.length, 19);
    assert.throws(() => fit(19, { review: 0.01 }), {
      code: 'ERR_CLIPN_TOO_FEW_IMAGES',
      message: /needs 99 in-distribution images; there are 19/,
    });
    assert.throws(() => fit(19, { review: 0.97 }), { code: 'ERR_CLIPN_INVALID_ARG' });
    const { in: from, out, review } = fit(99, { review: 0.104 });
    assert.deepEqual([out, from, review], [4, 14, 0.1]);
  });
});

describe('the cheapest threshold', () => {
  const { id, ood, cases } = golden.costs;
  for (const { costs, threshold, cost } of cases) {
    test(`at ${costs.join(', ')} is that of all tried in turn`, () => {
      const [falseAccept, falseReject, oodShare] = costs;
      const found = costThreshold(id, ood, { falseAccept, falseReject, oodShare });
      assert.equal(found.threshold, threshold);
      assert.ok(Math.abs(found.cost - cost) < 1e-12);
    });
  }

  test('is refused where rejecting everything is cheaper, and without OOD images', () => {
    const cost = { falseAccept: 1000, falseReject: 1, oodShare: 0.5 };
    assert.throws(() => costThreshold([1, 2, 3], [4, 5], cost), {
      code: 'ERR_CLIPN_INVALID_ARG',
      message: /reject every image/,
    });
    assert.throws(() => costThreshold([1, 2, 3], [], cost), { code: 'ERR_CLIPN_TOO_FEW_IMAGES' });
  });
});
