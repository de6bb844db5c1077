import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { worstImages } from '../../lib/evaluate/examples';
import { acceptedShare, classResults, histogram, recallThreshold } from '../../lib/evaluate/score-figures';

const numbers = (...values: number[]) => Float64Array.from(values);

describe('recallThreshold', () => {
  test('is the highest value that at least 95 % of the scores reach', () => {
    const rising = Float64Array.from({ length: 100 }, (_, i) => i);
    assert.equal(recallThreshold(rising), 5); // 95 of 100 are >= 5
    assert.equal(recallThreshold(rising.slice(0, 20)), 1); // 19 of 20
    assert.equal(recallThreshold(rising.slice(0, 19)), 0); // 18 of 19 would be 94.7 %
    assert.equal(recallThreshold(numbers(3)), 3);
  });

  test('keeps ties together', () => {
    const scores = numbers(...new Array(10).fill(0.2), ...new Array(10).fill(0.9));
    assert.equal(recallThreshold(scores), 0.2);
    assert.equal(acceptedShare(scores, 0.2), 1);
  });
});

describe('histogram', () => {
  test('counts every value once, the ends included, on edges shared by all sets', () => {
    const { edges, id, ood } = histogram(numbers(0, 0.5, 1), { a: numbers(-1, 1), b: numbers(0.25) });
    assert.equal(edges.length, 51);
    assert.deepEqual([edges[0], edges[50]], [-1, 1]);
    const sum = (counts: number[]) => counts.reduce((total, count) => total + count, 0);
    assert.deepEqual([sum(id), sum(ood['a']!), sum(ood['b']!)], [3, 2, 1]);
    assert.deepEqual([ood['a']![0], ood['a']![49], id[25]], [1, 1, 1]);
  });

  test('has a bin for scores that are all equal', () => {
    const { edges, id } = histogram(numbers(2, 2), { a: numbers(2) });
    assert.ok(edges[0]! < 2 && edges[50]! > 2);
    assert.equal(Math.max(...id), 2);
  });
});

test('classResults counts by true label on the ID side and by top label on the OOD side', () => {
  const id = { scores: { atd: numbers(0.9, 0.2, 0.8) }, top: Int32Array.of(0, 1, 0) };
  const ood = [{ scores: { atd: numbers(0.95, 0.1) }, top: Int32Array.of(2, 0) }];
  const results = classResults(['a', 'b', 'c'], Int32Array.of(0, 1, 1), id, ood, 'atd', 0.5);
  assert.deepEqual(results, [
    { label: 'a', images: 1, accuracy: 1, accepted: 1, falseAccepts: 0 },
    { label: 'b', images: 2, accuracy: 0.5, accepted: 0.5, falseAccepts: 0 },
    { label: 'c', images: 0, accuracy: null, accepted: null, falseAccepts: 1 },
  ]);
});

test('worstImages gives the same as sorting everything, for random scores with ties', () => {
  let state = 1;
  const random = () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 16) % 100;
  };
  const draw = (n: number) => Float64Array.from({ length: n }, random);
  const [id, ood] = [draw(500), [draw(300), draw(400)]];
  const { falseAccepts, falseRejects } = worstImages(id, ood, 12);
  const all = ood.flatMap((values, set) => [...values].map((value, i) => ({ set, i, value })));
  assert.deepEqual(falseAccepts, all.toSorted((a, b) => b.value - a.value).slice(0, 12));
  const own = [...id].map((value, i) => ({ set: -1, i, value }));
  assert.deepEqual(falseRejects, own.toSorted((a, b) => a.value - b.value).slice(0, 12));
});
