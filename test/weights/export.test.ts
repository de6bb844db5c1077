import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { readCheckpoint } from '../../lib/weights/checkpoint';
import { type ExportOptions, exportModel } from '../../lib/weights/export';
import { writeCheckpoint } from '../support/checkpoint-writer';
import { unzip } from '../support/damage';
import {
  assertRows,
  encodeImages,
  encodeText,
  FP32,
  type Golden,
  readGolden,
  unit,
  withModel,
} from '../support/model-file';
import { clipTokenizer } from '../support/paths';
import { NETWORKS } from '../support/seeded-weights';
import { tinyTokenizer } from '../support/tiny-model';
import { zip } from '../support/zip';

const { tiny } = NETWORKS;

interface TinyForward {
  config: { vision_cfg: object; text_cfg: object };
  inputs: { token_ids: number[][] };
  expected: { text_yes_raw: number[][]; text_no_raw_mean_prompt: number[][] };
}

let folder: string;
let checkpoint: string;
let tinyForward: TinyForward;
let options: ExportOptions;
const at = (name: string): string => path.join(folder, name);

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'clipn-export-'));
  tinyForward = await readGolden('tiny-forward.json');
  checkpoint = at('tiny.pt');
  await writeCheckpoint(checkpoint, tiny, { scheme: 'flat', optimizer: true });
  await writeFile(at('config.json'), JSON.stringify(tinyForward.config));
  await writeFile(at('tokenizer.json'), tinyTokenizer());
  options = { config: at('config.json'), tokenizer: at('tokenizer.json') };
});
after(() => rm(folder, { recursive: true }));

test('an exported checkpoint gives the text features of the original network', async () => {
  const file = at('model.pt');
  await exportModel(checkpoint, file, options);
  await withModel(file, async (model) => {
    const { token_ids: ids } = tinyForward.inputs;
    const { text_yes_raw: yes, text_no_raw_mean_prompt: no } = tinyForward.expected;
    assertRows(await encodeText(model, 'yes', ids), yes.map(unit), FP32);
    assertRows(await encodeText(model, 'no', ids), no.map(unit), FP32);
  });
});

test('an exported checkpoint gives the image and text features of the reference', async () => {
  const golden = await readGolden<Golden>('tiny-rgb.json');
  const file = at('model.pt');
  await exportModel(checkpoint, file, options);
  await withModel(file, async (model) => {
    assertRows(await encodeImages(model, golden.images), golden.image_features, FP32);
    assertRows(await encodeText(model, 'yes', golden.token_ids), golden.text_yes, FP32);
    assertRows(await encodeText(model, 'no', golden.token_ids), golden.text_no, FP32);
    const short = golden.token_ids.map((row) =>
      row.slice(0, 1 + Math.max(...golden.token_ids.map((ids) => ids.indexOf(39)))),
    );
    assertRows(await encodeText(model, 'no', short), golden.text_no, FP32);
  });
});

test('MLPs of other widths than 4 times the tower give the features of the reference', async () => {
  const golden = await readGolden<Golden>('odd-mlp.json');
  const network = { ...tiny, visionMlp: 172, textMlp: 52 };
  const { vision_cfg, text_cfg, ...rest } = tinyForward.config;
  const vision = { ...vision_cfg, mlp_ratio: 2.7 };
  const ratios = { ...rest, vision_cfg: vision, text_cfg: { ...text_cfg, mlp_ratio: 3.3 } };
  await writeFile(at('ratios.json'), JSON.stringify(ratios));
  const file = at('odd-mlp.pt');
  await writeCheckpoint(at('odd-mlp-checkpoint.pt'), network, { scheme: 'flat' });
  const { architecture } = await exportModel(at('odd-mlp-checkpoint.pt'), file, {
    ...options,
    config: at('ratios.json'),
  });
  assert.deepEqual([architecture.visionMlp, architecture.textMlp], [172, 52]);
  await withModel(file, async (model) => {
    assertRows(await encodeImages(model, golden.images), golden.image_features, FP32);
    assertRows(await encodeText(model, 'yes', golden.token_ids), golden.text_yes, FP32);
    assertRows(await encodeText(model, 'no', golden.token_ids), golden.text_no, FP32);
  });
});

test('the model file says what it is', async () => {
  const returned = await exportModel(checkpoint, at('model.pt'), options);
  await withModel(at('model.pt'), async ({ config, tokenizerJson, methods }) => {
    assert.deepEqual(config, returned);
    assert.equal(tokenizerJson, tinyTokenizer());
    assert.equal(methods, 15);
    assert.equal(config.kind, 'clipn');
    assert.deepEqual(config.architecture, {
      ...tiny,
      visionHeads: 4,
      textHeads: 4,
      visionMlp: 4 * 64,
      textMlp: 4 * 16,
      activation: 'gelu',
    });
    assert.deepEqual([config.sot, config.eot, config.contextLength, config.scale], [38, 39, 12, 100]);
    assert.ok(Math.abs(config.trainedScale - 100) < 1e-4);
    assert.equal(config.source.fileName, 'tiny.pt');
    assert.deepEqual(config.mean, [0.48145466, 0.4578275, 0.40821073]);
  });
});

test('an image-only model needs no tokenizer, has no text tower and keeps the content id', async () => {
  const full = await exportModel(checkpoint, at('model.pt'), options);
  const image = await exportModel(checkpoint, at('image.pt'), { config: at('config.json'), imageOnly: true });
  assert.equal(image.contentId, full.contentId);
  assert.ok((await stat(at('image.pt'))).size < (await stat(at('model.pt'))).size);
  await withModel(at('image.pt'), async ({ methods, tokenizerJson }) => {
    assert.equal(methods, 3);
    assert.equal(tokenizerJson, '');
  });
});

test('a plain CLIP has no "no" tower', async () => {
  await writeCheckpoint(at('clip.bin'), tiny, { scheme: 'flat', kind: 'clip' });
  await exportModel(at('clip.bin'), at('clip.pt'), options);
  await withModel(at('clip.pt'), async ({ methods, config }) => {
    assert.equal(methods, 7);
    assert.equal(config.kind, 'clip');
  });
});

for (const [dtype, tolerance] of [
  ['fp16', 2e-3],
  ['bf16', 1.5e-2],
] as const) {
  test(`${dtype} weights halve the file, have their own content id and stay within that precision`, async () => {
    const golden = await readGolden<Golden>('tiny-rgb.json');
    const full = await exportModel(checkpoint, at('model.pt'), options);
    const half = await exportModel(checkpoint, at('half.pt'), { ...options, dtype });
    assert.notEqual(half.contentId, full.contentId);
    assert.ok((await stat(at('half.pt'))).size < 0.6 * (await stat(at('model.pt'))).size);
    await withModel(at('half.pt'), async (model) => {
      assertRows(await encodeImages(model, golden.images), golden.image_features, tolerance);
    });
  });
}

test('QuickGELU changes the features and the content id', async () => {
  const golden = await readGolden<Golden>('tiny-rgb.json');
  const exact = await exportModel(checkpoint, at('model.pt'), options);
  const quick = await exportModel(checkpoint, at('quick.pt'), { ...options, act: 'quickgelu' });
  assert.equal(quick.architecture.activation, 'quickgelu');
  assert.notEqual(quick.contentId, exact.contentId);
  await withModel(at('quick.pt'), async (model) => {
    const found = await encodeImages(model, golden.images);
    assert.throws(() => assertRows(found, golden.image_features, 1e-3));
  });
});

test('a vocabulary other than CLIP’s own needs its tokenizer', async () => {
  await assert.rejects(exportModel(checkpoint, at('none.pt'), { config: at('config.json') }), {
    code: 'ERR_CLIPN_TOKENIZER',
    message: /40 tokens/,
    hint: /--tokenizer/,
  });
  assert.equal(existsSync(at('none.pt')), false);
});

test('a tokenizer of another size is refused', async () => {
  await assert.rejects(exportModel(checkpoint, at('none.pt'), { ...options, tokenizer: clipTokenizer }), {
    code: 'ERR_CLIPN_TOKENIZER',
    message: /49408 tokens.*embedding 40/,
  });
});

test('a checkpoint is never overwritten by its own model file', async () => {
  const before = await readFile(checkpoint);
  await assert.rejects(exportModel(checkpoint, checkpoint, options), { code: 'ERR_CLIPN_INVALID_ARG' });
  assert.deepEqual(await readFile(checkpoint), before);
});

test('a NaN among the weights is refused by the name of its tensor, and no file is left', async () => {
  const spoilt = at('nan.pt');
  await writeCheckpoint(spoilt, tiny, { scheme: 'flat' });
  const { tensors } = await readCheckpoint(spoilt);
  const bytes = await readFile(spoilt);
  bytes.writeFloatLE(Number.NaN, tensors.get('visual.proj')!.offset + 8);
  await writeFile(spoilt, zip(unzip(bytes))); // with its checksum
  const files = (await readdir(folder)).length;
  await assert.rejects(exportModel(spoilt, at('none.pt'), options), {
    code: 'ERR_CLIPN_CHECKPOINT_FORMAT',
    message: /visual\.proj holds a NaN/,
  });
  assert.equal((await readdir(folder)).length, files);
});

test('a target folder that does not exist is named', async () => {
  await assert.rejects(exportModel(checkpoint, at('no-such-folder/model.pt'), options), {
    code: 'ERR_CLIPN_IO',
    message: /no-such-folder/,
  });
});

test('an aborted export rejects with the signal’s reason and leaves no file', async () => {
  const controller = new AbortController();
  const reason = new Error('enough');
  const onProgress = () => controller.abort(reason);
  const work = exportModel(checkpoint, at('aborted.pt'), { ...options, signal: controller.signal, onProgress });
  await assert.rejects(work, (error) => error === reason);
  assert.ok(!(await readdir(folder)).some((file) => file.includes('aborted')));
});

test('progress grows to its total in each stage', async () => {
  const seen: { stage: string; done: number; total: number }[] = [];
  await exportModel(checkpoint, at('model.pt'), { ...options, onProgress: (progress) => seen.push(progress) });
  for (const stage of ['hash', 'write']) {
    const steps = seen.filter((step) => step.stage === stage);
    const done = steps.map((step) => step.done);
    assert.deepEqual(
      done,
      [...done].sort((a, b) => a - b),
    );
    assert.equal(done.at(-1), steps.at(-1)!.total);
  }
});
