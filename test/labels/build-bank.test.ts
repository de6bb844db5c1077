import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { assertBankFits } from '../../lib/labels/bank';
import {
  addLabels,
  buildLabelBank,
  type LabelProgress,
  removeLabels,
  type TextTowers,
} from '../../lib/labels/build-bank';
import { animals, assertRow, DIM, expectedRow, fakeTowers, templates } from '../support/fake-towers';

let towers = fakeTowers();
beforeEach(() => {
  towers = fakeTowers();
});

test('a row is the normalised sum of the unit vectors of all templates, for both towers', async () => {
  const bank = await buildLabelBank(towers, animals, { templates });
  assert.deepEqual(bank.labels, animals);
  assert.equal(bank.dim, DIM);
  animals.forEach((label, row) => {
    assertRow(bank.yes, row, expectedRow('yes', label, templates.templates));
    assertRow(bank.no, row, expectedRow('no', label, templates.templates));
  });
  assert.deepEqual(bank.warnings, []);
});

test('rows do not depend on which sentences share a call', async () => {
  const many = Array.from({ length: 700 }, (_, i) => `thing ${i} ${'very '.repeat(i % 30)}big`);
  const bank = await buildLabelBank(towers, many, { templates });
  for (const row of [0, 29, 341, 699]) assertRow(bank.yes, row, expectedRow('yes', many[row]!, templates.templates));
});

test('the default templates are the 128 of CLIPN', async () => {
  const { templates: used } = await buildLabelBank(towers, ['cat', 'dog']);
  assert.deepEqual([used.name, used.count], ['clipn', 128]);
});

test('sentences are encoded in batches that are padded little', async () => {
  await buildLabelBank(towers, ['cat', 'dog'], { templates: 'clipn' });
  const yes = towers.calls.filter(({ tower }) => tower === 'yes');
  assert.deepEqual(
    yes.map(({ n }) => n),
    [64, 64, 64, 64],
  );
  assert.ok(yes.every(({ l }) => l <= 24 && l % 8 === 0));
});

test('a plain CLIP gives a bank without no rows', async () => {
  const bank = await buildLabelBank(fakeTowers({ hasNo: false }), animals, { templates });
  assert.equal(bank.no, null);
});

test('progress reaches the total', async () => {
  const seen: LabelProgress[] = [];
  await buildLabelBank(towers, animals, { templates, onProgress: (progress) => seen.push(progress) });
  assert.deepEqual(seen.at(-1), { stage: 'labels', done: 9, total: 9 });
});

test('an aborted build rejects with the reason and encodes no further', async () => {
  const controller = new AbortController();
  const reason = new Error('enough');
  const onProgress = (): void => controller.abort(reason);
  await assert.rejects(
    buildLabelBank(towers, animals, { templates: 'clipn', onProgress, signal: controller.signal }),
    reason,
  );
  assert.equal(towers.calls.length, 2);
});

test('one label is allowed with a warning', async () => {
  const { warnings } = await buildLabelBank(towers, ['cat'], { templates });
  assert.match(warnings.join(), /softmax scores .* are constant/);
});

test('a repeated label stays a row of its own, equal to the last bit, with a warning', async () => {
  const bank = await buildLabelBank(towers, ['cat', 'dog', 'cat'], { templates });
  assert.deepEqual(bank.labels, ['cat', 'dog', 'cat']);
  assert.deepEqual(bank.yes.slice(2 * DIM), bank.yes.slice(0, DIM));
  assert.match(bank.warnings.join(), /"cat" is given more than once/);
});

test('a label longer than the context is cut, and the warning names it', async () => {
  const long = 'dog '.repeat(80).trim();
  const bank = await buildLabelBank(towers, ['cat', long], { templates });
  assert.deepEqual(bank.truncated, [1]);
  assert.match(bank.warnings.join(), /"dog dog .*" is longer than the model's context/);
});

const wrong: [string, unknown, RegExp][] = [
  ['no label', [], /no labels/],
  ['an empty label', ['cat', ''], /label 1 /],
  ['a label of white space', ['cat', 'dog', ' \u3000'], /label 2 /],
  ['a label that is not a string', [7], /label 0 .*number/],
  ['a special token in a label', ['cat', 'a <|endoftext|>'], /special token/],
];
for (const [what, labels, message] of wrong) {
  test(`${what} is refused before anything is encoded`, async () => {
    await assert.rejects(buildLabelBank(towers, labels as string[]), { code: 'ERR_CLIPN_LABELS', message });
    assert.equal(towers.calls.length, 0);
  });
}

test('a tower that returns too few or no finite numbers breaks the contract', async () => {
  const code = { code: 'ERR_CLIPN_MODEL_CONTRACT' };
  const short = fakeTowers({ encodeText: async () => new Float32Array(2) });
  await assert.rejects(buildLabelBank(short, animals, { templates }), code);
  const nan = fakeTowers({ encodeText: async (_tower, _ids, n) => new Float32Array(n * DIM).fill(Number.NaN) });
  await assert.rejects(buildLabelBank(nan, animals, { templates }), code);
});

test('adding labels encodes only those and gives the rows of a full build', async () => {
  const bank = await buildLabelBank(towers, animals, { templates });
  towers.calls.length = 0;
  const more = await addLabels(towers, bank, ['horse']);
  assert.deepEqual(
    towers.calls.map(({ tower, n }) => [tower, n]),
    [
      ['yes', 3],
      ['no', 3],
    ],
  );
  assert.deepEqual(more.labels, [...animals, 'horse']);
  assertRow(more.yes, 2, expectedRow('yes', 'dog', templates.templates));
  assertRow(more.no, 3, expectedRow('no', 'horse', templates.templates));
});

test('adding a label that is there already warns', async () => {
  const bank = await addLabels(towers, await buildLabelBank(towers, animals, { templates }), ['dog']);
  assert.match(bank.warnings.join(), /"dog" is given more than once/);
});

test('the warning of a cut label stays with its name when labels are added and removed', async () => {
  const long = 'dog '.repeat(80).trim();
  const more = await addLabels(towers, await buildLabelBank(towers, animals, { templates }), ['horse', long]);
  assert.deepEqual(more.truncated, [4]);
  assert.deepEqual(removeLabels(more, ['cat', 'horse']).truncated, [2]);
});

test('removing labels keeps the other rows and drops their warnings', async () => {
  const bank = await buildLabelBank(towers, ['cat', 'dog', 'cat', 'horse'], { templates });
  const fewer = removeLabels(bank, ['cat']);
  assert.deepEqual(fewer.labels, ['dog', 'horse']);
  assertRow(fewer.yes, 0, expectedRow('yes', 'dog', templates.templates));
  assertRow(fewer.no, 1, expectedRow('no', 'horse', templates.templates));
  assert.deepEqual(fewer.warnings, []);
});

test('removing an unknown label, or all, is refused', async () => {
  const bank = await buildLabelBank(towers, animals, { templates });
  assert.throws(() => removeLabels(bank, ['Dog']), { code: 'ERR_CLIPN_LABELS', message: /"Dog"/ });
  assert.throws(() => removeLabels(bank, animals), { code: 'ERR_CLIPN_LABELS' });
});

test('a bank is refused for another model, and what differs is said', async () => {
  const bank = await buildLabelBank(towers, animals, { templates });
  const cases: [Partial<TextTowers>, RegExp][] = [
    [{ contentId: 'model-b' }, /contentId.*bank model-a, model model-b/],
    [{ dim: 7 }, /dim.*bank 6, model 7/],
  ];
  for (const [change, message] of cases) {
    const other = fakeTowers(change);
    assert.throws(() => assertBankFits(bank, other), { code: 'ERR_CLIPN_BANK_MISMATCH', message });
    await assert.rejects(addLabels(other, bank, ['horse']), { code: 'ERR_CLIPN_BANK_MISMATCH', message });
  }
});
