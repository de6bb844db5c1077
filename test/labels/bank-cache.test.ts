import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { cacheDir } from '../../lib/base/cache-dir';
import type { LabelBank } from '../../lib/labels/bank';
import { cachedLabelBank, cachedSelection } from '../../lib/labels/bank-cache';
import { buildLabelBank, type TextTowers } from '../../lib/labels/build-bank';
import { makeTemplateSet } from '../../lib/text/templates';
import { animals, assertRow, type Call, expectedRow, fakeTowers, templates, tokenizer } from '../support/fake-towers';

const folder = mkdtempSync(join(tmpdir(), 'clipn-banks-'));
process.env['CLIPN_CACHE_DIR'] = join(folder, 'cache');
after(() => rmSync(folder, { recursive: true }));

let towers = fakeTowers();
beforeEach(() => {
  towers = fakeTowers();
  rmSync(join(folder, 'cache'), { recursive: true, force: true });
});

const cached = (with_: TextTowers, labels: string[], set = templates): Promise<LabelBank> =>
  cachedLabelBank(with_, labels, { templates: set });

test('a bank asked for again comes from the cache', async () => {
  const first = await cached(towers, animals);
  towers.calls.length = 0;
  assert.deepEqual(await cached(towers, animals), first);
  assert.equal(towers.calls.length, 0);
});

test('a longer or reordered list costs only its new names', async () => {
  await cached(towers, animals);
  towers.calls.length = 0;
  const labels = ['zebra', ...[...animals].reverse()];
  const bank = await cached(towers, labels);
  assert.deepEqual(
    towers.calls.map(({ tower, n }) => [tower, n]),
    [
      ['yes', templates.templates.length],
      ['no', templates.templates.length],
    ],
  );
  assert.deepEqual(bank, await buildLabelBank(fakeTowers(), labels, { templates }));
});

test('another model, tokenizer, template or label is encoded anew', async () => {
  await cached(towers, animals);
  const others: [TextTowers & { calls: Call[] }, string[], typeof templates][] = [
    [fakeTowers({ contentId: 'model-b' }), animals, templates],
    [fakeTowers({ tokenizer: { ...tokenizer, sha256: 'other' } }), animals, templates],
    [fakeTowers(), animals, makeTemplateSet('own', ['a {}'])],
    [fakeTowers(), ['cat', 'great white', 'shark dog'], templates],
  ];
  for (const [other, labels, set] of others) {
    await cached(other, labels, set);
    assert.ok(other.calls.length > 0);
  }
});

test('a spoilt cache file is made again, and the bank says so', async () => {
  const { warnings: before } = await cached(towers, animals);
  const files = readdirSync(join(cacheDir(), 'banks'), { recursive: true }) as string[];
  const [file] = files.filter((name) => name.endsWith('.safetensors'));
  writeFileSync(join(cacheDir(), 'banks', file!), 'garbage');
  const bank = await cached(towers, animals);
  assert.deepEqual(before, []);
  assert.match(bank.warnings.join(), /cached label bank could not be used .* header is cut short/);
  assertRow(bank.yes, 2, expectedRow('yes', 'dog', templates.templates));
  assert.deepEqual((await cached(towers, animals)).warnings, []);
});

test('a cache that cannot be written is a warning, not a failure', async () => {
  writeFileSync(join(folder, 'cache'), 'a file where the folder should be');
  const bank = await cached(towers, animals);
  assert.match(bank.warnings.join(), /was not cached/);
});

test('a selection is chosen once for what decides it, and anew for anything else or when its file is spoilt', async () => {
  let chosen = 0;
  const select = (key: unknown, model = towers) =>
    cachedSelection(model, templates, key, async () => {
      chosen++;
      return await buildLabelBank(model, ['dog', 'cat'], { templates });
    });
  rmSync(join(folder, 'cache'), { recursive: true, force: true });
  const first = await select(['rule', 1]);
  assert.deepEqual(await select(['rule', 1]), first);
  assert.equal(chosen, 1);
  await select(['rule', 2]);
  await select(['rule', 1], fakeTowers({ contentId: 'model-b' }));
  assert.equal(chosen, 3);
  const files = readdirSync(join(cacheDir(), 'banks'), { recursive: true }) as string[];
  for (const file of files.filter((name) => name.endsWith('.safetensors'))) {
    writeFileSync(join(cacheDir(), 'banks', file), 'garbage');
  }
  assert.match((await select(['rule', 1])).warnings.join(), /could not be used and was made again/);
  assert.equal(chosen, 4);
});
