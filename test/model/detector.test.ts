import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import {
  type CheckFailure,
  type CheckResult,
  type LabelBank,
  loadDetector,
  loadModel,
  type Model,
  saveLabelBank,
} from '../../lib';
import { apiModel } from '../support/api-model';

const LABELS = ['cat', 'dog', 'bus', 'cup', 'tree', 'chair', 'fish', 'lamp', 'boat', 'hat'];
const NO_CACHE = { cache: false, templates: 'plain' };
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-detector-'));
const photos = Array.from({ length: 11 }, (_, k) => path.join(folder, `photo-${k}.png`));
let model: Model;
let bank: LabelBank;

/** Unlike images: a gradient whose slope and colour depend on k. */
async function writePhoto(file: string, k: number): Promise<void> {
  const [width, height] = [80 + 7 * k, 60 + 3 * k];
  const data = Buffer.from(
    Array.from({ length: width * height * 3 }, (_, i) => ((i / 3) * (k + 1) + (i % 3) * 40 * k) % 256),
  );
  await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(file);
}

before(async () => {
  await Promise.all(photos.map(writePhoto));
  model = await loadModel(await apiModel());
  bank = await model.createLabelBank(LABELS, NO_CACHE);
});
after(async () => {
  await model.close();
  rmSync(folder, { recursive: true });
});

const failure = (result: CheckResult | CheckFailure) => ('error' in result ? result.error : undefined);

describe('check', () => {
  test('says beside the verdict that an image carries nothing to judge', async () => {
    const detector = await model.createDetector(bank);
    const flat = { data: new Uint8Array(60 * 60 * 3).fill(7), width: 60, height: 60, channels: 3 as const };
    const [nothing, photo] = await detector.check([flat, photos[3]!]);
    assert.ok('verdict' in nothing! && 'verdict' in photo!);
    assert.deepEqual([nothing.quality, photo.quality], ['flat', undefined]);
  });

  test('answers one image with a verdict, a label, all scores and the top list', async () => {
    const detector = await model.createDetector(bank);
    const result = await detector.check(photos[0]!);
    assert.equal(result.image, photos[0]);
    assert.ok(LABELS.includes(result.label));
    assert.ok(['in', 'out'].includes(result.verdict));
    assert.equal(result.rule, 'atd');
    assert.deepEqual(Object.keys(result.scores).sort(), 'atd ctw energy gap logPOut maxLogit mcm msp'.split(' '));
    assert.equal(result.top.length, 5);
    assert.equal(result.top[0]!.label, result.label);
  });

  test('gives the scores that its own logits imply (spec 3)', async () => {
    const detector = await model.createDetector(bank, { trace: true });
    const { scores, logits } = await detector.check(photos[1]!);
    const { yes: a, no: b } = logits!;
    const max = Math.max(...a);
    const sum = a.reduce((total, value) => total + Math.exp(value - max), 0);
    const p = a.map((value) => Math.exp(value - max) / sum);
    const pYes = a.map((value, j) => 1 / (1 + Math.exp(b[j]! - value)));
    const top = a.indexOf(max);
    const close = (found: number, expected: number) =>
      assert.ok(Math.abs(found - expected) < 1e-5, `${found} ${expected}`);
    close(scores.ctw, pYes[top]!);
    close(
      scores.atd,
      p.reduce((total, value, j) => total + value * pYes[j]!, 0),
    );
    close(scores.msp, p[top]!);
    close(scores.energy, max + Math.log(sum));
    close(scores.gap, a[top]! - b[top]!);
  });

  test('a path, its bytes and its raw samples give the same answer', async () => {
    const detector = await model.createDetector(bank, { trace: true });
    const { data, info } = await sharp(photos[2]).raw().toBuffer({ resolveWithObject: true });
    const raw = { data, width: info.width, height: info.height, channels: 3 as const };
    const bytes = await sharp(photos[2]).png().toBuffer();
    const [fromPath, fromBytes, fromRaw] = await Promise.all(
      [photos[2]!, bytes, raw].map((input) => detector.check(input)),
    );
    assert.equal(fromBytes!.pixelsSha256, fromPath!.pixelsSha256);
    assert.deepEqual(fromRaw!.feature, fromPath!.feature);
    assert.equal(fromRaw!.image, undefined);
  });

  test('single, listed and streamed images get the same verdicts and scores within fp32', async () => {
    const detector = await model.createDetector(bank);
    const listed = (await detector.check(photos)) as CheckResult[];
    const single = await Promise.all(photos.map((photo) => detector.check(photo)));
    const streamed: CheckResult[] = [];
    for await (const result of detector.stream(photos)) streamed.push(result as CheckResult);
    for (const other of [single, streamed]) {
      assert.deepEqual(
        other.map(({ image, label, verdict }) => ({ image, label, verdict })),
        listed.map(({ image, label, verdict }) => ({ image, label, verdict })),
      );
      other.forEach((result, i) => {
        assert.ok(Math.abs(result.scores.atd - listed[i]!.scores.atd) < 1e-4);
      });
    }
  });

  test('an unreadable image in a list is answered with its error, the others with verdicts', async () => {
    const detector = await model.createDetector(bank);
    const broken = path.join(folder, 'broken.jpg');
    writeFileSync(broken, 'no image');
    const elsewhere = new URL('file://server/share/a.jpg');
    const results = await detector.check([photos[0]!, broken, path.join(folder, 'missing.jpg'), elsewhere, photos[1]!]);
    assert.deepEqual(
      results.map((result) => failure(result)?.code),
      [undefined, 'ERR_CLIPN_IMAGE_DECODE', 'ERR_CLIPN_IMAGE_NOT_FOUND', 'ERR_CLIPN_INVALID_ARG', undefined],
    );
    assert.deepEqual([results[1]!.image, results[3]!.image], [broken, elsewhere.href]);
  });

  test('an unreadable single image rejects', async () => {
    const detector = await model.createDetector(bank);
    await assert.rejects(detector.check(path.join(folder, 'missing.jpg')), { code: 'ERR_CLIPN_IMAGE_NOT_FOUND' });
  });

  test('an empty list has an empty answer', async () => {
    assert.deepEqual(await (await model.createDetector(bank)).check([]), []);
  });

  test('a threshold decides by the score it names', async () => {
    const low = await model.createDetector(bank, { score: 'msp', threshold: 0 });
    const high = await model.createDetector(bank, { score: 'msp', threshold: 1.01 });
    const [a, b] = [await low.check(photos[0]!), await high.check(photos[0]!)];
    assert.deepEqual([a.verdict, a.rule, b.verdict], ['in', 'threshold', 'out']);
  });

  test('a calibration of another model is refused', async () => {
    const calibration = { formatVersion: 1, score: 'atd', in: 0.6, out: 0.4, contentId: 'another' } as const;
    await assert.rejects(model.createDetector(bank, { calibration }), {
      code: 'ERR_CLIPN_CALIBRATION',
      message: /model/,
    });
  });
});

describe('images of many callers', () => {
  test('64 single images asked for at once, of two detectors, share batches and get the answers of single calls', async () => {
    // With a long delay every batch is a full one, however slowly this machine decodes.
    await using own = await loadModel(await apiModel(), { batch: { max: 8, maxDelayMs: 60_000 } });
    const kinds = [{ trace: true }, { trace: true, score: 'msp', threshold: 0.5 }] as const;
    const alone: CheckResult[] = [];
    for (const photo of photos) {
      for (const kind of kinds) alone.push(await (await model.createDetector(bank, kind)).check(photo));
    }
    const detectors = [await own.createDetector(bank, kinds[0]), await own.createDetector(bank, kinds[1])];
    // In the order of `alone`: each photo by both detectors, then the photos again.
    const ask = (i: number) =>
      detectors[i % kinds.length]!.check(photos[Math.floor(i / kinds.length) % photos.length]!);
    const together = await Promise.all(Array.from({ length: 64 }, (_, i) => ask(i)));
    const { done, batches, meanBatch, waiting, running } = own.stats();
    assert.deepEqual([done, batches, meanBatch, waiting, running], [64, 8, 8, 0, 0]);
    together.forEach((result, i) => {
      const { label, verdict, rule, pixelsSha256, feature } = alone[i % alone.length]!;
      assert.deepEqual([result.label, result.verdict, result.rule], [label, verdict, rule]);
      assert.equal(result.pixelsSha256, pixelsSha256);
      // docs/agreement.md: an image's feature may differ by rounding between batches of different sizes.
      feature!.forEach((value, d) => {
        assert.ok(Math.abs(value - result.feature![d]!) < 2e-6);
      });
    });
  });

  test('one that is aborted leaves the others alone', async () => {
    const detector = await model.createDetector(bank);
    const controller = new AbortController();
    const asked = photos.map((photo, i) => detector.check(photo, i === 3 ? { signal: controller.signal } : {}));
    controller.abort(new Error('no longer'));
    const outcomes = await Promise.allSettled(asked);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      photos.map((_, i) => (i === 3 ? 'rejected' : 'fulfilled')),
    );
  });

  test('a reader who leaves a stream takes what was read ahead with him', async () => {
    await using own = await loadModel(await apiModel());
    const detector = await own.createDetector(bank);
    function* endless() {
      while (true) yield* photos;
    }
    let read = 0;
    for await (const _ of detector.stream(endless())) if (++read === 30) break;
    assert.equal(own.stats().waiting, 0);
  });
});

describe('labels', () => {
  test('few labels are warned of, one label also of its constant softmax', async () => {
    assert.deepEqual((await model.createDetector(bank)).warnings, []);
    const one = await model.createDetector(['cat'], { labelBank: NO_CACHE });
    assert.equal(one.warnings.length, 2);
    assert.match(one.warnings.join(), /constant.*mislead/);
    const result = await one.check(photos[0]!);
    assert.equal(result.scores.msp, 1);
  });

  test('no labels are refused', async () => {
    await assert.rejects(model.createDetector([]), { code: 'ERR_CLIPN_LABELS' });
  });

  test('a name that would move the read-out is refused', async () => {
    await assert.rejects(model.createDetector(['a <|endoftext|> b'], { labelBank: NO_CACHE }), {
      code: 'ERR_CLIPN_LABELS',
    });
  });

  test('a bank saved by the full model serves its image-only twin', async () => {
    const file = path.join(folder, 'bank.safetensors');
    await saveLabelBank(bank, file);
    const expected = await (await model.createDetector(bank)).check(photos[3]!);
    await using detector = await loadDetector({ model: await apiModel('image'), bank: file });
    assert.deepEqual(await detector.check(photos[3]!), expected);
  });

  test('a bank of another model is refused', async () => {
    await using clip = await loadModel(await apiModel('clip'));
    await assert.rejects(clip.createDetector(bank, { score: 'msp', threshold: 0 }), {
      code: 'ERR_CLIPN_BANK_MISMATCH',
    });
  });

  test('labels added to a bank give the bank of the whole list; the bank itself and other models are left alone', async () => {
    const more = await model.addLabels(bank, ['tree', 'boat']);
    assert.deepEqual(more, await model.createLabelBank([...LABELS, 'tree', 'boat'], NO_CACHE));
    assert.deepEqual(bank.labels, LABELS);
    await using clip = await loadModel(await apiModel('clip'));
    await assert.rejects(clip.addLabels(bank, ['tree']), { code: 'ERR_CLIPN_BANK_MISMATCH' });
    await using image = await loadModel(await apiModel('image'));
    await assert.rejects(image.addLabels(bank, ['tree']), { code: 'ERR_CLIPN_MODEL_CONTRACT' });
  });

  test('an image-only model cannot encode labels, and says what to do', async () => {
    await using image = await loadModel(await apiModel('image'));
    await assert.rejects(image.createLabelBank(['cat']), { code: 'ERR_CLIPN_MODEL_CONTRACT', hint: /--bank/ });
  });

  test('a plain CLIP answers with the scores of the yes tower, null in JSON for the others', async () => {
    await using clip = await loadModel(await apiModel('clip'));
    await assert.rejects(clip.createDetector(['cat', 'dog'], { labelBank: NO_CACHE }), {
      code: 'ERR_CLIPN_MODEL_CONTRACT',
    });
    const detector = await clip.createDetector(['cat', 'dog'], { score: 'msp', threshold: 0.5, labelBank: NO_CACHE });
    const { scores, top } = JSON.parse(JSON.stringify(await detector.check(photos[0]!)));
    assert.equal(scores.atd, null);
    assert.equal(top[0].pYes, null);
    assert.ok(scores.msp >= 0.5);
  });
});

describe('abort and close', () => {
  test('an aborted check rejects with the reason, a later one still works', async () => {
    const detector = await model.createDetector(bank);
    const controller = new AbortController();
    const reason = new Error('no longer needed');
    const pending = detector.check(photos, { signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(pending, (error) => error === reason);
    assert.ok((await detector.check(photos[0]!)).label);
  });

  test('close() answers what was asked before and refuses what is asked after', async () => {
    const own = await loadModel(await apiModel());
    const detector = await own.createDetector(await own.createLabelBank(LABELS, NO_CACHE));
    const features = own.encodeImages([photos[0]!]);
    await features;
    const { data, info } = await sharp(photos[0]).raw().toBuffer({ resolveWithObject: true });
    const image = { data, width: info.width, height: info.height, channels: 3 as const };
    const asked = own.encodePixels([image], false, undefined);
    await own.close();
    assert.equal((await asked).features.length, 32);
    await assert.rejects(detector.check(photos[0]!), { code: 'ERR_CLIPN_CLOSED' });
    await own.close();
  });

  test('close() finishes a list that was asked for before; without drain the list rejects', async () => {
    const list = Array.from({ length: 40 }, (_, i) => photos[i % photos.length]!);
    const drained = await loadModel(await apiModel());
    const answers = (await drained.createDetector(bank)).check(list);
    const features = drained.encodeImages(list);
    const stopped = assert.rejects(
      async () => {
        for await (const _ of (await drained.createDetector(bank)).stream(list));
      },
      { code: 'ERR_CLIPN_CLOSED' },
    );
    await drained.close();
    assert.deepEqual((await answers).filter(failure), []);
    assert.equal((await features).length, 40 * 32);
    await stopped;

    const dropped = await loadModel(await apiModel());
    const refused = (await dropped.createDetector(bank)).check(list);
    refused.catch(() => {});
    await dropped.close({ drain: false });
    await assert.rejects(refused, { code: 'ERR_CLIPN_CLOSED' });
  });

  test('encodeImages gives unit rows in order', async () => {
    const all = await model.encodeImages(photos.slice(0, 3));
    const third = await model.encodeImages([photos[2]!]);
    assert.equal(all.length, 3 * 32);
    for (let i = 0; i < 3; i++) {
      const row = all.subarray(i * 32, (i + 1) * 32);
      assert.ok(Math.abs(Math.hypot(...row) - 1) < 1e-5);
    }
    third.forEach((value, d) => {
      assert.ok(Math.abs(value - all[64 + d]!) < 1e-5);
    });
  });
});

describe('loadModel', () => {
  test('names a missing file, and a file that is no model', async () => {
    const text = path.join(folder, 'text.pt');
    writeFileSync(text, 'not a model');
    await assert.rejects(loadModel(path.join(folder, 'none.pt')), { code: 'ERR_CLIPN_MODEL_NOT_FOUND' });
    await assert.rejects(loadModel(text), { code: 'ERR_CLIPN_MODEL_FORMAT', hint: /export/ });
  });

  test('labels are encoded in fp32, whatever the images’ precision, so that one bank serves both', async () => {
    await using half = await loadModel(model.info.path, { precision: 'bf16' });
    const again = await half.createLabelBank(LABELS, NO_CACHE);
    assert.deepEqual(again, bank);
    await half.createDetector(bank);
  });

  test('bf16 stays near fp32', async () => {
    await using half = await loadModel(model.info.path, { precision: 'bf16' });
    const [full, rough] = [await model.encodeImages(photos), await half.encodeImages(photos)];
    for (let i = 0; i < photos.length; i++) {
      let cosine = 0;
      for (let d = i * 32; d < (i + 1) * 32; d++) cosine += full[d]! * rough[d]!;
      assert.ok(cosine > 0.999, `image ${i}: cosine ${cosine}`);
    }
  });

  test('an aborted load rejects with the reason', async () => {
    await assert.rejects(
      loadModel(model.info.path, { signal: AbortSignal.abort(new Error('never mind')) }),
      /never mind/,
    );
  });
});
