import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { duration, Pace } from '../../lib/cli/pace';

/** A pace by a clock that stands at `now.ms`. */
function clocked() {
  const now = { ms: 5000 };
  const pace = new Pace(() => now.ms);
  const images = (done: number, total = 5000) => pace.words({ stage: 'features', done, total, unit: 'images' });
  const sentences = (done: number, total: number) => pace.words({ stage: 'labels', done, total, unit: 'sentences' });
  return { now, images, sentences };
}

describe('a pace', () => {
  test('counts from the first report on: what was done before it took no time', () => {
    const { now, images } = clocked();
    assert.equal(images(1000), '');
    now.ms += 4000;
    // 100 images in 4 s are 25 a second; 3900 are left, for 156 s: more than 2 minutes, told as 3.
    assert.equal(images(1100), ', 25 images/s, 3 min left');
    now.ms += 4000;
    // 3900 in 8 s are 487.5 a second; the last 100 take 0.2 s.
    assert.equal(images(4900), ', 488 images/s, 1 s left');
    assert.equal(images(5000), ', 500 images/s, 0 s left');
  });

  test('has a decimal below ten a second, and groups thousands', () => {
    const { now, images } = clocked();
    images(0);
    now.ms += 2000;
    // 2.5 a second; 4995 are left, for 1998 s = 33.3 min.
    assert.equal(images(5), ', 2.5 images/s, 34 min left');
    assert.equal(images(4000), ', 2,000 images/s, 1 s left');
  });

  test('says nothing within the first second, nor where nothing was done', () => {
    const { now, images } = clocked();
    images(8);
    now.ms += 1000;
    assert.equal(images(16), '');
    now.ms += 1;
    // 8 in 1.001 s; 4984 are left, for 623.6 s = 10.4 min.
    assert.equal(images(16), ', 8.0 images/s, 11 min left');
    const idle = clocked();
    idle.images(8);
    idle.now.ms += 60_000;
    assert.equal(idle.images(8), '');
  });

  test('begins anew with another stage, another total, and a count that went back', () => {
    const { now, images, sentences } = clocked();
    sentences(0, 200);
    now.ms += 2000;
    assert.equal(sentences(100, 200), ', 50 sentences/s, 2 s left');
    assert.equal(sentences(100, 300), '');
    now.ms += 2000;
    assert.equal(sentences(200, 300), ', 50 sentences/s, 2 s left');
    assert.equal(sentences(50, 300), '');
    now.ms += 2000;
    assert.equal(sentences(70, 300), ', 10 sentences/s, 23 s left');
    assert.equal(images(70, 300), '');
  });

  test('keeps nothing of another run', () => {
    const [first, second] = [clocked(), clocked()];
    first.images(0);
    second.now.ms += 10_000;
    assert.equal(second.images(100), '');
  });
});

test('a duration is rounded up, never to a number that its unit does not hold', () => {
  for (const [seconds, words] of [
    [0, '0 s'],
    [0.2, '1 s'],
    [99, '99 s'],
    [99.2, '2 min'],
    [120, '2 min'],
    [120.5, '3 min'],
    [5940, '99 min'],
    [5941, '1 h 40 min'],
    [7140, '1 h 59 min'],
    [7141, '2 h 0 min'],
    [360_000, '100 h 0 min'],
  ] as const) {
    assert.equal(duration(seconds), words, `${seconds} s`);
  }
});
