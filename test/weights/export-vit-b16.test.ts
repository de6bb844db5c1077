import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { exportModel } from '../../lib/weights/export';
import { cachedCheckpoint } from '../support/checkpoint-writer';
import { assertRows, encodeImages, encodeText, FP32, type Golden, readGolden, withModel } from '../support/model-file';
import { repository } from '../support/paths';

test('a ViT-B/16 in the published layout agrees with the reference: features, logits, top labels', async (context) => {
  const golden = await readGolden<Golden>('vit-b16.json');
  const folder = await mkdtemp(path.join(tmpdir(), 'clipn-vit-b16-'));
  context.after(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'model.pt');
  await exportModel(await cachedCheckpoint('ViT-B-16', { optimizer: true }), file);
  await withModel(file, async (model) => {
    const images = await encodeImages(model, golden.images);
    const yes = await encodeText(model, 'yes', golden.token_ids);
    const no = await encodeText(model, 'no', golden.token_ids);
    assertRows(images, golden.image_features, FP32);
    assertRows(yes, golden.text_yes, FP32);
    assertRows(no, golden.text_no, FP32);
    const logits = (bank: number[][]) =>
      images.map((f) => bank.map((g) => 100 * f.reduce((sum, value, d) => sum + value * g[d]!, 0)));
    const [a, b] = [logits(yes), logits(no)];
    for (const [found, expected] of [
      [a, golden.logits_yes],
      [b, golden.logits_no],
    ] as const) {
      for (const [i, row] of expected.entries()) {
        for (const [j, value] of row.entries()) assert.ok(Math.abs(found[i]![j]! - value) <= 2e-3, `logit ${i}, ${j}`);
      }
    }
    assert.deepEqual(
      a.map((row) => row.indexOf(Math.max(...row))),
      golden.top_label,
    );
  });
});

test('exporting 1.37 GB of weights and optimizer state keeps at most 1.1 GB resident', async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'clipn-vit-b16-'));
  context.after(() => rm(folder, { recursive: true }));
  const checkpoint = await cachedCheckpoint('ViT-B-16', { optimizer: true });
  assert.ok((await stat(checkpoint)).size > 1.36e9);
  const program = `require('./lib/weights/export').exportModel(...process.argv.slice(1)).then(
    () => console.log(process.resourceUsage().maxRSS),
    (error) => { console.error(error); process.exit(1); })`;
  const child = spawnSync(
    process.execPath,
    ['--import', 'tsx', '--eval', program, checkpoint, path.join(folder, 'model.pt')],
    { cwd: repository, encoding: 'utf8' },
  );
  assert.equal(child.status, 0, child.stderr);
  const kilobytes = Number(child.stdout);
  context.diagnostic(`largest resident set ${(kilobytes / 1024).toFixed(0)} MiB`);
  assert.ok(kilobytes > 0 && kilobytes * 1024 <= 1.1e9, `${kilobytes} KiB`);
});
