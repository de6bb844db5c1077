/** What computes on a GPU, on a real one; where there is none each test is skipped and says what is missing. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { exportModel, type LabelBank, loadModel, type TeachStep, teach } from '../../lib';
import { decodeImage } from '../../lib/images/decode';
import { findImages } from '../../lib/images/find';
import { openCuda } from '../../lib/native/cuda';
import { openEngine } from '../../lib/native/engine';
import { type ScoreResult, scoreOn } from '../../lib/scores/score';
import { smallModel } from '../../lib/weights/small-model';
import { cachedCheckpoint } from '../support/checkpoint-writer';
import { assertRows, encodeImages, encodeText, FP32, type Golden, readGolden, withModel } from '../support/model-file';
import { goldenFile, photos as photoFolder } from '../support/paths';
import { smallestTeaching } from '../support/teaching';

const device = 'cuda';
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-gpu-'));
const small = () => smallModel()!.model;
let lacking: string | null;

before(async () => {
  const cuda = await openCuda(await openEngine());
  lacking = cuda.usable ? null : cuda.reason;
});
after(() => rmSync(folder, { recursive: true }));

const onGpu = (name: string, use: () => Promise<void>) =>
  test(name, async (context: TestContext) => (lacking === null ? await use() : context.skip(lacking)));

const photos = async () => await Promise.all((await findImages([photoFolder])).map((photo) => decodeImage(photo)));

describe('on a GPU', () => {
  onGpu('the towers of a ViT-B/16 give the features of the float64 reference, in fp32', async () => {
    const golden = await readGolden<Golden>('vit-b16.json');
    const file = path.join(folder, 'vit-b16.pt');
    await exportModel(await cachedCheckpoint('ViT-B-16', { optimizer: true }), file);
    const compare = async (model: Parameters<typeof encodeText>[0]) => {
      assertRows(await encodeImages(model, golden.images), golden.image_features, FP32);
      assertRows(await encodeText(model, 'yes', golden.token_ids), golden.text_yes, FP32);
      assertRows(await encodeText(model, 'no', golden.token_ids), golden.text_no, FP32);
    };
    await withModel(file, compare, device);
  });

  onGpu('bf16 and fp16 stay close to fp32', async () => {
    const images = await photos();
    await using full = await loadModel(small(), { device, precision: 'fp32' });
    const expected = await full.encodeImages(images);
    for (const precision of ['bf16', 'fp16'] as const) {
      await using rough = await loadModel(small(), { device, precision });
      const found = await rough.encodeImages(images);
      const { embedDim: d } = rough.info;
      for (let i = 0; i < images.length; i++) {
        let cosine = 0;
        for (let j = i * d; j < (i + 1) * d; j++) cosine += expected[j]! * found[j]!;
        assert.ok(cosine > 0.999, `${precision}, image ${i}: cosine ${cosine}`);
      }
    }
  });

  onGpu('an image is resized there to the pixels that the CPU sees, which are Pillow’s', async () => {
    const images = await photos();
    await using model = await loadModel(small(), { device, precision: 'fp32' });
    const { imageSize: side } = model.info;
    // With pixels wanted, the CPU resizes.
    const { pixels } = await model.encodePixels(images, true, undefined);
    const each = side * side * 3;
    const resized = images.map((_, i) => ({
      data: pixels!.slice(i * each, (i + 1) * each),
      width: side,
      height: side,
      channels: 3 as const,
    }));
    assert.deepEqual(await model.encodeImages(images), await model.encodeImages(resized));
  });

  onGpu('the scores of the worked example are the original code’s', async () => {
    const { expected } = JSON.parse(readFileSync(goldenFile('worked-example.json'), 'utf8')).scoring;
    const rows = (of: number[][]) => Float32Array.from(of.flat());
    const bank: LabelBank = {
      labels: expected.classifier_yes.map((_: unknown, i: number) => `class ${i}`),
      dim: expected.classifier_yes[0].length,
      yes: rows(expected.classifier_yes),
      no: rows(expected.classifier_no),
      templates: { name: 'none', sha256: '', count: 0, lines: [] },
      model: { contentId: '' },
      truncated: [],
      warnings: [],
    };
    await using model = await loadModel(small(), { device, precision: 'fp32' });
    const features = rows(expected.image_features_normalised);
    const found: ScoreResult = await scoreOn(model.lane, features, bank, { scale: 100, topK: 3, device });
    for (const [name, key] of [
      ['ctw', 'id_score_ctw'],
      ['atd', 'id_score_atd'],
      ['msp', 'id_score_msp'],
      ['mcm', 'id_score_mcm_T1'],
      ['maxLogit', 'id_score_maxlogit'],
      ['energy', 'id_score_energy_logsumexp'],
    ] as const) {
      const wanted: number[] = expected.at_scale_100[key];
      wanted.forEach((value, i) => {
        assert.ok(Math.abs(found[name][i]! - value) <= 2e-5, `${name}[${i}]: ${found[name][i]} is not ${value}`);
      });
    }
  });

  onGpu('the sample photos get the verdicts that the CPU gives, alone and in a batch', async () => {
    const labels = ['ferry', 'car', 'piano', 'dalmatian', 'koala'];
    const files = await findImages([photoFolder]);
    const judge = async (where: 'cpu' | 'cuda', oneByOne: boolean) => {
      await using model = await loadModel(small(), { device: where, precision: 'fp32' });
      const detector = await model.createDetector(labels, { labelBank: { cache: false } });
      const results = oneByOne
        ? await Promise.all(files.map((file) => detector.check(file)))
        : await detector.check(files);
      return results.map((result) => ('error' in result ? result.error : [result.verdict, result.label]));
    };
    const expected = await judge('cpu', false);
    assert.deepEqual(await judge(device, false), expected);
    assert.deepEqual(await judge(device, true), expected);
  });

  onGpu('teaching starts with the losses that the CPU has', async () => {
    const { base, data, options } = await smallestTeaching(path.join(folder, 'teaching'));
    const losses = async (where: 'cpu' | 'cuda') => {
      const steps: TeachStep[] = [];
      const out = path.join(folder, `taught-${where}`);
      await teach(base, data, out, { ...options, device: where, onStep: (step) => void steps.push(step) });
      return steps.map(({ total }) => total);
    };
    const expected = await losses('cpu');
    (await losses(device)).forEach((total, i) => {
      assert.ok(Math.abs(total - expected[i]!) <= 1e-4 * expected[i]!, `step ${i + 1}: ${total}, not ${expected[i]}`);
    });
  });
});
