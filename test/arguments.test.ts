/** Whatever a caller passes to a public function: an answer or a coded error, never a TypeError from inside. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as api from '../lib';
import { ClipnError } from '../lib';
import { apiModel } from './support/api-model';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-arguments-'));
const environment = { ...process.env };
before(() => {
  // Nothing may reach a network or the user's cache.
  Object.assign(process.env, { HF_HUB_OFFLINE: '1', CLIPN_LIBTORCH_MIRROR: 'http://127.0.0.1:9/' });
});
after(() => {
  process.env = environment;
  rmSync(folder, { recursive: true });
});

/** Values that no argument is meant to be, and some that a few are. */
const ODD: [what: string, value: unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['a number', 5],
  ['NaN', Number.NaN],
  ['a bigint', 10n],
  ['true', true],
  ['an empty string', ''],
  ['a missing path', path.join(folder, 'missing')],
  ['a symbol', Symbol('odd')],
  ['a function', () => 1],
  ['an empty array', []],
  ['a sparse array', Array(3)],
  ['an object', {}],
  ['an object without a prototype', Object.create(null)],
  ['a date', new Date(0)],
  ['a signal that is none', { signal: { aborted: false } }],
];

type AnyFunction = (...args: unknown[]) => unknown;
const functions = Object.entries(api)
  .filter(([name, value]) => typeof value === 'function' && !/^[A-Z]/.test(name))
  .map(([name, value]) => [name, value as AnyFunction] as const);
/** Arguments that are for users; behind them tests put a machine of their own. */
const OWN: Record<string, number> = { diagnose: 1, fetchLibtorch: 1, fetchModel: 2 };

/** Undefined for an answer or a coded error; else what came. */
async function uncoded(call: () => unknown): Promise<string | undefined> {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof ClipnError)) return String((error as Error)?.stack ?? error).slice(0, 300);
    if (error.code === 'ERR_CLIPN_INTERNAL') return `INTERNAL: ${error.message}`;
  }
  return undefined;
}

describe('odd arguments', { concurrency: 4 }, () => {
  assert.ok(functions.length >= 30);
  for (const [name, of] of functions) {
    test(`${name} answers or refuses them with a code`, async () => {
      const found: string[] = [];
      for (const [first, a] of ODD) {
        // Without options it would fetch.
        if (name === 'fetchLibtorch' && (a === undefined || (typeof a === 'object' && a !== null))) continue;
        for (const [rest, b] of ODD) {
          if (OWN[name] === 1 && b !== undefined) continue;
          const what = await uncoded(() => of(...[a, b, b, b].slice(0, OWN[name])));
          if (what !== undefined) found.push(`${name}(${first}, ${rest}, …): ${what}`);
        }
      }
      assert.deepEqual(found.slice(0, 3), []);
    });
  }

  test('a detector and a model refuse them, too, and go on', async () => {
    await using model = await api.loadModel(await apiModel());
    const bank = await model.createLabelBank(['cat', 'dog'], { cache: false, templates: 'plain' });
    const detector = await model.createDetector(bank);
    const found: string[] = [];
    for (const [what, odd] of ODD) {
      const calls: Record<string, () => unknown> = {
        'check(odd)': () => detector.check(odd as string),
        'check([odd])': () => detector.check([odd as string]),
        'check(_, odd)': () => detector.check('missing.png', odd as object),
        'stream(odd)': async () => {
          for await (const _ of detector.stream(odd as []));
        },
        'encodeImages(odd)': () => model.encodeImages(odd as []),
        'createLabelBank(odd)': () => model.createLabelBank(odd as [], { cache: false, templates: 'plain' }),
        'createDetector(odd)': () => model.createDetector(odd as []),
        'loadLabelBank(odd)': () => model.loadLabelBank(odd as string),
      };
      for (const [call, run] of Object.entries(calls)) {
        const result = await uncoded(run);
        if (result !== undefined) found.push(`${call}, ${what}: ${result}`);
      }
    }
    assert.deepEqual(found.slice(0, 3), []);
    const flat = { data: new Uint8Array(3 * 60 * 60), width: 60, height: 60, channels: 3 as const };
    assert.equal((await detector.check(flat)).rule, 'atd');
  });
});

describe('a misspelt option', () => {
  const refused = (what: RegExp) => (error: unknown) => {
    assert.ok(error instanceof ClipnError);
    assert.equal(error.code, 'ERR_CLIPN_INVALID_ARG');
    assert.match(`${error.message} ${error.hint}`, what);
    return true;
  };

  test('is told by name, with those that there are, rather than ignored', async () => {
    const file = await apiModel();
    await using model = await api.loadModel(file);
    const labelBank = { cache: false, templates: 'plain' };
    const bank = await model.createLabelBank(['cat', 'dog'], labelBank);
    const detector = await model.createDetector(bank);
    const image = { data: new Uint8Array(48), width: 4, height: 4, channels: 3 as const };
    const calls: [call: () => Promise<unknown>, what: RegExp][] = [
      [() => api.loadModel(file, { thread: 1 } as object), /loadModel has no option "thread".*threads/],
      [() => api.loadModel(file, { batch: { maxSize: 1 } as object }), /batch has no option "maxSize".*maxDelayMs/],
      [() => api.loadModel(file, { queue: { size: 1 } as object }), /queue has no option "size".*whenFull/],
      [
        () => model.createLabelBank(['cat'], { template: 'plain' } as object),
        /createLabelBank has no option "template"/,
      ],
      [
        () => model.createDetector(bank, { treshold: 0.5 } as object),
        /createDetector has no option "treshold"\. Did you mean threshold\?/,
      ],
      [() => model.createDetector(bank, { labelBank: { no: 1 } as object }), /labelBank has no option "no".*yesOnly/],
      [() => model.encodeImages([image], { exiff: false } as object), /encodeImages has no option "exiff".*exif/],
      [() => detector.check(image, { reasons: true } as object), /check has no option "reasons".*why/],
      [() => detector.stream([image], { reasons: true } as object).next(), /stream has no option "reasons".*why/],
      [
        () => api.loadDetector({ model: file, labels: ['cat'], labelBank, treshold: 0.5 } as never),
        /loadDetector has no option "treshold".*calibrationFile/,
      ],
      [
        () => api.calibrate(model, bank, [image], { targte: 0.9 } as object),
        /calibrate has no option "targte".*target/,
      ],
      [
        () => api.fitLabelThresholds(model, bank, {}, { targte: 0.9 } as object),
        /fitLabelThresholds has no option "targte".*target/,
      ],
      [() => api.mineNegatives(model, { photos: {}, word: [] } as never), /mineNegatives has no option "word".*words/],
      [() => api.evaluate({ model, id: '.', ood: { a: '.' }, label: [] } as never), /evaluate has no option "label"/],
      [() => api.exportModel(file, 'out.pt', { imageonly: true } as object), /exportModel has no option "imageonly"/],
      [() => api.teach(file, 'data', 'out', { epoch: 1 } as object), /teach has no option "epoch".*epochs/],
      [
        async () => api.createDriftMonitor({} as never, { rates: 0.1 } as object),
        /createDriftMonitor has no option "rates".*rateToDetect/,
      ],
      [
        () => api.exportTorchScript(detector, 'out.pt', { inputs: '' } as object),
        /exportTorchScript has no option "inputs"/,
      ],
      [
        () => api.readScoreFile('scores.csv', { columns: 1 } as object),
        /readScoreFile has no option "columns".*column/,
      ],
      [() => api.score(bank.yes, bank, { topk: 1 } as object), /score has no option "topk".*topK/],
      [
        async () => api.conformalPValues([1], [1], { smooth: true } as object),
        /conformalPValues has no option "smooth".*smoothing/,
      ],
      [() => api.fetchModel('a/b', { commit: 'x' } as object), /fetchModel has no option "commit".*revision/],
      [() => api.diagnose({ libTorch: '.' } as object), /diagnose has no option "libTorch".*libtorch/],
      [
        () => api.diagnoseDetector(model, detector, { abort: 1 } as object),
        /diagnoseDetector has no option "abort".*signal/,
      ],
      [() => api.fetchLibtorch({ sha265: '' } as object), /fetchLibtorch has no option "sha265".*sha256/],
      [async () => api.gate([], { maxOut: 0, confidnce: 1 } as object as never), /gate has no option "confidnce"/],
      [async () => api.select([], { alpha: 0.1, metod: 'by' } as never), /select has no option "metod".*method/],
      [
        async () => api.imagesNeeded({ alpha: 0.1, images: 9, flagged: 1, metod: 'by' } as never),
        /imagesNeeded has no option "metod".*method/,
      ],
      [
        async () => api.costThreshold([1], [0], { falseAccept: 1, falseReject: 1, oodShare: 0.1, share: 1 } as never),
        /cost has no option "share".*oodShare/,
      ],
      [() => api.overlay(image, {} as never, { exiff: false } as object), /overlay has no option "exiff".*exif/],
      [
        () => api.lintLabels(model, ['cat'], { negativs: [] } as object),
        /lintLabels has no option "negativs".*negatives/,
      ],
      [() => model.addLabels(bank, ['cow'], { cache: false } as object), /addLabels has no option "cache"/],
      [() => model.createNegatives(bank, ['hat'], { cahce: false } as object), /createNegatives has no option "cahce"/],
      [() => model.close({ drian: false } as object), /close has no option "drian".*drain/],
      [() => detector.close({ drian: false } as object), /close has no option "drian".*drain/],
      [async () => api.oodMetrics([1], [0], { rules: 'step' } as object), /oodMetrics has no option "rules".*rule/],
    ];
    for (const [call, what] of calls) await assert.rejects(call, refused(what));
  });

  test('is not one that is there and undefined', async () => {
    await using model = await api.loadModel(await apiModel(), { libtorch: undefined } as object);
    assert.equal(model.info.precision, 'fp32');
  });
});

describe('options that say the same thing twice, or what is settled already', () => {
  const invalid = (what: RegExp) => ({ code: 'ERR_CLIPN_INVALID_ARG', message: what });

  test('templates beside a bank', async () => {
    await using model = await api.loadModel(await apiModel());
    const bank = await model.createLabelBank(['cat', 'dog'], { cache: false, templates: 'plain' });
    await assert.rejects(
      model.createDetector(bank, { labelBank: { templates: 'imagenet' } }),
      invalid(/has its templates/),
    );
    await assert.rejects(model.createDetector(bank, { labelBank: { yesOnly: true } }), invalid(/has its templates/));
  });

  test('a calibration and its file', async () => {
    const both = { calibration: {} as never, calibrationFile: 'calibration.json' };
    const options = { model: await apiModel(), labels: ['cat'], ...both };
    await assert.rejects(api.loadDetector(options), invalid(/either a calibration or a calibrationFile/));
  });

  test('how to load a model that is loaded', async () => {
    await using model = await api.loadModel(await apiModel());
    const options = { model, id: folder, ood: { other: folder } };
    await assert.rejects(api.evaluate({ ...options, trustedSha256: 'ab' }), invalid(/trustedSha256 is of loading/));
    await assert.rejects(api.evaluate({ ...options, precision: 'fp32' }), invalid(/precision is of loading/));
  });
});

describe('what a function cannot go on with is refused before any work', () => {
  const invalid = (what: RegExp) => ({ code: 'ERR_CLIPN_INVALID_ARG', message: what });

  test('a model of `evaluate` that is none, and class names that are no Map', async () => {
    const sets = { id: path.join(folder, 'missing'), ood: { other: folder } };
    await assert.rejects(api.evaluate({ ...sets, model: undefined as never }), invalid(/model must be a model/));
    const classNames = { n01440764: 'tench' } as never;
    await assert.rejects(api.evaluate({ ...sets, model: 'model.pt', classNames }), invalid(/classNames must be a Map/));
  });

  test('a dtype of `teach` that there is not', async () => {
    await assert.rejects(
      api.teach('model.pt', 'data', 'out', { dtype: 'fp8' as never }),
      invalid(/dtype must be one of/),
    );
  });

  test('limits that limit nothing', async () => {
    await using model = await api.loadModel(await apiModel());
    const image = { data: new Uint8Array(48), width: 4, height: 4, channels: 3 as const };
    for (const limitPixels of [0, 1.5, Number.POSITIVE_INFINITY]) {
      await assert.rejects(model.encodeImages([image], { limitPixels }), invalid(/limitPixels must be a whole number/));
      await assert.rejects(
        model.createDetector(['cat', 'dog'], { limitPixels, labelBank: { cache: false, templates: 'plain' } }),
        invalid(/limitPixels must be a whole number/),
      );
      await assert.rejects(
        api.mineNegatives(model, { photos: { cat: [__filename] }, words: ['hat'], limitPixels }),
        invalid(/limitPixels must be a whole number/),
      );
      await assert.rejects(
        api.overlay(image, {} as never, { limitPixels }),
        invalid(/limitPixels must be a whole number/),
      );
    }
  });

  test('options of `loadDetector` that it could not take, of a model that is not there', async () => {
    const given = { model: path.join(folder, 'missing.pt') };
    const labels = ['cat', 'dog'];
    await assert.rejects(api.loadDetector({ ...given, labels, limitPixels: 0 }), invalid(/limitPixels must be/));
    await assert.rejects(api.loadDetector({ ...given, labels, topK: 0 }), invalid(/topK must be/));
    await assert.rejects(
      api.loadDetector({ ...given, bank: 'bank.bin', labelBank: { templates: 'plain' } }),
      invalid(/a bank has its templates/),
    );
  });

  test('negatives of `score` that are no rows', async () => {
    await using model = await api.loadModel(await apiModel());
    const bank = await model.createLabelBank(['cat', 'dog'], { cache: false, templates: 'plain' });
    await assert.rejects(api.score(bank.yes, bank, { negatives: 'wordnet' as never }), {
      code: 'ERR_CLIPN_INVALID_ARG',
      hint: /model\.createNegatives/,
    });
  });
});
