import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FittedCalibration } from '../../lib/decide/calibration';
import {
  borderOf,
  type Deciding,
  type Differences,
  differencesOf,
  distancesOf,
  isTooClose,
  type LabelSpace,
  type Measured,
  marginOver,
  marginsOf,
} from '../../lib/decide/guard';
import type { Decision } from '../../lib/decide/rule';
import type { Scores } from '../../lib/scores/names';

const image = (values: Partial<Scores>, changes: Partial<Deciding> = {}): Deciding => ({
  scores: values as Scores,
  logQMax: Number.NaN,
  wordMax: Number.NaN,
  top: 0,
  border: 2,
  ...changes,
});
const threshold = (score: keyof Scores, value: number) =>
  ({ rule: 'threshold', score, threshold: value }) as unknown as Decision;
const near = (found: number[], expected: number[]) => {
  assert.equal(found.length, expected.length);
  for (const [i, value] of expected.entries()) {
    assert.ok(Math.abs(found[i]! - value) < 1e-5, `${found[i]} is not ${value}`);
  }
};
const scoreDistances = (decision: Decision, of: Deciding) => distancesOf(decision, of).score;

describe('the distance of an image from what would turn its verdict', () => {
  test('is that of the logarithms for the paper’s ATD, of the gap for CTW, of the nearest for words', () => {
    near(scoreDistances({ rule: 'atd' }, image({ logPOut: -1.5 }, { logQMax: -1.25 })), [0.25]);
    near(scoreDistances({ rule: 'ctw' }, image({ gap: -0.75 })), [0.75]);
    near(scoreDistances({ rule: 'nearest' }, image({ maxLogit: 20 }, { wordMax: 23 })), [3]);
  });

  test('is one of log-odds for a share, so that 0.9 is as far from 0.5 as 0.1', () => {
    for (const score of ['atd', 'ctw', 'msp', 'negLabel', 'ole'] as const) {
      near(scoreDistances(threshold(score, 0.5), image({ [score]: 0.9 })), [Math.log(9)]);
      near(scoreDistances(threshold(score, 0.5), image({ [score]: 0.1 })), [Math.log(9)]);
    }
  });

  test('is in the score’s own unit for a logit, a gap and for mcm', () => {
    for (const score of ['maxLogit', 'energy', 'gap', 'mcm'] as const) {
      near(scoreDistances(threshold(score, 0.25), image({ [score]: 1 })), [0.75]);
    }
  });

  test('is finite for a share of 1, and 0 where float32 cannot tell it from the threshold', () => {
    const [far] = scoreDistances(threshold('atd', 0.5), image({ atd: 1 }));
    assert.ok(far! > 10 && far! < 20, `${far}`);
    assert.deepEqual(scoreDistances(threshold('atd', 1 - 2 ** -24), image({ atd: 1 })), [0]);
    assert.deepEqual(scoreDistances(threshold('atd', 1), image({ atd: 1 })), [0]);
  });

  test('is infinite for a threshold that no share passes, or none fails', () => {
    assert.deepEqual(scoreDistances(threshold('msp', 0), image({ msp: 0.3 })), [Number.POSITIVE_INFINITY]);
    assert.deepEqual(scoreDistances(threshold('msp', 1.5), image({ msp: 0.3 })), [Number.POSITIVE_INFINITY]);
  });

  test('is told for both thresholds of a calibration, each with the offset of the nearest label', () => {
    const fitted = { formatVersion: 3, score: 'gap', in: 4, out: 1, scores: [1, 4], offsets: [0, 0.5] };
    const decision: Decision = { rule: 'calibrated', calibration: fitted as unknown as FittedCalibration };
    near(scoreDistances(decision, image({ gap: 3 })), [1, 2]);
    near(scoreDistances(decision, image({ gap: 3 }, { top: 1 })), [1.5, 1.5]);
    const one = { formatVersion: 1, score: 'gap', in: 4, out: 4 } as const;
    near(scoreDistances({ rule: 'calibrated', calibration: one }, image({ gap: 3 })), [1]);
  });

  test('is told for each label by itself: a − b from the log-odds of its threshold', () => {
    const present = { gaps: [0, 2], thresholds: [0.9, 0.5] };
    near(distancesOf({ rule: 'ctw' }, image({ gap: 2 }, { present })).present, [Math.log(9), 2]);
  });
});

describe('an image is too close to call', () => {
  const decision = threshold('gap', 0);
  const margins = { score: 1, label: 0.005 };
  test('when its score lies within the margin, or exactly on it', () => {
    assert.equal(isTooClose(decision, image({ gap: 1.01 }), margins), false);
    assert.equal(isTooClose(decision, image({ gap: 1 }), margins), true);
    assert.equal(isTooClose(decision, image({ gap: -0.5 }), margins), true);
  });
  test('when the border to another label lies within the margin', () => {
    assert.equal(isTooClose(decision, image({ gap: 9 }, { border: 0.0051 }), margins), false);
    assert.equal(isTooClose(decision, image({ gap: 9 }, { border: 0.005 }), margins), true);
  });
  test('when a label by itself lies within the margin, or there is no margin for it', () => {
    const present = { gaps: [3, 0.2], thresholds: [0.5, 0.5] };
    const row = image({ gap: 9 }, { present });
    assert.equal(isTooClose(decision, row, { ...margins, present: 0.1 }), false);
    assert.equal(isTooClose(decision, row, { ...margins, present: 0.2 }), true);
    assert.equal(isTooClose(decision, row, margins), true);
  });
  test('when a number or a margin is none', () => {
    assert.equal(isTooClose(decision, image({ gap: Number.NaN }), margins), true);
    assert.equal(isTooClose(decision, image({}), margins), true);
    assert.equal(isTooClose(decision, image({ gap: 9 }, { border: Number.NaN }), margins), true);
    assert.equal(isTooClose(decision, image({ gap: 9 }), { ...margins, score: Number.NaN }), true);
    assert.equal(isTooClose(threshold('msp', 0.5), image({ msp: Number.NaN }), margins), true);
  });
  test('never because of its label when there is one label alone', () => {
    const row = image({ gap: 9 }, { border: Number.POSITIVE_INFINITY });
    assert.equal(isTooClose(decision, row, { score: 1, label: 0 }), false);
  });
});

/** Labels on a circle, by their angles in degrees. */
const onCircle = (...angles: number[]): LabelSpace => {
  const at = angles.flatMap((angle) => [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)]);
  return { yes: new Float32Array(at), dim: 2, scale: 100 };
};
const logitsAt = (angle: number, ...labels: number[]) =>
  labels.map((label) => 100 * Math.cos(((angle - label) * Math.PI) / 180));
const sine = (angle: number) => Math.sin((angle * Math.PI) / 180);

describe('the border of the nearest label', () => {
  test('lies midway to another label: from 20°, between 0° and 90°, it is sin 25° away', () => {
    near([borderOf(onCircle(0, 90), logitsAt(20, 0, 90), 0, 2)], [sine(25)]);
  });
  test('may be that of a label with a lower logit than the second, which lies closer to the first', () => {
    near([borderOf(onCircle(0, -8, 40), logitsAt(10, 0, -8, 40), 0, 2)], [sine(10)]);
    near([borderOf(onCircle(0, -8), logitsAt(10, 0, -8), 0, 2)], [sine(14)]);
  });
  test('may be left out where it is farther than asked for, and only there', () => {
    const [space, logits] = [onCircle(0, 180, 40), logitsAt(10, 0, 180, 40)];
    near([borderOf(space, logits, 0, 0.18)], [sine(10)]);
    assert.equal(borderOf(onCircle(0, 180), logitsAt(10, 0, 180), 0, 0.18), Number.POSITIVE_INFINITY);
  });
  test('does not exist where there is one label', () => {
    assert.equal(borderOf(onCircle(0), logitsAt(10, 0), 0, 2), Number.POSITIVE_INFINITY);
  });
  test('leaves an image too close where only rounding tells two labels apart', () => {
    const close = (other: number, logits: number[]) => {
      const border = borderOf(onCircle(0, other, 90), logits, 0, 0.01);
      return isTooClose({ rule: 'ctw' }, image({ gap: 9 }, { border }), { score: 1, label: 0 });
    };
    assert.ok(close(0, [98, 98, 17]));
    assert.ok(close(0, [98, 98 - 1e-5, 17]));
    assert.ok(close(0.00001, [98, 98 - 1e-5, 17]));
  });
});

const measured = (values: Partial<Scores>, changes: Partial<Measured> = {}): Measured => ({
  scores: values as Scores,
  logQMax: Number.NaN,
  wordMax: Number.NaN,
  yes: [2, 5, 4],
  no: [1, 1, 1],
  ...changes,
});

const SPACE = onCircle(180, 0, 60);

describe('the difference of two arithmetics on one image', () => {
  test('of the label is unknown where only rounding tells the nearest two apart, and none where there is one', () => {
    const label = (space: LabelSpace, yes: number[]) =>
      differencesOf({ rule: 'ctw' }, space, measured({}, { yes }), measured({}, { yes: yes.map((a) => a + 1e-5) }))
        .label;
    assert.equal(label(onCircle(180, 60, 60.001), [2, 5, 4]), undefined);
    assert.equal(label(onCircle(180), [5]), 0);
  });
  test('is taken at the labels that the first finds nearest, also where the other finds another', () => {
    const [first, exact] = [measured({}), measured({}, { yes: [2, 4.5, 4.75], no: [1, 1.25, 1] })];
    const { score, label, present } = differencesOf({ rule: 'ctw' }, SPACE, first, exact);
    assert.equal(score, Math.abs(5 - 1 - (4.5 - 1.25)));
    // In logits 5 − 4 and 4.5 − 4.75; these labels lie 1 from each other, a hundred logits a unit.
    near([label!], [0.0125]);
    assert.deepEqual(present, [0, 0.75, 0.75]);
  });
  test('is one of log-odds for ATD, where the share itself says nothing near 1', () => {
    const differences = differencesOf(
      threshold('atd', 0.5),
      SPACE,
      measured({ atd: 1, logPOut: -20 }),
      measured({ atd: 1, logPOut: -20.5 }),
    );
    assert.equal(differences.score, 0.5);
  });
  test('of another share is unknown near 1', () => {
    const score = (one: number, other: number) =>
      differencesOf(threshold('msp', 0.5), SPACE, measured({ msp: one }), measured({ msp: other })).score;
    assert.equal(score(1, 0.9), undefined);
    assert.equal(score(0.9, 1), undefined);
    near([score(0.9, 0.5)!], [Math.log(9)]);
  });
});

describe('the margin', () => {
  test('is the largest difference, or four times their root mean square', () => {
    assert.equal(marginOver([1, 1, 1, 1]), 4);
    const rare = [5, ...Array<number>(99).fill(0)];
    assert.equal(marginOver(rare), 5);
  });
  test('covers everything where nothing was measured, or a difference is not a number', () => {
    assert.ok(Number.isNaN(marginOver([])));
    assert.ok(Number.isNaN(marginOver([1, Number.NaN])));
  });
  test('of a detector leaves out what could not be measured', () => {
    const differences = Array<Differences>(19).fill({ score: 1, label: 0.5, present: [0, 2] });
    const unknown: Differences = { score: undefined, label: undefined, present: [0, 0] };
    assert.deepEqual(marginsOf([...differences, unknown], false), { score: 4, label: 2 });
    assert.ok(marginsOf([...differences, unknown], true).present! > 4);
  });
  test('of a detector covers everything where fewer than 19 images tell', () => {
    const differences = Array<Differences>(18).fill({ score: 1, label: 0.5, present: [] });
    const unknown: Differences = { score: undefined, label: undefined, present: [] };
    const { score, label } = marginsOf([...differences, unknown, unknown], false);
    assert.ok(Number.isNaN(score) && Number.isNaN(label));
  });
});
