import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Calibration } from '../../lib/decide/calibration';
import { marginOf } from '../../lib/decide/margin';
import type { Scores } from '../../lib/scores/names';

const scores = { atd: 0.4, msp: 0.7 } as Scores;
const fitted = (sorted: number[]) =>
  ({ formatVersion: 3, score: 'atd', in: 0.5, out: 0.5, scores: sorted }) as unknown as Calibration;
const rank = (sorted: number[]) => marginOf({ rule: 'calibrated', calibration: fitted(sorted) }, scores, 0)!.rank;

test('the rules of the paper and the nearest word have no threshold, so no margin', () => {
  for (const rule of ['ctw', 'atd', 'nearest'] as const) assert.equal(marginOf({ rule }, scores, 0), undefined);
});

test('a threshold has the margin of its own score', () => {
  const margin = marginOf({ rule: 'threshold', score: 'msp', threshold: 0.5 }, scores, 0);
  assert.deepEqual(margin, { score: 'msp', value: 0.7, threshold: 0.5, by: 0.7 - 0.5 });
});

test('thresholds by hand have both edges of the review band, and no rank', () => {
  const calibration = { formatVersion: 1, score: 'atd', in: 0.6, out: 0.3 } as const;
  const margin = marginOf({ rule: 'calibrated', calibration }, scores, 0);
  assert.deepEqual(margin, { score: 'atd', value: 0.4, threshold: 0.6, by: 0.4 - 0.6, outBelow: 0.3 });
});

test('classes with thresholds of their own have the margin and the rank of theirs', () => {
  const calibration = { ...fitted([0.1, 0.25, 0.5]), in: 0.5, out: 0.25, offsets: [0, 0.125] } as Calibration;
  const margin = marginOf({ rule: 'calibrated', calibration }, { ...scores, atd: 0.5 }, 1);
  assert.deepEqual(margin, {
    score: 'atd',
    value: 0.5,
    threshold: 0.625,
    by: 0.375 - 0.5,
    outBelow: 0.375,
    rank: { images: 3, lower: 2, higher: 1 },
  });
});

describe('the rank counts the calibration images', () => {
  test('that score lower and higher', () => {
    assert.deepEqual(rank([0.1, 0.2, 0.5, 0.9]), { images: 4, lower: 2, higher: 2 });
    assert.deepEqual(rank([0.5, 0.9]), { images: 2, lower: 0, higher: 2 });
    assert.deepEqual(rank([0.1]), { images: 1, lower: 1, higher: 0 });
  });

  test('and leaves those out that score the same', () => {
    assert.deepEqual(rank([0.1, 0.4, 0.4, 0.4, 0.9]), { images: 5, lower: 1, higher: 1 });
    assert.deepEqual(rank([0.4, 0.4]), { images: 2, lower: 0, higher: 0 });
  });
});
