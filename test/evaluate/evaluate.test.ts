import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import {
  calibrate,
  type EvalOptions,
  type EvalResult,
  evaluate,
  loadModel,
  type Model,
  oodMetrics,
  type Scorer,
  score,
} from '../../lib';
import { decodeImage } from '../../lib/images/decode';
import { labelsHash } from '../../lib/labels/bank';
import { apiModel } from '../support/api-model';
import { builtLibrary } from '../support/built';
import { drawImages } from '../support/image-tree';
import { repository } from '../support/paths';
import { keepLibtorch } from '../support/run-cli';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-evaluate-'));
const at = (...parts: string[]) => path.join(folder, ...parts);
const CLASSES = ['cat', 'dog', 'bus'];
/** ID 3 × 12, OOD 20 and 15: in batches of 8 neither ends where a batch does. */
const sets = { id: at('id'), ood: { near: at('near'), far: at('far') } };
let model: Model;
let clip: Model;
let modelPath: string;
let stores = 0;

/** A run with a store of its own unless one is given. */
async function run(options: Partial<EvalOptions> = {}): Promise<EvalResult> {
  const store = at('stores', String(stores++));
  return await evaluate({ model, ...sets, templates: 'plain', store, examples: 3, ...options });
}

/** All that two runs must share: everything but the time and the command. */
function comparable({ created: _, provenance: { command: __, ...provenance }, ...result }: EvalResult): unknown {
  return { ...result, provenance };
}

before(async () => {
  keepLibtorch();
  process.env['CLIPN_CACHE_DIR'] = at('cache');
  process.env['SOURCE_DATE_EPOCH'] = '1700000000';
  modelPath = await apiModel();
  model = await loadModel(modelPath, { threads: 1 });
  clip = await loadModel(await apiModel('clip'), { threads: 1 });
  let seed = await drawImages(sets.id, CLASSES, 12, 1);
  seed = await drawImages(sets.ood.near, ['a', 'b/c'], 10, seed);
  await drawImages(sets.ood.far, [''], 15, seed);
});
after(async () => {
  await Promise.all([model.close(), clip.close()]);
  rmSync(folder, { recursive: true });
});

describe('the figures', () => {
  test("are those of each image's scores, one by one: top label, scores, AUROC, FPR95, accuracy, threshold", async () => {
    const result = await run();
    const detector = await model.createDetector(['bus', 'cat', 'dog'], {
      exif: false,
      labelBank: { templates: 'plain' },
    });
    const check = async (root: string) => {
      const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.png'));
      const checked = [];
      for (const file of files.sort()) checked.push({ file, ...(await detector.check(path.join(root, file))) });
      return checked;
    };
    const [id, near, far] = [await check(sets.id), await check(sets.ood.near), await check(sets.ood.far)];
    assert.deepEqual([result.id.images, result.ood['near']!.images, result.ood['far']!.images], [36, 20, 15]);
    assert.equal(result.id.accuracy, id.filter(({ file, label }) => file.startsWith(`${label}/`)).length / 36);
    for (const name of ['ctw', 'atd', 'gap', 'msp', 'maxLogit', 'energy', 'mcm'] as const) {
      const values = (of: typeof id) => of.map(({ scores }) => scores[name]);
      const expected = oodMetrics(values(id), values(near));
      const { sets: measured, average } = result.scores[name]!;
      for (const metric of ['auroc', 'fprAtIdTpr95', 'auprIn'] as const) {
        assert.ok(Math.abs(measured['near']![metric] - expected[metric]) < 1e-12, `${name} ${metric}`);
      }
      const mean = (expected.auroc + oodMetrics(values(id), values(far)).auroc) / 2;
      assert.ok(Math.abs(average.auroc - mean) < 1e-12);
    }
    const reached = id.filter(({ scores }) => scores.atd >= result.threshold).length;
    assert.equal(reached, 35); // 35 of 36 are the fewest that make 95 %
    const worst = near.concat(far).sort((a, b) => b.scores.atd - a.scores.atd)[0]!;
    assert.deepEqual(
      [result.worst.falseAccepts[0]!.score, result.worst.falseAccepts[0]!.top[0]!.label],
      [worst.scores.atd, worst.label],
    );
    assert.match(result.worst.falseAccepts[0]!.thumbnail!, /^data:image\/jpeg;base64,/);
  });

  test('are plain data that survive JSON', async () => {
    const result = await run();
    assert.deepEqual(JSON.parse(JSON.stringify(result)), result);
    assert.equal(result.created, '2023-11-14T22:13:20.000Z');
  });
});

describe('images cut short', () => {
  test('are refused by default and, accepted, are in the figures; one store never serves both', async () => {
    const id = at('id-cut');
    cpSync(sets.id, id, { recursive: true });
    const noise = { type: 'gaussian', mean: 128, sigma: 30 } as const;
    const picture = sharp({ create: { width: 64, height: 64, channels: 3, background: 'teal', noise } });
    const whole = await picture.jpeg().toBuffer();
    writeFileSync(path.join(id, 'cat', 'cut.jpg'), whole.subarray(0, whole.length - 40));
    const store = at('stores', 'cut');
    const refused = await run({ id, store });
    assert.deepEqual([refused.id.images, refused.id.unreadable.map(({ image }) => image)], [36, ['cat/cut.jpg']]);
    const accepted = await run({ id, truncated: 'accept' });
    assert.deepEqual([accepted.id.images, accepted.id.unreadable], [37, []]);
    assert.match(accepted.provenance.preprocessing, /cut images accepted/);
    await assert.rejects(run({ id, store, truncated: 'accept' }), { code: 'ERR_CLIPN_STORE_MISMATCH' });
    await assert.rejects(run({ truncated: 'maybe' as 'accept' }), { code: 'ERR_CLIPN_INVALID_ARG' });
  });
});

describe('the store', () => {
  test('spares the images: labels, score and templates change without one being encoded', async () => {
    const store = at('stores', 'kept');
    const encoded: number[] = [];
    const onProgress: EvalOptions['onProgress'] = ({ stage, total }) => {
      if (stage === 'features') encoded.push(total);
    };
    const first = await run({ store, onProgress });
    assert.equal(encoded[0], 71);
    encoded.length = 0;
    assert.deepEqual(comparable(await run({ store, onProgress })), comparable(first));
    const other = await run({
      store,
      onProgress,
      labels: ['bus', 'dog', 'cat', 'house'],
      templates: { name: 'mine', templates: ['{}!'] },
      score: 'energy',
    });
    assert.deepEqual([encoded, other.decidingScore, other.classes.length], [[], 'energy', 4]);
    assert.deepEqual(other.warnings, ['1 of 4 labels have no class folder']);
  });

  test('knows an image by its content: moved and copied folders cost no encoding, changed images do', async () => {
    const store = at('stores', 'content');
    const first = await run({ store });
    cpSync(sets.id, at('copy'), { recursive: true });
    const rows = () => readdirSync(store).length;
    const before = rows();
    const { id, ...moved } = await run({ store, id: at('copy') });
    assert.deepEqual({ ...(comparable({ id, ...moved }) as EvalResult), id: first.id }, comparable(first));
    assert.equal(rows(), before + 1); // the new paths
    renameSync(at('copy', 'cat', '000.png'), at('copy', 'cat', 'renamed.png'));
    writeFileSync(at('copy', 'cat', '001.png'), readFileSync(at('far', '000.png')));
    const changed = await run({ store, id: at('copy') });
    assert.notDeepEqual(changed.scores, first.scores);
  });

  test('killed with -9 in the middle and taken up again gives the same JSON as a run from the start', async () => {
    const child = (options: object) =>
      new Promise<{ out: string; signal: string | null | undefined }>((resolve, reject) => {
        const script = path.join(repository, 'test/support/evaluate-child.cjs');
        const argument = JSON.stringify({ model: modelPath, ...sets, templates: 'plain', shardRows: 8, ...options });
        execFile(process.execPath, [script, builtLibrary(), argument], (error, out, err) => {
          if (error && error.signal == null) reject(new Error(err));
          else resolve({ out, signal: error?.signal });
        });
      });
    const store = at('stores', 'killed');
    const [killed, whole] = await Promise.all([child({ store, killAt: 37 }), child({ store: at('stores', 'whole') })]);
    assert.equal(killed.signal, 'SIGKILL');
    const shards = readdirSync(store).filter((name) => name.endsWith('.safetensors')).length;
    assert.ok(shards >= 2 && shards <= 5, `${shards} of 9 batches were kept`);
    const resumed = await child({ store });
    assert.equal(resumed.out, whole.out);
    assert.ok(resumed.out.length > 1000);
  });

  test('after Ctrl-C keeps what was encoded, and the next run gives the same result', async () => {
    const store = at('stores', 'interrupted');
    const interrupt = new AbortController();
    const stopped = run({
      store,
      signal: interrupt.signal,
      onProgress: ({ stage, done }) => {
        if (stage === 'features' && done === 40) interrupt.abort(new Error('stop'));
      },
    });
    await assert.rejects(stopped, /stop/);
    assert.deepEqual(readdirSync(store).length, 1);
    const left: number[] = [];
    const result = await run({
      store,
      onProgress: ({ stage, total }) => {
        if (stage === 'features') left.push(total);
      },
    });
    assert.ok(left[0]! >= 71 - 40 && left[0]! <= 71 - 16, `${left[0]} images were left`);
    assert.deepEqual(comparable(result), comparable(await run()));
  });

  test('of another model is refused, and one with patches is for its labels only', async () => {
    const store = at('stores', 'mismatch');
    await run({ store });
    const mismatch = { code: 'ERR_CLIPN_STORE_MISMATCH' };
    await assert.rejects(run({ store, model: clip, score: 'msp' }), { ...mismatch, message: /another model/ });
    await assert.rejects(run({ store, patches: true }), { ...mismatch, message: /--patches/ });
    const patched = at('stores', 'patched');
    await run({ store: patched, patches: true });
    await assert.rejects(run({ store: patched, patches: true, labels: ['bus', 'dog', 'cat', 'tree'] }), mismatch);
  });
});

test("an image's feature has the same bits whatever lies beside it in a batch of 8, and wherever it lies", async () => {
  const files = readdirSync(sets.ood.far).map((file) => path.join(sets.ood.far, file));
  const images = await Promise.all(files.map((file) => decodeImage(file, { exif: false })));
  const encode = async (order: number[]) => {
    const { features } = await model.encodePixels(
      order.map((i) => images[i]!),
      false,
      undefined,
    );
    return order.map((_, k) => Buffer.from(features.slice(k * 32, (k + 1) * 32).buffer).toString('hex'));
  };
  const straight = await encode([0, 1, 2, 3, 4, 5, 6, 7]);
  const turned = await encode([5, 0, 8, 9, 10, 11, 3, 12]);
  assert.deepEqual([turned[0], turned[1], turned[6]], [straight[5], straight[0], straight[3]]);
  const padded = await encode([6, 6, 6, 6, 6, 6, 6, 6]);
  assert.ok(padded.every((bits) => bits === straight[6]));
});

describe('scores beyond the core', () => {
  test('GL-MCM is mcm plus λ times the largest mcm of a patch, from the same forward pass', async () => {
    const [plain, patched] = [await run(), await run({ patches: true, lambda: 0.5 })];
    // The same features: the other scores do not move.
    const { glMcm, ...others } = patched.scores;
    assert.deepEqual(others, plain.scores);
    const bank = await model.createLabelBank(['bus', 'cat', 'dog'], { templates: 'plain' });
    const expected = async (file: string) => {
      const image = await decodeImage(file, { exif: false });
      const { features, patches } = await model.encodePatches(new Array(8).fill(image), undefined);
      const mcm = async (rows: Float32Array) => (await score(rows, bank)).mcm;
      const own = (await mcm(features.slice(0, 32)))[0]!;
      return own + 0.5 * Math.max(...(await mcm(patches.slice(0, 9 * 32))));
    };
    const values = await Promise.all(
      patched.worst.falseAccepts
        .slice(0, 3)
        .map(({ set, image }) => expected(path.join(sets.ood[set as 'near'], image))),
    );
    const deciding = await run({ patches: true, lambda: 0.5, score: 'glMcm', examples: 35 });
    for (const [i, { image, set }] of patched.worst.falseAccepts.slice(0, 3).entries()) {
      const same = deciding.worst.falseAccepts.find((each) => each.image === image && each.set === set)!;
      assert.equal(same.score, values[i]);
    }
    assert.match(glMcm!.formula, /mcm \+ 0\.5 · max_r/);
  });

  test('NegLabel is the mean over groups of the share of the labels, for words of the user', async () => {
    const negatives = Array.from({ length: 25 }, (_, i) => `thing ${i}`);
    const result = await run({ negatives: [...negatives, 'cat'], score: 'negLabel', examples: 1 });
    const words = result.provenance.negatives!;
    assert.deepEqual([words.count, words.dropped, words.groups], [25, 1, 2]);
    const { set, image, score: value } = result.worst.falseRejects[0]!;
    assert.equal(set, 'id');
    const feature = (await model.encodeImages(new Array(8).fill(path.join(sets.id, image)), { exif: false })).slice(
      0,
      32,
    );
    const exponentials = async (labels: readonly string[]) => {
      const bank = await model.createLabelBank(labels, { templates: 'plain' });
      const cosine = (row: number) => feature.reduce((sum, f, d) => sum + f * bank.yes[row * 32 + d]!, 0);
      return labels.reduce((sum, _, row) => sum + Math.exp(100 * cosine(row)), 0);
    };
    const order = negatives.toSorted((a, b) => (sha256(a) < sha256(b) ? -1 : 1));
    const own = await exponentials(['bus', 'cat', 'dog']);
    const shares = [0, 1].map(async (g) => own / (own + (await exponentials(order.filter((_, i) => i % 2 === g)))));
    const expected = (await Promise.all(shares)).reduce((sum, share) => sum + share / 2, 0);
    assert.ok(Math.abs(value - expected) < 1e-4 * expected, `${value}, not ${expected}`);
  });

  test("a scorer of the user's is a few lines", async () => {
    const margin: Scorer = {
      name: 'margin',
      formula: 'largest less second largest logit',
      source: 'this test',
      needs: ['logits'],
      read: ({ n, logits }) =>
        Array.from({ length: n }, (_, i) => {
          const [first, second] = [...logits!.yes.subarray(3 * i, 3 * i + 3)].sort((a, b) => b - a);
          return first! - second!;
        }),
    };
    const result = await run({ scorers: [margin], score: 'margin' });
    assert.equal(result.scores['margin']!.formula, margin.formula);
    assert.ok(result.threshold >= 0);
    await assert.rejects(run({ scorers: [{ ...margin, name: 'atd' }] }), { code: 'ERR_CLIPN_INVALID_ARG' });
  });

  test('are left out with the reason where they cannot be had', async () => {
    const plain = await run();
    assert.deepEqual(
      plain.skipped.map(({ score: name }) => name),
      ['glMcm', 'negLabel', 'ole'],
    );
    // Those that an option brings, by its name and that of the flag.
    assert.match(plain.skipped[0]!.why, /`patches`, .*--patches/);
    assert.match(plain.skipped[1]!.why, /`negatives`, .*--negatives/);
    const result = await run({ model: clip, score: 'msp' });
    assert.deepEqual(Object.keys(result.scores), ['msp', 'maxLogit', 'energy', 'mcm']);
    assert.match(result.skipped[0]!.why, /plain CLIP/);
    assert.equal(result.worst.falseAccepts[0]!.top[0]!.pYes, null);
    await assert.rejects(run({ model: clip }), { code: 'ERR_CLIPN_MODEL_CONTRACT', message: /atd cannot decide/ });
  });
});

describe('bad input:', () => {
  test('unreadable images are listed and in no figure', async () => {
    const root = at('with-bad');
    cpSync(sets.id, root, { recursive: true });
    writeFileSync(path.join(root, 'cat', '000a.png'), 'no image');
    writeFileSync(path.join(root, 'dog', 'empty.png'), '');
    writeFileSync(path.join(root, 'dog', 'notes.txt'), 'a text');
    const [good, bad] = [await run(), await run({ id: root })];
    assert.deepEqual(
      bad.id.unreadable.map(({ image, code }) => [image, code]),
      [
        ['cat/000a.png', 'ERR_CLIPN_IMAGE_DECODE'],
        ['dog/empty.png', 'ERR_CLIPN_IMAGE_DECODE'],
      ],
    );
    assert.deepEqual([bad.id.images, bad.id.otherFiles], [36, 1]);
    assert.deepEqual([bad.scores, bad.classes], [good.scores, good.classes]);
  });

  test('a set of which nothing is readable, an empty folder, and no OOD folder at all are refused', async () => {
    const data = { code: 'ERR_CLIPN_DATA_FOLDER' };
    await drawImages(at('void'), ['sub'], 1, 1);
    writeFileSync(at('void', 'sub', '000.png'), 'no image');
    await assert.rejects(run({ ood: { void: at('void') } }), { ...data, message: /1 images, none of them readable/ });
    rmSync(at('void', 'sub', '000.png'));
    await assert.rejects(run({ ood: { void: at('void') } }), { ...data, message: /is empty/ });
    await assert.rejects(run({ ood: {} }), { ...data, hint: /`ood`, .*--ood/ });
    await assert.rejects(run({ id: sets.ood.far }), {
      ...data,
      message: /no class folders, and no labels/,
      hint: /`labels`, .*--labels/,
    });
  });

  test('a class that the labels lack is refused, naming it', async () => {
    await assert.rejects(run({ labels: ['cat', 'dog'] }), { code: 'ERR_CLIPN_DATA_CLASSES', message: /bus/ });
  });

  test('a score that is not a finite number, or not one for each image, ends it, naming score and image', async () => {
    const scorer = (values: (n: number) => number[]): Scorer[] => [
      { name: 'own', formula: '', source: '', needs: [], read: ({ n }) => values(n) },
    ];
    const scores = { code: 'ERR_CLIPN_SCORES' };
    const nan = (n: number) => Array.from({ length: n }, (_, i) => (i === 3 ? Number.NaN : 0));
    await assert.rejects(run({ scorers: scorer(nan) }), { ...scores, message: /score own is NaN for .*bus\/003\.png/ });
    await assert.rejects(run({ scorers: scorer(() => [1]) }), { ...scores, message: /1 numbers for 36 images/ });
  });

  test('an unknown deciding score, a bad batch and a bad λ are named', async () => {
    const invalid = { code: 'ERR_CLIPN_INVALID_ARG' };
    await assert.rejects(run({ score: 'best' }), { ...invalid, message: /there is no score best; there are ctw/ });
    await assert.rejects(run({ batch: 0 }), { ...invalid, message: /batch/ });
    await assert.rejects(run({ lambda: Number.NaN }), { ...invalid, message: /lambda/ });
    await assert.rejects(run({ ood: { id: sets.ood.far } }), { ...invalid, message: /cannot be called "id"/ });
  });
});

test('a flat ID folder with labels has no accuracy and no class shares, but all else', async () => {
  const result = await run({ id: sets.ood.far, ood: { near: sets.ood.near }, labels: CLASSES });
  assert.deepEqual([result.id.accuracy, result.id.accuracyInterval, result.classes[0]!.accuracy], [null, null, null]);
  assert.equal(result.worst.falseRejects[0]!.truth, null);
  assert.ok(result.scores['atd']!.average.auroc > 0);
});

test('a calibration is applied to the sets; one for another model is refused', async () => {
  const plain = await run();
  const calibration = { formatVersion: 1 as const, score: 'atd' as const, in: plain.threshold, out: 0 };
  const { calibration: applied } = await run({ calibration });
  assert.equal(applied!.idAccepted, 35 / 36);
  assert.deepEqual(
    [applied!.target, applied!.images, Object.keys(applied!.oodAccepted)],
    [null, null, ['near', 'far']],
  );
  await assert.rejects(run({ calibration: { ...calibration, contentId: 'another' } }), {
    code: 'ERR_CLIPN_CALIBRATION',
  });
  await assert.rejects(run({ calibration, score: 'msp' }), { code: 'ERR_CLIPN_CALIBRATION' });
});

test('a report and a calibration know the same labels by the same hash, that of their JSON', async () => {
  const result = await run();
  const files = readdirSync(sets.id, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.png'));
  const labels = CLASSES.toSorted(); // as the class folders are
  const bank = await model.createLabelBank(labels, { templates: 'plain' });
  const images = files.map((file) => path.join(sets.id, file));
  const { calibration } = await calibrate(model, bank, images, { exif: false });
  assert.equal(result.provenance.labels.sha256, sha256(JSON.stringify(labels)));
  assert.equal(calibration.fittedFor.labels, result.provenance.labels.sha256);
  assert.equal(result.format, 'clipn-native eval 2');
  // Names that lines would not keep apart.
  assert.notEqual(labelsHash(['a\nb', 'c']), labelsHash(['a', 'b\nc']));
});

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
