import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lowest, nearnessToImages, nearnessToLabels, quantile } from '../../lib/scores/mine-negatives';
// By NumPy: test/reference/make_mining_golden.py.
import golden from '../golden/mining.json';

const words = Array.from({ length: golden.cosines_to_labels.length / golden.labels }, (_, i) => `word ${i}`);
/** A row of one number each: which word it was. */
const rows = Float32Array.from(words.keys());

function close(found: ArrayLike<number>, expected: readonly number[]): void {
  assert.equal(found.length, expected.length);
  expected.forEach((value, i) => {
    assert.ok(Math.abs(found[i]! - value) < 1e-12, `${i}: ${found[i]}, not ${value}`);
  });
}

test("NegLabel's nearness of a word is the 95th percentile of its cosines to the labels, as NumPy has it", () => {
  close(nearnessToLabels(Float32Array.from(golden.cosines_to_labels), golden.labels), golden.neg_label.nearness);
});

test('of NegLabel the words of lowest nearness are kept, in that order, with their rows', () => {
  const nearness = nearnessToLabels(Float32Array.from(golden.cosines_to_labels), golden.labels);
  const lowest = new Lowest(golden.neg_label.kept.length);
  // In parts that are no multiple of anything: only the whole counts.
  for (let from = 0; from < words.length; from += 37) {
    const to = from + 37;
    lowest.add(words.slice(from, to), nearness.subarray(from, to), rows.subarray(from, to));
  }
  assert.deepEqual(
    lowest.kept.map(({ row }) => row[0]),
    golden.neg_label.kept,
  );
  assert.deepEqual(
    lowest.kept.map(({ word }) => word),
    golden.neg_label.kept.map((i) => `word ${i}`),
  );
});

test("InterNeg keeps the words that every class's images are further from than from their label, the furthest first", () => {
  const nearness = nearnessToImages(Float32Array.from(golden.cosines_to_images), Float32Array.from(golden.own));
  const lowest = new Lowest(words.length);
  lowest.add(words, nearness, rows);
  assert.deepEqual(
    lowest.kept.map(({ row }) => row[0]),
    golden.inter_neg.kept,
  );
  close(
    lowest.kept.map((each) => -each.nearness),
    golden.inter_neg.gap,
  );
});

test('a word that is exactly as near to an image as the label is not kept', () => {
  assert.ok(Number.isNaN(nearnessToImages(Float32Array.of(0.5, 0.1), Float32Array.of(0.5, 0.9))[0]));
});

test('of words of equal nearness the first are kept', () => {
  const lowest = new Lowest(2);
  lowest.add(['a', 'b'], Float64Array.of(1, 1), Float32Array.of(0, 0));
  lowest.add(['c', 'd'], Float64Array.of(1, 0), Float32Array.of(0, 0));
  assert.deepEqual(
    lowest.kept.map(({ word }) => word),
    ['d', 'a'],
  );
});

test('the quantile of one number is that number', () => {
  assert.equal(quantile(Float32Array.of(0.25), 0.95), 0.25);
});

test('of so few words that their share is none, none is kept', () => {
  const lowest = new Lowest(0);
  lowest.add(['a'], Float64Array.of(0.1), Float32Array.of(1, 0));
  assert.deepEqual(lowest.kept, []);
});
