import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type CheckResult, type Detector, diagnoseDetector, loadModel, type Model } from '../../lib';
import { diagnoseOn } from '../../lib/doctor/diagnose-detector';
import { DRAWING_KINDS, drawings } from '../../lib/images/drawings';
import { smallModel } from '../../lib/weights/small-model';
import { apiModel } from '../support/api-model';
import { VAGUE } from '../support/bad-labels';
import { keepLibtorch } from '../support/run-cli';

keepLibtorch();
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-diagnose-'));
process.env['CLIPN_CACHE_DIR'] = folder;
after(() => rmSync(folder, { recursive: true }));

const ALL = drawings(1);

describe('the drawings', () => {
  test('are three of each kind in each of two sizes, by no two seeds alike', () => {
    const kinds = new Map<string, number>();
    for (const { kind, width, height } of ALL) {
      const key = `${kind} ${width} ${height}`;
      kinds.set(key, (kinds.get(key) ?? 0) + 1);
    }
    assert.equal(kinds.size, 2 * DRAWING_KINDS.length);
    assert.deepEqual([...new Set(kinds.values())], [3]);
    const hashes = [...ALL, ...drawings(2)].map(({ data }) => createHash('sha256').update(data).digest('hex'));
    assert.equal(new Set(hashes).size, hashes.length);
  });

  test('of one seed are the same bytes each time', () => {
    assert.deepEqual(drawings(1), ALL);
  });

  for (const kind of DRAWING_KINDS) {
    const colours = ALL.filter((drawing) => drawing.kind === kind).map(
      ({ data }) =>
        new Set(Array.from({ length: data.length / 3 }, (_, i) => data.subarray(3 * i, 3 * i + 3).join())).size,
    );
    const expected: Record<string, [number, number]> = {
      flat: [1, 1],
      stripes: [2, 2],
      checkerboard: [2, 2],
      strokes: [2, 2],
      shapes: [2, 5],
      blocks: [40, 64],
      gradient: [20, 120_000],
      noise: [100, 120_000],
    };
    test(`of ${kind} have as many colours as that has`, () => {
      const [least, most] = expected[kind]!;
      assert.ok(
        colours.every((count) => count >= least && count <= most),
        colours.join(),
      );
    });
  }
});

describe('a detector', () => {
  let model: Model;
  before(async () => {
    model = await loadModel(await apiModel());
  });
  after(() => model.close());

  /** One that says `in` of every n-th image, by turns as these labels. */
  async function every(
    n: number,
    labels: readonly string[],
    options: { rule?: CheckResult['rule']; as?: string[] } = {},
  ) {
    const bank = await model.createLabelBank(labels, { cache: false, templates: 'plain' });
    // All of their vectors are far apart.
    const yes = new Float32Array(bank.yes.length);
    for (let row = 0; row < labels.length; row++) yes[row * bank.dim + row] = 1;
    const as = options.as ?? labels;
    return {
      bank: { ...bank, yes },
      async *stream(images: readonly unknown[]) {
        for (const i of images.keys()) {
          const verdict = i % n === 0 ? 'in' : 'out';
          yield { label: as[((i / n) % as.length) | 0], verdict, rule: options.rule ?? 'atd' } as CheckResult;
        }
      },
    } as unknown as Detector;
  }
  const LABELS = ['cat', 'dog', 'bus', 'cup', 'tree'];

  for (const [n, standing, accepted] of [
    [1, 'fails', 48],
    [2, 'fails', 24],
    [3, 'doubtful', 16],
    [4, 'doubtful', 12],
    [5, 'passes', 10],
    [100, 'passes', 1],
  ] as const) {
    test(`that accepts every ${n}. drawing ${standing}`, async () => {
      const told = await diagnoseOn(model, await every(n, LABELS), ALL);
      assert.deepEqual([told.standing, told.accepted, told.asked], [standing, accepted, 48]);
      // By turns as each label: none is most of them, unless it is the only one.
      const taken = accepted === 1 ? ', all as "cat"' : '';
      assert.match(told.finding, new RegExp(`^${accepted} of 48 drawings of nothing are accepted${taken}: `));
    });
  }

  test('whose drawings are mostly one label is told to lose it', async () => {
    const told = await diagnoseOn(model, await every(1, LABELS, { as: ['bus', 'bus', 'cat'] }), ALL);
    assert.deepEqual(told.byLabel, [
      { label: 'bus', accepted: 32 },
      { label: 'cat', accepted: 16 },
    ]);
    assert.match(told.finding, /^48 of 48 drawings of nothing are accepted, most as "bus": /);
    assert.match(told.next, /^Take "bus" out/);
  });

  test('that fails is told what to do by what decides', async () => {
    const next = async (rule: CheckResult['rule']) =>
      (await diagnoseOn(model, await every(1, LABELS, { rule }), ALL)).next;
    assert.match(await next('atd'), /--negatives wordnet/);
    assert.match(await next('threshold'), /calibrate/);
    assert.match(await next('calibrated'), /stronger model/);
  });

  test('of labels that are no names fails whatever it accepts', async () => {
    const told = await diagnoseOn(model, await every(100, ['a photo', 'the thing', 'dog']), ALL);
    assert.deepEqual([told.standing, told.unsound], ['fails', ['a photo', 'the thing']]);
    assert.match(told.next, /labels --lint/);
  });

  test('that stops is stopped', async () => {
    const detector = await model.createDetector(['cat', 'dog'], { labelBank: { cache: false, templates: 'plain' } });
    await assert.rejects(diagnoseDetector(model, detector, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  });
});

/** What docs/label-lint.md says. */
describe('on the small model', () => {
  let model: Model;
  before(async () => {
    model = await loadModel(smallModel()!.model);
  });
  after(() => model.close());

  test('the sample labels pass, with each of three seeds', async () => {
    const detector = await model.createDetector(smallModel()!.labels);
    for (const seed of [1, 2, 3]) assert.equal((await diagnoseOn(model, detector, drawings(seed))).standing, 'passes');
  });

  test('thirty-three vague phrases fail as labels', async () => {
    assert.equal((await diagnoseDetector(model, await model.createDetector(VAGUE))).standing, 'fails');
  });
});
