import assert from 'node:assert/strict';
import { test } from 'node:test';
import imagenet from '../../lib/data/imagenet-classnames.json';
import { lintNames } from '../../lib/labels/lint-names';

const told = (labels: readonly string[]) => lintNames(labels).map((finding) => [finding.kind, ...finding.labels]);

test('names of things give no finding', () => {
  assert.deepEqual(told(['ferry', 'brown bear', 'potter’s wheel', 'go-kart', 'class', 'glasses case', 'gas']), []);
});

test('one name twice is told, whatever its capitals and spaces', () => {
  assert.deepEqual(told(['Cat', 'dog', ' cat ', 'cat']), [['repeated', 'Cat', ' cat ', 'cat']]);
});

for (const label of [
  'a cat',
  'the quick brown fox',
  'Some dogs',
  'it is raining.',
  'what is it?',
  'two people who walk their dogs',
]) {
  test(`${JSON.stringify(label)} is told as no bare name`, () => {
    assert.deepEqual(told(['bus', label]), [['sentence', label]]);
  });
}

for (const label of ['a photo', 'Photos of cats', 'picture', 'stock image', 'screenshots']) {
  test(`${JSON.stringify(label)} is told as speaking of a photo`, () => {
    assert.deepEqual(told(['bus', label]), [['photo', label]]);
  });
}

test('names that only hold the letters of "photo" or "image" are not', () => {
  assert.deepEqual(told(['photocopier', 'imagery', 'epic']), []);
});

test('singular and plural of one name are told, the singular first', () => {
  assert.deepEqual(told(['dogs', 'fox', 'dog', 'foxes', 'strawberry', 'strawberries']), [
    ['plural', 'fox', 'foxes'],
    ['plural', 'dog', 'dogs'],
    ['plural', 'strawberry', 'strawberries'],
  ]);
});

test('a name in another is told, but not part of a word', () => {
  assert.deepEqual(told(['Bear', 'teddy bear', 'bearded dragon', 'bear cub']), [
    ['contains', 'Bear', 'teddy bear'],
    ['contains', 'Bear', 'bear cub'],
  ]);
});

test("of ImageNet's 1000 names only its two repeated ones and names in others are told", () => {
  const kinds = new Map<string, number>();
  for (const { kind } of lintNames(imagenet)) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  // Counted with Python's re over the same list.
  assert.deepEqual(Object.fromEntries(kinds), { repeated: 2, contains: 44 });
});
