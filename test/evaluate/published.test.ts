import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publishedNumbers } from '../../lib/evaluate/published';

const four = { iNaturalist: 10_000, SUN: 10_000, Places: 10_000, Textures: 5640 };

test("the paper's sets, whatever their case, get the published numbers as fractions", () => {
  const ood = { inaturalist: 10_000, sun: 10_000, PLACES: 10_000, textures: 5640 };
  const rows = publishedNumbers(true, { id: 50_000, ood });
  const mean = rows.filter(({ source, score }) => source.endsWith('mean of three') && score === 'atd');
  // Spec 6.1.
  assert.deepEqual(
    mean.map(({ set, auroc, fpr95 }) => [set, auroc, fpr95]),
    [
      ['inaturalist', 0.962, 0.1911],
      ['sun', 0.9418, 0.2569],
      ['textures', 0.9081, 0.4091],
      ['PLACES', 0.9262, 0.3211],
      ['average', 0.9345, 0.2946],
    ],
  );
});

test('other labels, another number of ID images, or a set of another size get none', () => {
  assert.deepEqual(publishedNumbers(false, { id: 50_000, ood: four }), []);
  assert.deepEqual(publishedNumbers(true, { id: 49_999, ood: four }), []);
  const sets = (ood: Record<string, number>) => [
    ...new Set(publishedNumbers(true, { id: 50_000, ood }).map(({ set }) => set)),
  ];
  assert.deepEqual(sets({ ...four, Textures: 5641 }), ['iNaturalist', 'SUN', 'Places']);
  assert.deepEqual(sets({ Flowers: 10_000 }), []);
});

test('the average stands only beside exactly the four sets', () => {
  const averages = (ood: Record<string, number>) =>
    publishedNumbers(true, { id: 50_000, ood }).filter(({ set }) => set === 'average').length;
  assert.ok(averages(four) > 0);
  assert.equal(averages({ ...four, NINCO: 5879 }), 0);
});

test('the means of the three repeats are those of the numbers that are listed', () => {
  const rows = publishedNumbers(true, { id: 50_000, ood: four });
  for (const score of ['ctw', 'atd']) {
    for (const set of Object.keys(four)) {
      const of = (what: string) =>
        rows.filter((row) => row.score === score && row.set === set && row.source.includes(what));
      for (const metric of ['auroc', 'fpr95'] as const) {
        const mean = of('repeat').reduce((sum, row) => sum + row[metric], 0) / 3;
        assert.ok(Math.abs(mean - of('mean of three')[0]![metric]) < 1.01e-4, `${score} ${set} ${metric}`);
      }
    }
  }
});
