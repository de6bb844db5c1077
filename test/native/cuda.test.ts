import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { resolveLibtorch } from '../../lib/libtorch/find';
import { openCuda } from '../../lib/native/cuda';
import { apiModel } from '../support/api-model';
import { type FakeCuda, skipFakeCuda, withFakeCuda } from '../support/fake-cuda';
import { smallestTeaching } from '../support/teaching';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-cuda-'));
let model: string;
/** Without text towers it loads in half the time. */
let imageModel: string;
let runs = 0;

before(async () => {
  [model, imageModel] = [await apiModel(), await apiModel('image')];
});
after(() => rmSync(folder, { recursive: true }));

const run = (fake: FakeCuda, script: string) => withFakeCuda(path.join(folder, String(runs++)), fake, script);

interface Loaded {
  device: string;
  deviceReason: string | null;
  precision: string;
  error?: { code: string; message: string };
}

/** Loads the model in each of these ways, in one process, and tells where it runs. */
const load = async (fake: FakeCuda, ...ways: [device: string, precision: string][]) =>
  (await run(
    fake,
    `const loaded = [];
     for (const [device, precision] of ${JSON.stringify(ways)}) {
       loaded.push(await lib.loadModel(${JSON.stringify(imageModel)}, { device, precision }).then(async (model) => {
         const { device, deviceReason, precision } = model.info;
         await model.close();
         return { device, deviceReason, precision };
       }, (error) => ({ error: known(error) })));
     }
     return loaded;`,
  )) as Loaded[];

test('a driver that could not be asked is asked again by the next model', async () => {
  let asked = 0;
  const addon = {
    openCuda: async () => {
      if (asked++ === 0) throw new Error('no file handle left');
      return { missing: 'driver', reason: 'no driver', driver: 0, name: '', capability: 0, memory: 0 };
    },
  };
  const engine = { addon, libtorch: { dir: '', version: '2.13.0', flavour: 'cpu', core: '' } } as never;
  await assert.rejects(openCuda(engine), /no file handle left/);
  assert.equal((await openCuda(engine)).missing, 'driver');
});

const MISSING: [piece: string, fake: FakeCuda, reason: RegExp][] = [
  ['driver', { driver: false }, /no NVIDIA driver: .*libcuda\.so\.1/],
  ['driver', { gpu: '12040,1,90' }, /driver supports CUDA 12\.4, and libtorch 2\.\d+\.\d+\+cu130 needs 13\.0/],
  ['device', { gpu: '13000,0,0' }, /shows no GPU/],
  ['architecture', { gpu: '13000,1,61' }, /Fake GPU has compute capability 6\.1; 7\.5/],
  ['architecture', { fails: 'architecture' }, /no kernel image/],
  ['libtorch', { flavour: 'cpu' }, /libtorch 2\.\d+\.\d+\+cpu at .* is no CUDA build/],
  ['plugin', { plugin: false }, /no CUDA plugin for libtorch 2\./],
];

describe('without a GPU of any kind, on a fake driver and plugin', { skip: skipFakeCuda, concurrency: 2 }, () => {
  for (const [piece, fake, reason] of MISSING) {
    test(`'cuda' is refused and 'auto' takes the CPU, each naming the missing ${piece}: ${reason.source}`, async (context) => {
      // The libraries overrule a version.py that says 'cpu'.
      if (fake.flavour === 'cpu' && resolveLibtorch().flavour !== 'cpu')
        return context.skip('libtorch is a CUDA build');
      const [strict, auto] = await load(fake, ['cuda', 'fp32'], ['auto', 'auto']);
      assert.equal(strict!.error?.code, 'ERR_CLIPN_CUDA_UNAVAILABLE');
      assert.match(strict!.error!.message, reason);
      assert.equal(auto!.device, 'cpu');
      assert.match(auto!.deviceReason!, reason);
    });
  }

  test("'cuda' and 'auto' take CUDA when nothing is missing, 'cpu' does not", async () => {
    assert.deepEqual(await load({}, ['cuda', 'fp32'], ['auto', 'auto'], ['auto', 'fp16'], ['cpu', 'fp32']), [
      { device: 'cuda', deviceReason: null, precision: 'fp32' },
      { device: 'cuda', deviceReason: null, precision: 'bf16' },
      { device: 'cuda', deviceReason: null, precision: 'fp16' },
      { device: 'cpu', deviceReason: null, precision: 'fp32' },
    ]);
    const [turing] = await load({ gpu: '13000,1,75' }, ['auto', 'auto']);
    assert.equal(turing!.precision, 'fp16', 'a GPU without bf16');
  });

  test('int8 and guarded are refused on CUDA, which has neither, and not on the CPU beside it', async () => {
    const refused = await load({}, ['cuda', 'int8'], ['auto', 'guarded']);
    for (const { error } of refused) {
      assert.equal(error?.code, 'ERR_CLIPN_INVALID_ARG');
      assert.match(error!.message, /is for CPUs, and the model would run on a GPU/);
    }
    const [beside] = await load({}, ['cpu', 'guarded']);
    assert.equal(beside!.device, 'cpu');
  });

  test('images and scores go through the plugin, each bank under a number of its own', async () => {
    const result = await run(
      {},
      `const model = await lib.loadModel(${JSON.stringify(model)}, { device: 'cuda' });
       const image = { data: new Uint8Array(12), width: 2, height: 2, channels: 3 };
       const answers = [];
       for (const labels of [['cat', 'dog'], ['dog', 'cat']]) {
         const detector = await model.createDetector(labels, { labelBank: { cache: false, templates: 'plain' } });
         for (let i = 0; i < 2; i++) answers.push((await detector.check(image)).scores.maxLogit);
       }
       const features = [...await model.encodeImages([image])];
       await model.close();
       return { answers, features };`,
    );
    const { answers, features } = result as { answers: number[]; features: number[] };
    assert.deepEqual(answers, [1, 1, 2, 2], "the fake plugin's answer is the bank's number");
    assert.deepEqual(features, [1, ...features.slice(1).map(() => 0)], "the fake plugin's feature");
  });

  test('with negative words the CPU scores: the plugin knows no words', async () => {
    const result = await run(
      {},
      `const model = await lib.loadModel(${JSON.stringify(model)}, { device: 'cuda' });
       const bank = await model.createLabelBank(['cat', 'dog'], { cache: false, templates: 'plain' });
       const negatives = { rows: bank.yes, groupEnds: [2] };
       const { negLabel } = await model.scoreFeatures(bank.yes, bank, { topK: 1, logits: false, negatives });
       const { negLabel: none } = await model.scoreFeatures(bank.yes, bank, { topK: 1, logits: false });
       await model.close();
       return { negLabel: [...negLabel], none: [...none].map(Number.isNaN) };`,
    );
    // Words that are the labels have the same sum: exactly half.
    assert.deepEqual(result, { negLabel: [0.5, 0.5], none: [true, true] });
  });

  for (const [fails, code] of [
    ['lost', 'ERR_CLIPN_DEVICE_LOST'],
    ['memory', 'ERR_CLIPN_OUT_OF_MEMORY'],
  ] as const) {
    test(`${code} rejects the call, and the process survives`, async () => {
      const result = await run(
        { fails },
        `const model = await lib.loadModel(${JSON.stringify(model)}, { device: 'cuda' });
         const image = { data: new Uint8Array(12), width: 2, height: 2, channels: 3 };
         const codes = [];
         for (let i = 0; i < 2; i++) await model.encodeImages([image]).catch((error) => codes.push(error.code));
         await model.close();
         return codes;`,
      );
      assert.deepEqual(result, [code, code]);
    });
  }

  const taught = async (fake: FakeCuda, device: string) => {
    const { base, data, options } = await smallestTeaching(path.join(folder, `teaching-${runs}`));
    const given = [base, data, path.join(folder, `taught-${runs}`), { ...options, device }];
    return (await run(fake, `return await lib.teach(...${JSON.stringify(given)});`)) as {
      device?: string;
      error?: { code: string; message: string };
    };
  };

  test('teach refuses CUDA that is not there, naming the missing piece; with auto it takes the CPU and says so', async () => {
    const { error } = await taught({ driver: false }, 'cuda');
    assert.equal(error?.code, 'ERR_CLIPN_CUDA_UNAVAILABLE');
    assert.match(error.message, /no NVIDIA driver/);
    assert.equal((await taught({ driver: false }, 'auto')).device, 'cpu');
  });

  test('teach trains where its features come from: it does not fall back to the CPU', async () => {
    const { error } = await taught({}, 'auto');
    assert.equal(error?.code, 'ERR_CLIPN_CUDA_UNAVAILABLE');
    assert.match(error.message, /this libtorch finds no CUDA device/, 'said by the trainer: the libtorch is a CPU one');
  });

  test('doctor names the missing piece, and the GPU when nothing is missing', async () => {
    const doctor = `
      const { formatDiagnosis } = require(require.resolve('./dist/doctor/format', { paths: [process.env.PACKAGE] }));
      return formatDiagnosis(await lib.diagnose());`;
    const report = (fake: FakeCuda) =>
      run(
        fake,
        doctor.replace('process.env.PACKAGE', JSON.stringify(path.join(folder, String(runs)))),
      ) as Promise<string>;
    assert.match(
      await report({}),
      /^CUDA +usable: Fake GPU, compute capability 9\.0, 8 GiB; driver for CUDA 13\.0; plugin /m,
    );
    const without = await report({ driver: false });
    assert.match(without, /^CUDA +not usable, driver missing: no NVIDIA driver: .*libcuda\.so\.1/m);
    assert.match(without, /Install NVIDIA’s driver .*the CPU works without/);
  });
});
