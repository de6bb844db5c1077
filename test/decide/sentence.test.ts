import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Facts, sentenceOf } from '../../lib/decide/sentence';

const cat = { label: 'cat', p: 0.9, pYes: 0.12 };
const says = (facts: Partial<Facts>, sentence: string) =>
  assert.equal(sentenceOf({ ...cat, verdict: 'out', rule: 'atd', ...facts }), sentence);

describe('by the paper’s rules', () => {
  test('ctw compares yes with no for the nearest class', () => {
    says({ rule: 'ctw' }, 'Looks most like “cat” (p_yes 12 %), but no is likelier than yes: none of your classes.');
    says(
      { rule: 'ctw', verdict: 'in', pYes: 0.5 },
      'Looks most like “cat” (p_yes 50 %), and yes is at least as likely as no.',
    );
  });

  test('atd compares the likeliest class with none of them', () => {
    says(
      { none: 0.692, bestLabel: 0.1498 },
      'Looks most like “cat” (p_yes 12 %), but “none of your classes” (69 %) is likelier than the best of them (15 %).',
    );
    says(
      { verdict: 'in', none: 0.4063, bestLabel: 0.4074 },
      'Looks most like “cat” (p_yes 12 %), and your best class (40.7 %) is at least as likely as none of them (40.6 %).',
    );
  });
});

describe('by words', () => {
  test('the nearest word is named, whoever is nearer', () => {
    const words = { rule: 'nearest', pYes: Number.NaN, nearestWord: 'harbour' } as const;
    says(
      words,
      'Looks most like “cat” among your classes (p 90 %), but the word “harbour” is nearer: none of your classes.',
    );
    says(
      { ...words, verdict: 'in' },
      'Looks most like “cat” (p 90 %), and no other word is nearer (the nearest is “harbour”).',
    );
  });

  test('beside another rule it is named where the image is none of the classes', () => {
    const rule = { rule: 'ctw', nearestWord: 'harbour' } as const;
    assert.match(
      sentenceOf({ ...cat, verdict: 'out', ...rule }),
      /none of your classes \(nearest word: “harbour”\)\.$/,
    );
    assert.doesNotMatch(sentenceOf({ ...cat, verdict: 'in', ...rule }), /harbour/);
  });
});

describe('by a threshold', () => {
  const margin = { score: 'atd', value: 0.31234, threshold: 0.5 };

  test('the score stands beside it', () => {
    says(
      { rule: 'threshold', margin },
      'Looks most like “cat” (p_yes 12 %), but its score (atd 0.312) is below the threshold of 0.5: none of your classes.',
    );
    says(
      { rule: 'threshold', verdict: 'in', margin: { ...margin, value: 0.5 } },
      'Looks most like “cat” (p_yes 12 %), and its score (atd 0.5) reaches the threshold of 0.5.',
    );
  });

  test('two numbers that differ are written so that they differ', () => {
    const close = { ...margin, value: 0.4999951 };
    assert.match(
      sentenceOf({ ...cat, verdict: 'out', rule: 'threshold', margin: close }),
      /atd 0\.499995\).* of 0\.5:/,
    );
  });

  test('a score below 1 is not written as 1', () => {
    const high = { score: 'ctw', value: 0.99951, threshold: 0.5 };
    assert.match(sentenceOf({ ...cat, verdict: 'in', rule: 'threshold', margin: high }), /ctw 0\.9995\) reaches/);
  });

  test('a calibration tells how its own images score', () => {
    says(
      { rule: 'calibrated', margin: { ...margin, rank: { images: 200, lower: 6, higher: 194 } } },
      'Looks most like “cat” (p_yes 12 %), but 97 % of your 200 calibration images score higher, and its score (atd 0.312) ' +
        'is below the threshold of 0.5: none of your classes.',
    );
    const ranked = (lower: number) =>
      sentenceOf({
        ...cat,
        verdict: 'in',
        rule: 'calibrated',
        margin: { ...margin, rank: { images: 200, lower, higher: 0 } },
      });
    assert.match(ranked(1), /: under 1 % of your 200 calibration images score lower\.$/);
    assert.match(ranked(199), /: over 99 % of your 200 calibration images score lower\.$/);
    assert.match(ranked(0), /: none of your 200 calibration images scores lower\.$/);
    assert.match(ranked(200), /: all of your 200 calibration images score lower\.$/);
  });

  test('between two thresholds a person should look', () => {
    says(
      { rule: 'calibrated', verdict: 'review', margin: { ...margin, outBelow: 0.3 } },
      'Looks most like “cat” (p_yes 12 %), but its score (atd 0.312) lies between your two thresholds, 0.3 and 0.5: a person should look.',
    );
  });

  test('below both of them the lower one is named', () => {
    const low = { ...margin, value: 0.1, outBelow: 0.3 };
    assert.match(
      sentenceOf({ ...cat, verdict: 'out', rule: 'calibrated', margin: low }),
      /below the threshold of 0\.3:/,
    );
  });
});

test('an image that carries nothing to judge is said to', () => {
  const sentence = sentenceOf({ ...cat, verdict: 'out', rule: 'ctw', remark: 'the image is tiny' });
  assert.match(sentence, /none of your classes\. \(The image is tiny, so this means little\.\)$/);
});
