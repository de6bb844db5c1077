/**
 * A guarded detector against one in fp32: the real small model, with whatever first tower this CPU has. A CPU that runs int8
 * without instructions for it, too slowly for a first tower, has one here: its answers are the same.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import {
  type CheckFailure,
  type CheckResult,
  calibrate,
  type DetectorOptions,
  describeCore,
  fitLabelThresholds,
  type LabelBank,
  loadModel,
  type Model,
  readCalibration,
  saveCalibration,
} from '../../lib';
import { drawings } from '../../lib/images/drawings';
import { findImages } from '../../lib/images/find';
import type { ImageInput } from '../../lib/images/image-input';
import { drawnMargins } from '../../lib/model/guard';
import { modelInfo } from '../../lib/model/info';
import { openEngine } from '../../lib/native/engine';
import { exportModel } from '../../lib/weights/export';
import { smallModel } from '../../lib/weights/small-model';
import { apiModel } from '../support/api-model';
import { writeCheckpoint } from '../support/checkpoint-writer';
import { repository } from '../support/paths';
import { SMALLEST, smallestFiles } from '../support/tiny-model';

const LABELS = ['dog', 'cat', 'car', 'bus', 'bird', 'flower', 'boat', 'chair', 'tree', 'cup', 'horse', 'shoe'];
const NO_CACHE = { cache: false, templates: 'plain' };
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-guard-'));
let exact: Model;
let model: Model;
let bank: LabelBank;
let photos: string[];
/** Photos, and drawn images that no margin was measured on. */
let images: ImageInput[];

before(async () => {
  const file = smallModel()!.model;
  const { core, addon } = await openEngine();
  core.cpuInt8 ||= !core.cpuBf16 && addon.int8Absence() === '';
  exact = await loadModel(file, { device: 'cpu' });
  model = await loadModel(file, { device: 'cpu', precision: 'guarded' });
  bank = await exact.createLabelBank(LABELS, NO_CACHE);
  photos = await findImages([path.join(repository, 'models/small/photos')]);
  images = [...photos, ...drawings(5)];
});
after(async () => {
  await model.close();
  await exact.close();
  rmSync(folder, { recursive: true });
});

const onGuarded = (name: string, use: () => Promise<void>) =>
  test(name, async (context: TestContext) =>
    model.info.first === null ? context.skip(model.info.firstReason!) : await use(),
  );
const answered = (results: (CheckResult | CheckFailure)[]): CheckResult[] =>
  results.map((result) => {
    if ('error' in result) throw result.error;
    return result;
  });
const checked = async (of: Model, options: DetectorOptions, which: ImageInput[] = images) =>
  answered(await (await of.createDetector(bank, options)).check(which));
const outcome = ({ verdict, label, present }: CheckResult) => ({
  verdict,
  label,
  present: present?.map((p) => p.label),
});
const again = (results: CheckResult[]) => results.filter(({ precision }) => precision === 'fp32').length;

test('the model says what its first tower is, or that this machine has none', () => {
  const { precision, first, firstReason } = model.info;
  if (first === null) assert.deepEqual([precision, typeof firstReason], ['fp32', 'string']);
  else assert.deepEqual([precision, firstReason], ['guarded', null]);
  const { first: ofExact, firstReason: noReason } = exact.info;
  assert.deepEqual([ofExact, noReason], [null, null]);
});

test('where a CPU has no first tower the model is fp32, and says so', () => {
  const native = { handle: null, methods: 15, clipnJson: '', tokenizerJson: '', rewritten: true };
  const placement = { device: 'cpu', precision: 'fp32', first: null, reason: null } as const;
  const { precision, first, firstReason } = modelInfo('model.pt', native, placement, exact.info.config);
  assert.deepEqual([precision, first], ['fp32', null]);
  assert.match(firstReason!, /neither int8 nor bf16/);
});

describe('a guarded detector gives the verdicts and labels of fp32', () => {
  onGuarded('on a few hundred images, most of which are encoded once', async () => {
    const many = [...images, ...[6, 7, 8, 9, 10].flatMap(drawings)];
    const [found, expected] = [await checked(model, {}, many), await checked(exact, {}, many)];
    assert.deepEqual(found.map(outcome), expected.map(outcome));
    assert.ok(again(found) < many.length / 2, `${again(found)} of ${many.length}`);
  });

  const rules: [string, DetectorOptions][] = [
    ['CTW', { score: 'ctw' }],
    ['a threshold on the gap', { score: 'gap', threshold: 1 }],
    ['a threshold on MSP', { score: 'msp', threshold: 0.5 }],
    ['a calibration with a band for review', { calibration: { formatVersion: 1, score: 'maxLogit', in: 26, out: 24 } }],
    ['labels by themselves', { present: 0.7 }],
  ];
  for (const [name, options] of rules) {
    onGuarded(`with ${name}`, async () => {
      const [found, expected] = [await checked(model, options), await checked(exact, options)];
      assert.deepEqual(found.map(outcome), expected.map(outcome));
    });
  }

  onGuarded('with thresholds placed exactly at scores of images, which are then encoded again', async () => {
    const scores = (await checked(exact, {})).map((result) => result.scores.atd);
    for (const at of [0, 3, 40]) {
      const options = { score: 'atd', threshold: scores[at]! } as const;
      const [found, expected] = [await checked(model, options), await checked(exact, options)];
      assert.deepEqual(found.map(outcome), expected.map(outcome));
      assert.equal(found[at]!.precision, 'fp32');
      assert.deepEqual(found[at]!.scores, expected[at]!.scores);
    }
  });

  onGuarded('asked one by one, as a list, as a stream, and beside an image that cannot be read', async () => {
    const detector = await model.createDetector(bank);
    const which = images.slice(0, 30);
    const expected = (await checked(exact, {}, which)).map(outcome);
    const single = await Promise.all(which.map((image) => detector.check(image)));
    const streamed: (CheckResult | CheckFailure)[] = [];
    for await (const result of detector.stream(which)) streamed.push(result);
    const poisoned = await detector.check([...which.slice(0, 9), Buffer.from('no image'), ...which.slice(9)]);
    const failed = poisoned.splice(9, 1);
    assert.deepEqual(single.map(outcome), expected);
    assert.deepEqual(answered(streamed).map(outcome), expected);
    assert.deepEqual(answered(poisoned).map(outcome), expected);
    assert.equal('error' in failed[0]! && failed[0].error.code, 'ERR_CLIPN_IMAGE_DECODE');
  });
});

onGuarded(
  'an image far from everything is encoded once, one at the threshold twice, and stats count them',
  async () => {
    const [photo] = await checked(exact, { score: 'gap', threshold: 0 }, photos);
    const at = photo!.scores.gap;
    const count = async (threshold: number) => {
      const before = model.stats();
      const [result] = await checked(model, { score: 'gap', threshold }, photos.slice(0, 1));
      const now = model.stats();
      return { precision: result!.precision, again: now.again - before.again, done: now.done - before.done };
    };
    assert.deepEqual(await count(at), { precision: 'fp32', again: 1, done: 1 });
    assert.deepEqual(await count(at + 50), { precision: model.info.first, again: 0, done: 1 });
  },
);

onGuarded('features, reasons and traces of a guarded model are those of fp32', async () => {
  assert.deepEqual(await model.encodeImages(photos), await exact.encodeImages(photos));
  const [found, expected] = [await model.createDetector(bank), await exact.createDetector(bank)];
  const explained = await found.check(photos[1]!, { why: true });
  assert.equal(explained.precision, 'fp32');
  const { precision: _, ...rest } = explained;
  assert.deepEqual(rest, await expected.check(photos[1]!, { why: true }));
});

onGuarded('a trace tells the feature that the answer came from', async () => {
  const detector = await model.createDetector(bank, { trace: true, score: 'gap', threshold: -500 });
  const results = answered(await detector.check(photos));
  const rough = results.find(({ precision }) => precision === model.info.first)!;
  const feature = await exact.encodeImages([rough.image!]);
  assert.match(rough.pixelsSha256!, /^[0-9a-f]{64}$/);
  assert.notDeepEqual(Float32Array.from(rough.feature!), feature);
});

onGuarded('of a plain CLIP with negative words too, whose labels lie so close that fp32 is asked often', async () => {
  const file = await apiModel('clip');
  await using plain = await loadModel(file, { device: 'cpu' });
  await using guarded = await loadModel(file, { device: 'cpu', precision: 'guarded' });
  const options = { labelBank: NO_CACHE, negatives: ['stone', 'sky', 'water', 'grass'] };
  const results = async (of: Model) => answered(await (await of.createDetector(LABELS, options)).check(images));
  const [found, expected] = [await results(guarded), await results(plain)];
  assert.deepEqual(found.map(outcome), expected.map(outcome));
  assert.ok(again(found) > 0);
});

describe('a guard', () => {
  onGuarded('tells its margins and the drawn images that they come from', async () => {
    const { guard } = await model.createDetector(bank);
    assert.equal(guard!.first, model.info.first);
    assert.deepEqual([guard!.source, guard!.images], ['drawn images', 48]);
    assert.ok(guard!.margins.score > 0 && guard!.margins.label > 0);
    assert.ok(guard!.cosine!.least > 0.999 && guard!.cosine!.least <= guard!.cosine!.median);
    assert.equal((await exact.createDetector(bank)).guard, undefined);
  });

  onGuarded('is wider than drawn images differ, for photos differ more', async () => {
    const { guard } = await model.createDetector(bank, { score: 'gap', threshold: 1 });
    const factor = guard!.first === 'int8' ? 1.5 : 2;
    const expected = factor * widthOf(await gapDifferences(drawings(19)));
    assert.ok(Math.abs(guard!.margins.score - expected) < 1e-4, `${guard!.margins.score} is not ${expected}`);
  });

  onGuarded('of a calibration fitted by a guarded model comes from its images', async () => {
    const { calibration } = await calibrate(model, bank, images, { score: 'gap' });
    const file = path.join(folder, 'calibration.json');
    await saveCalibration(calibration, file);
    const read = await readCalibration(file);
    assert.deepEqual(read, calibration);
    const { guard } = await model.createDetector(bank, { calibration: read });
    assert.deepEqual([guard!.source, guard!.images], ['calibration', images.length]);
    const { score, label } = calibration.guard!;
    assert.deepEqual(guard!.margins, { score, label });
    const expected = widthOf(await gapDifferences(images));
    assert.ok(Math.abs(score - expected) < 1e-4, `${score} is not ${expected}`);
  });

  onGuarded('of a calibration comes from its OOD images, too', async () => {
    const [id, ood] = [photos, drawings(5)];
    const { calibration } = await calibrate(model, bank, id, { score: 'gap', target: 0.5, ood });
    assert.equal(calibration.guard!.images, id.length + ood.length);
    const expected = widthOf(await gapDifferences([...id, ...ood]));
    assert.ok(Math.abs(calibration.guard!.score - expected) < 1e-4, `${calibration.guard!.score} is not ${expected}`);
  });

  onGuarded('of a calibration on fewer than 19 images comes from drawn ones', async () => {
    const fitted = async (images: number) => {
      const which = drawings(5).slice(0, images);
      return (await calibrate(model, bank, which, { score: 'gap', target: 0.5 })).calibration;
    };
    const [few, enough] = [await fitted(18), await fitted(19)];
    assert.deepEqual([few.guard, enough.guard?.images], [undefined, 19]);
    assert.equal((await model.createDetector(bank, { calibration: few })).guard!.source, 'drawn images');
  });

  onGuarded('of another first precision is not used', async () => {
    const { calibration } = await calibrate(model, bank, images, { score: 'gap' });
    const first = model.info.first === 'bf16' ? 'int8' : 'bf16';
    const other = { ...calibration, guard: { ...calibration.guard!, first } } as typeof calibration;
    assert.equal((await model.createDetector(bank, { calibration: other })).guard!.source, 'drawn images');
  });
});

onGuarded('thresholds of labels by themselves are fitted in fp32', async () => {
  const each = Object.fromEntries(LABELS.map((label) => [label, photos]));
  const [found, expected] = [
    await fitLabelThresholds(model, bank, each, { target: 0.5 }),
    await fitLabelThresholds(exact, bank, each, { target: 0.5 }),
  ];
  assert.deepEqual(found, expected);
});

test('of a file that runs as it is the first tower is bf16, where the CPU has that', async () => {
  const checkpoint = path.join(folder, 'odd.checkpoint');
  const files = await smallestFiles(folder);
  // The kernels take even patches only.
  await writeCheckpoint(checkpoint, { ...SMALLEST, imageSize: 9, patchSize: 3 }, { scheme: 'flat' });
  const file = path.join(folder, 'odd.pt');
  await exportModel(checkpoint, file, files.options);
  await using odd = await loadModel(file, { device: 'cpu', precision: 'guarded' });
  const { rewritten, first, firstReason } = odd.info;
  const { cpuBf16 } = await describeCore();
  assert.deepEqual([rewritten, first], [false, cpuBf16 ? 'bf16' : null]);
  if (!cpuBf16) assert.match(firstReason!, /runs as it is/);
});

onGuarded('a calibration fitted by a guarded model is that of fp32, and either takes the other’s', async () => {
  const [guarded, own] = [await calibrate(model, bank, images), await calibrate(exact, bank, images)];
  const { guard: _, created: _g, ...calibration } = guarded.calibration;
  const { created: _e, ...expected } = own.calibration;
  assert.deepEqual(calibration, expected);
  await exact.createDetector(bank, { calibration: guarded.calibration });
  await model.createDetector(bank, { calibration: own.calibration });
});

/** |Δgap| of each image at the label that the first tower finds, from the features of both. */
async function gapDifferences(of: ImageInput[]): Promise<number[]> {
  await using rough = await loadModel(smallModel()!.model, { device: 'cpu', precision: model.info.first! });
  const [first, own] = [await rough.encodeImages(of), await exact.encodeImages(of)];
  const { dim, yes, no } = bank;
  const logit = (features: Float32Array, i: number, rows: Float32Array, c: number) => {
    let dot = 0;
    for (let d = 0; d < dim; d++) dot += features[i * dim + d]! * rows[c * dim + d]!;
    return exact.info.config.scale * dot;
  };
  return of.map((_, i) => {
    const logits = LABELS.map((_, c) => logit(first, i, yes, c));
    const top = logits.indexOf(Math.max(...logits));
    const gap = (features: Float32Array) => logit(features, i, yes, top) - logit(features, i, no!, top);
    return Math.abs(gap(first) - gap(own));
  });
}

/** The largest, or four times the root mean square. */
function widthOf(differences: number[]): number {
  const rms = Math.sqrt(differences.reduce((sum, x) => sum + x * x, 0) / differences.length);
  return Math.max(4 * rms, ...differences);
}

test('drawn images whose scores mostly tell nothing give no margin, so that every image is encoded again', () => {
  const known = { score: 0.1, label: 0.1, present: [] };
  const unknown = { ...known, score: undefined };
  const of = (count: number) => [...Array(count).fill(known), ...Array(48 - count).fill(unknown)];
  assert.ok(Math.abs(drawnMargins('bf16', of(19), false).score - 0.8) < 1e-12); // twice four times 0.1
  assert.ok(Math.abs(drawnMargins('int8', of(19), false).score - 0.6) < 1e-12);
  assert.equal(drawnMargins('int8', of(18), false).score, Number.NaN);
});
