import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupNegatives } from '../../lib/scores/negatives';

const words = (count: number) => Array.from({ length: count }, (_, i) => `word ${i}`);

test('groups do not depend on the order of the list, and hold every word once', () => {
  const list = words(1234);
  const { groups, dropped } = groupNegatives(list, []);
  assert.deepEqual(groupNegatives(list.toReversed(), []), { groups, dropped });
  assert.deepEqual(groups.flat().sort(), list.toSorted());
  assert.equal(groups.length, 100);
  const sizes = groups.map(({ length }) => length);
  assert.deepEqual([Math.min(...sizes), Math.max(...sizes)], [12, 13]);
});

test('the grouping is this one: it is part of every result', () => {
  // By Python's hashlib: sorted by SHA-256, then dealt in turn.
  assert.deepEqual(groupNegatives(['tree', 'car', 'apple', 'orange'], []).groups, [['orange', 'car', 'apple', 'tree']]);
  const first = [16, 10, 19, 3, 14, 17, 7, 6, 11, 9];
  const second = [4, 8, 15, 13, 12, 5, 2, 18, 0, 1];
  const named = [first, second].map((group) => group.map((i) => `word ${i}`));
  assert.deepEqual(groupNegatives(words(20), []).groups, named);
});

test('labels among the words and repeated words are dropped, in any case and spacing', () => {
  const { groups, dropped } = groupNegatives(['Cat', 'cat', ' Dog ', 'oak', 'Oak', 'oak  '], ['cat', 'dog']);
  assert.deepEqual([groups, dropped], [[['oak']], 5]);
});

test('an empty word and a list of labels alone are refused', () => {
  assert.throws(() => groupNegatives(['oak', ' '], []), { code: 'ERR_CLIPN_LABELS' });
  assert.throws(() => groupNegatives(['cat'], ['cat']), { code: 'ERR_CLIPN_LABELS' });
});
