import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide, decisionOf, ruleWarning } from '../../lib/decide/rule';
import type { Scores } from '../../lib/scores/names';

const scores = (values: Partial<Scores>) => values as Scores;

test('without options the rule is ATD', () => {
  assert.deepEqual(decisionOf({}, true), { rule: 'atd' });
});

test('CTW is in exactly from p_yes = 1/2, the gap 0', () => {
  assert.equal(decide({ rule: 'ctw' }, scores({ gap: 0 }), 0), 'in');
  assert.equal(decide({ rule: 'ctw' }, scores({ gap: -1e-6 }), 0), 'out');
});

test('ATD is out only when p(C+1) exceeds the largest class share', () => {
  assert.equal(decide({ rule: 'atd' }, scores({ logPOut: -1 }), -1), 'in');
  assert.equal(decide({ rule: 'atd' }, scores({ logPOut: -0.9 }), -1), 'out');
});

test('a NaN score is never in', () => {
  const nan = scores({ gap: Number.NaN, logPOut: Number.NaN, msp: Number.NaN });
  assert.equal(decide({ rule: 'ctw' }, nan, Number.NaN), 'out');
  assert.equal(decide({ rule: 'atd' }, nan, Number.NaN), 'out');
  assert.equal(decide({ rule: 'threshold', score: 'msp', threshold: 0 }, nan, 0), 'out');
});

test('a threshold is inclusive', () => {
  const decision = decisionOf({ score: 'msp', threshold: 0.5 }, false);
  assert.equal(decide(decision, scores({ msp: 0.5 }), 0), 'in');
  assert.equal(decide(decision, scores({ msp: 0.49 }), 0), 'out');
});

test('a calibration leaves a band for review', () => {
  const decision = decisionOf({ calibration: { formatVersion: 1, score: 'atd', in: 0.7, out: 0.3 } }, true);
  assert.equal(decide(decision, scores({ atd: 0.7 }), 0), 'in');
  assert.equal(decide(decision, scores({ atd: 0.3 }), 0), 'review');
  assert.equal(decide(decision, scores({ atd: 0.29 }), 0), 'out');
});

test('a score without a rule of its own needs a threshold', () => {
  assert.throws(() => decisionOf({ score: 'energy' }, true), { code: 'ERR_CLIPN_INVALID_ARG' });
});

test('scores of the no tower are refused for a plain CLIP', () => {
  assert.throws(() => decisionOf({}, false), { code: 'ERR_CLIPN_MODEL_CONTRACT' });
});

test('threshold and calibration exclude each other', () => {
  const calibration = { formatVersion: 1, score: 'atd', in: 1, out: 0 } as const;
  assert.throws(() => decisionOf({ threshold: 1, calibration }, true), { code: 'ERR_CLIPN_INVALID_ARG' });
});

test("the paper's rules warn below 10 labels, a threshold does not", () => {
  assert.match(ruleWarning({ rule: 'atd' }, 9)!, /9 labels.*mislead/);
  assert.equal(ruleWarning({ rule: 'atd' }, 10), undefined);
  assert.equal(ruleWarning({ rule: 'threshold', score: 'atd', threshold: 0 }, 1), undefined);
});
