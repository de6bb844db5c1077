import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calibratedPValue, type FittedCalibration } from '../../lib/decide/calibration';
import { decide, decidingName, decisionOf, defaultScore, ruleWarning, wordWarnings } from '../../lib/decide/rule';
import type { Scores } from '../../lib/scores/names';

const scores = (values: Partial<Scores>) => values as Scores;
const others = (logQMax: number, wordMax = Number.NaN) => ({ logQMax, wordMax, top: 0 });
const CLIPN = { no: true, words: 0 };
const CLIP = { no: false, words: 0 };

test('without options the rule is ATD', () => {
  assert.deepEqual(decisionOf({}, CLIPN), { rule: 'atd' });
});

test('CTW is in exactly from p_yes = 1/2, the gap 0', () => {
  assert.equal(decide({ rule: 'ctw' }, scores({ gap: 0 }), others(0)), 'in');
  assert.equal(decide({ rule: 'ctw' }, scores({ gap: -1e-6 }), others(0)), 'out');
});

test('ATD is out only when p(C+1) exceeds the largest class share', () => {
  assert.equal(decide({ rule: 'atd' }, scores({ logPOut: -1 }), others(-1)), 'in');
  assert.equal(decide({ rule: 'atd' }, scores({ logPOut: -0.9 }), others(-1)), 'out');
});

test('a NaN score is never in', () => {
  const nan = scores({ gap: Number.NaN, logPOut: Number.NaN, msp: Number.NaN });
  assert.equal(decide({ rule: 'ctw' }, nan, others(Number.NaN)), 'out');
  assert.equal(decide({ rule: 'atd' }, nan, others(Number.NaN)), 'out');
  assert.equal(decide({ rule: 'threshold', score: 'msp', threshold: 0 }, nan, others(0)), 'out');
});

test('a threshold is inclusive', () => {
  const decision = decisionOf({ score: 'msp', threshold: 0.5 }, CLIP);
  assert.equal(decide(decision, scores({ msp: 0.5 }), others(0)), 'in');
  assert.equal(decide(decision, scores({ msp: 0.49 }), others(0)), 'out');
});

test('a calibration leaves a band for review', () => {
  const decision = decisionOf({ calibration: { formatVersion: 1, score: 'atd', in: 0.7, out: 0.3 } }, CLIPN);
  assert.equal(decide(decision, scores({ atd: 0.7 }), others(0)), 'in');
  assert.equal(decide(decision, scores({ atd: 0.3 }), others(0)), 'review');
  assert.equal(decide(decision, scores({ atd: 0.29 }), others(0)), 'out');
});

test('a calibration by class takes the offset of the nearest label from the score', () => {
  const fitted = {
    formatVersion: 3,
    score: 'atd',
    in: 0.5,
    out: 0.5,
    scores: [0.4, 0.5, 0.6],
    offsets: [0, 0.3, -0.2],
  };
  const calibration = fitted as unknown as FittedCalibration;
  const decision = decisionOf({ calibration }, CLIPN);
  const verdicts = [0, 1, 2].map((top) => decide(decision, scores({ atd: 0.6 }), { ...others(0), top }));
  assert.deepEqual(verdicts, ['in', 'out', 'in']);
  const p = [0, 1, 2].map((top) => calibratedPValue(calibration, scores({ atd: 0.6 }), top));
  assert.deepEqual(p, [4 / 4, 1 / 4, 4 / 4]);
});

test('a score without a rule of its own needs a threshold', () => {
  assert.throws(() => decisionOf({ score: 'energy' }, CLIPN), { code: 'ERR_CLIPN_INVALID_ARG' });
});

test('scores of the no tower are refused for a plain CLIP', () => {
  assert.throws(() => decisionOf({}, CLIP), { code: 'ERR_CLIPN_MODEL_CONTRACT' });
});

test('threshold and calibration exclude each other', () => {
  const calibration = { formatVersion: 1, score: 'atd', in: 1, out: 0 } as const;
  assert.throws(() => decisionOf({ threshold: 1, calibration }, CLIPN), { code: 'ERR_CLIPN_INVALID_ARG' });
});

test("the paper's rules warn below 10 labels, a threshold does not", () => {
  assert.match(ruleWarning({ rule: 'atd' }, 9)!, /9 labels.*mislead/);
  assert.equal(ruleWarning({ rule: 'atd' }, 10), undefined);
  assert.equal(ruleWarning({ rule: 'threshold', score: 'atd', threshold: 0 }, 1), undefined);
});

test('the warning for few labels names one thing to do', () => {
  assert.match(ruleWarning({ rule: 'ctw' }, 3)!, /Calibrate on 19 photos of them or more: `clipn-native calibrate`\.$/);
});

test('shares among a single label are refused, for they are 1 whatever the image', () => {
  for (const score of ['msp', 'mcm'] as const) {
    const one = { no: true, words: 0, labels: 1 };
    assert.throws(() => decisionOf({ score, threshold: 0.5 }, one), {
      code: 'ERR_CLIPN_INVALID_ARG',
      message: /is 1 for every image/,
      hint: /'gap'.*calibrate/,
    });
    assert.deepEqual(decisionOf({ score, threshold: 0.5 }, { ...one, labels: 2 }).rule, 'threshold');
  }
});

test('of a plain CLIP with words the nearest decides, of CLIPN where maxLogit is asked for', () => {
  assert.deepEqual(decisionOf({}, { no: false, words: 500 }), { rule: 'nearest' });
  assert.deepEqual(decisionOf({}, { no: true, words: 500 }), { rule: 'atd' });
  assert.deepEqual(decisionOf({ score: 'maxLogit' }, { no: true, words: 500 }), { rule: 'nearest' });
  assert.deepEqual(decisionOf({ threshold: 0.5 }, { no: false, words: 500 }), {
    rule: 'threshold',
    score: 'negLabel',
    threshold: 0.5,
  });
  assert.deepEqual([CLIPN, CLIP, { no: true, words: 9 }].map(defaultScore), ['atd', 'atd', 'atd']);
});

test('the nearest is in exactly when no word is nearer than the nearest label', () => {
  assert.equal(decide({ rule: 'nearest' }, scores({ maxLogit: 25 }), others(0, 25)), 'in');
  assert.equal(decide({ rule: 'nearest' }, scores({ maxLogit: 25 }), others(0, 25.1)), 'out');
  assert.equal(decide({ rule: 'nearest' }, scores({ maxLogit: 25 }), others(0)), 'out');
});

test('scores that compare with words are refused without words, saying what to give', () => {
  for (const score of ['negLabel', 'ole'] as const) {
    assert.throws(() => decisionOf({ score, threshold: 0.5 }, CLIPN), {
      code: 'ERR_CLIPN_INVALID_ARG',
      hint: /'wordnet', a list of words, or a file.*--negatives/,
    });
  }
  const words = { no: false, words: 500 };
  assert.throws(() => decisionOf({ score: 'ole', threshold: 0.5 }, words), { code: 'ERR_CLIPN_MODEL_CONTRACT' });
  assert.throws(() => decisionOf({ score: 'negLabel' }, words), { code: 'ERR_CLIPN_INVALID_ARG' });
});

test('a plain CLIP without words is told that they are the way to a rule', () => {
  assert.throws(() => decisionOf({}, CLIP), { hint: /Give negatives/ });
});

test('few words and other templates are warned of, where words decide', () => {
  const [few, many] = [
    { count: 12, templates: 'a' },
    { count: 12_000, templates: 'a' },
  ];
  const [same, other] = [{ templates: 'a' }, { templates: 'b' }];
  assert.deepEqual(wordWarnings('nearest', many, same), []);
  assert.match(wordWarnings('nearest', few, same).join(), /^12 words: /);
  const byNegLabel = { rule: 'threshold', score: 'negLabel', threshold: 0.5 } as const;
  assert.match(wordWarnings(decidingName(byNegLabel), many, other).join(), /different templates/);
  assert.deepEqual(wordWarnings(decidingName({ rule: 'atd' }), few, other), []);
});
