import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { builtLibrary } from '../support/built';
import { cachedCheckpoint } from '../support/checkpoint-writer';
import { assertRows, encodeImages, encodeText, FP32, type Golden, readGolden, withModel } from '../support/model-file';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-vit-b16-'));
const file = path.join(folder, 'model.pt');
let checkpoint: string;
let residentBytes: number;

/** Exported once, in a process of its own, whose memory is looked at. */
before(async () => {
  checkpoint = await cachedCheckpoint('ViT-B-16', { optimizer: true });
  const program = `require(process.argv[1]).exportModel(process.argv[2], process.argv[3]).then(
    () => console.log(1024 * process.resourceUsage().maxRSS),
    (error) => { console.error(error); process.exit(1); })`;
  const args = ['--eval', program, builtLibrary(), checkpoint, file];
  residentBytes = Number((await promisify(execFile)(process.execPath, args)).stdout);
});
after(() => rmSync(folder, { recursive: true }));

test('a ViT-B/16 in the published layout agrees with the reference: features, logits, top labels', async () => {
  const golden = await readGolden<Golden>('vit-b16.json');
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

test('exporting 1.37 GB of weights and optimizer state keeps at most 1.1 GB resident', (context) => {
  assert.ok(statSync(checkpoint).size > 1.36e9);
  context.diagnostic(`largest resident set ${(residentBytes / 2 ** 20).toFixed(0)} MiB`);
  assert.ok(residentBytes > 0 && residentBytes <= 1.1e9, `${residentBytes} bytes`);
});
