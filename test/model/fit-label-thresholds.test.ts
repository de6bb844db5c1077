import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { type CheckResult, fitLabelThresholds, type LabelBank, loadModel, type Model } from '../../lib';
import { apiModel } from '../support/api-model';

const LABELS = ['cat', 'dog', 'bus'];
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-present-'));
const photos = Array.from({ length: 24 }, (_, k) => path.join(folder, `${k}.png`));
let model: Model;
let bank: LabelBank;

before(async () => {
  const draw = (file: string, k: number) =>
    sharp({ create: { width: 50, height: 40 + k, channels: 3, background: { r: 10 * k, g: 255 - 9 * k, b: 5 * k } } })
      .png()
      .toFile(file);
  await Promise.all(photos.map(draw));
  model = await loadModel(await apiModel());
  bank = await model.createLabelBank(LABELS, { cache: false, templates: 'plain' });
});
after(async () => {
  await model.close();
  rmSync(folder, { recursive: true });
});

/** p_yes of each label by the logits, as spec 3 says. */
const pYes = ({ logits }: CheckResult) => logits!.yes.map((a, c) => 1 / (1 + Math.exp(logits!.no[c]! - a)));

describe('labels by themselves', () => {
  test('are present from their own p_yes on, by falling p_yes, and change nothing else', async () => {
    const [plain] = (await (await model.createDetector(bank, { trace: true })).check([photos[3]!])) as CheckResult[];
    const shares = pYes(plain!);
    const middle = [...shares].sort((a, b) => a - b)[1]!;
    const detector = await model.createDetector(bank, { trace: true, present: middle });
    const [{ present, ...rest }] = (await detector.check([photos[3]!])) as [CheckResult];
    assert.deepEqual(rest, plain);
    const expected = LABELS.map((label, c) => ({ label, pYes: shares[c]! })).filter((each) => each.pYes >= middle);
    assert.deepEqual(
      present,
      expected.sort((a, b) => b.pYes - a.pYes),
    );
    assert.equal(present!.length, 2);
  });

  test('have thresholds of their own', async () => {
    const present = { cat: 0, dog: 1, bus: 0 };
    const result = await (await model.createDetector(bank, { present })).check(photos[0]!);
    assert.deepEqual(result.present!.map(({ label }) => label).sort(), ['bus', 'cat']);
  });

  test('need a threshold each, between 0 and 1, and the no tower', async () => {
    const refused = (present: never, code: string, message: RegExp) =>
      assert.rejects(model.createDetector(bank, { present }), { code, message });
    await refused({ cat: 0.5 } as never, 'ERR_CLIPN_LABELS', /no threshold in `present` for dog, bus/);
    await refused(1.5 as never, 'ERR_CLIPN_INVALID_ARG', /present must be a number from 0 to 1/);
    await refused({ cat: 0, dog: Number.NaN, bus: 0 } as never, 'ERR_CLIPN_INVALID_ARG', /present of dog/);
    await refused('all' as never, 'ERR_CLIPN_INVALID_ARG', /present must be an object/);
    await using clip = await loadModel(await apiModel('clip'));
    const own = await clip.createLabelBank(LABELS, { cache: false, templates: 'plain' });
    await assert.rejects(clip.createDetector(own, { present: 0.5 }), { code: 'ERR_CLIPN_MODEL_CONTRACT' });
  });
});

describe('fitted thresholds of labels', () => {
  test('are the conformal ones of the p_yes of their own photos', async () => {
    const thresholds = await fitLabelThresholds(model, bank, { cat: photos, dog: photos.slice(0, 19), bus: photos });
    const traced = (await (await model.createDetector(bank, { trace: true })).check(photos)) as CheckResult[];
    // Of 24 and of 19 photos the rank for 0.95 is 1: the smallest.
    const smallest = (c: number, n: number) => Math.min(...traced.slice(0, n).map((result) => pYes(result)[c]!));
    for (const [c, n] of [24, 19, 24].entries()) {
      assert.ok(Math.abs(thresholds[LABELS[c]!]! - smallest(c, n)) < 1e-6, LABELS[c]);
    }
    await model.createDetector(bank, { present: thresholds });
  });

  test('need enough photos of every label, and of no other', async () => {
    const few = { cat: photos, dog: photos.slice(0, 18), bus: [] };
    await assert.rejects(fitLabelThresholds(model, bank, few), {
      code: 'ERR_CLIPN_TOO_FEW_IMAGES',
      message: /at least 19 photos of each label; there are fewer of dog, bus/,
    });
    await assert.rejects(fitLabelThresholds(model, bank, { cow: photos }), {
      code: 'ERR_CLIPN_LABELS',
      message: /cow/,
    });
    await assert.rejects(fitLabelThresholds(model, bank, few, { target: 2 }), { code: 'ERR_CLIPN_INVALID_ARG' });
  });
});
