/** `clipn-native-serve triton`: the repository as Triton and KServe read it. The answers: test/reference/check_triton.py. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { exampleRequest } from '../../serve/src/triton/request';
import { EnumName, textproto } from '../../serve/src/triton/textproto';
import { apiModel } from '../support/api-model';
import { repository } from '../support/paths';
import { keepLibtorch } from '../support/run-cli';
import { readTextproto } from '../support/textproto';

keepLibtorch();
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-triton-'));
after(() => rmSync(folder, { recursive: true }));

const schema = readFileSync(
  process.env['CLIPN_TRITON_PROTO'] ?? path.join(repository, 'test/support/triton-config.proto'),
  'utf8',
);
const config = (text: string) => readTextproto(text, schema, 'inference.ModelConfig');

interface Tensor {
  name: string;
  data_type: string;
  dims: number[];
  label_filename?: string;
}

function triton(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const argv = [path.join(repository, 'serve/dist/main.js'), 'triton', ...args];
  const env = { ...process.env, CLIPN_CACHE_DIR: path.join(folder, 'cache') };
  return new Promise((resolve) => {
    execFile(process.execPath, argv, { env }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, out, err });
    });
  });
}

const read = (...names: string[]) => readFileSync(path.join(folder, ...names), 'utf8');

describe('of a CLIPN, a repository', () => {
  const out = path.join(folder, 'clipn');
  const args = ['--labels', 'cat, dog,owl', '--out', out, '--max-batch', '8', '--queue-delay', '500'];
  before(async () => {
    const run = await triton('--model', await apiModel(), ...args);
    assert.equal(run.code, 0, run.err);
    assert.deepEqual(
      run.out.trim().split('\n').sort(),
      readdirSync(out, { recursive: true, withFileTypes: true })
        .filter((each) => each.isFile())
        .map((each) => path.relative(out, path.join(each.parentPath, each.name)))
        .sort(),
    );
  });

  test('has a configuration that Triton’s schema knows, complete', () => {
    const found = config(read('clipn/clipn/config.pbtxt'));
    const { output, ...rest } = found;
    assert.deepEqual(rest, {
      name: 'clipn',
      backend: 'pytorch',
      platform: 'pytorch_libtorch',
      default_model_filename: 'model.pt',
      max_batch_size: 8,
      version_policy: { latest: { num_versions: 1 } },
      input: [{ name: 'pixels', data_type: 'TYPE_UINT8', dims: [48, 48, 3] }],
      dynamic_batching: { preferred_batch_size: [8], max_queue_delay_microseconds: 500 },
      instance_group: [{ count: 1, kind: 'KIND_CPU' }],
      parameters: {
        DISABLE_OPTIMIZED_EXECUTION: { string_value: 'true' },
        INFERENCE_MODE: { string_value: 'true' },
      },
      model_warmup: [
        {
          name: 'one image',
          batch_size: 1,
          inputs: { pixels: { data_type: 'TYPE_UINT8', dims: [48, 48, 3], zero_data: true } },
        },
      ],
    });
    const of = (name: string, data_type: string, count: number) => ({ name, data_type, dims: [count] });
    const labels = { label_filename: 'labels.txt' };
    assert.deepEqual(output, [
      of('features__0', 'TYPE_FP32', 32),
      of('label__1', 'TYPE_INT64', 1),
      { ...of('p__2', 'TYPE_FP32', 3), ...labels },
      of('msp__3', 'TYPE_FP32', 1),
      of('maxLogit__4', 'TYPE_FP32', 1),
      of('energy__5', 'TYPE_FP32', 1),
      of('mcm__6', 'TYPE_FP32', 1),
      { ...of('pYes__7', 'TYPE_FP32', 3), ...labels },
      of('ctw__8', 'TYPE_FP32', 1),
      of('atd__9', 'TYPE_FP32', 1),
      of('gap__10', 'TYPE_FP32', 1),
      of('logPOut__11', 'TYPE_FP32', 1),
      of('logQMax__12', 'TYPE_FP32', 1),
    ]);
    assert.equal(read('clipn/clipn/labels.txt'), 'cat\ndog\nowl\n');
  });

  test('has a compose file that serves it on this computer alone', () => {
    const { services } = parse(read('clipn/docker-compose.yml'));
    const { command, ports, volumes, environment } = services.triton;
    assert.deepEqual(
      { command, volumes, environment },
      { command: 'tritonserver --model-repository=/models', volumes: ['.:/models:ro'], environment: undefined },
    );
    assert.ok(ports.every((port: string) => port.startsWith('127.0.0.1:')));
  });

  test('has a manifest for KServe’s Triton runtime', () => {
    const { apiVersion, kind, metadata, spec } = parse(read('clipn/inference-service.yaml'));
    assert.deepEqual(
      [apiVersion, kind, metadata],
      ['serving.kserve.io/v1beta1', 'InferenceService', { name: 'clipn' }],
    );
    assert.deepEqual(spec.predictor.model.modelFormat, { name: 'triton' });
  });

  test('says in both that nobody has run them', () => {
    for (const file of ['docker-compose.yml', 'inference-service.yaml']) {
      assert.match(read('clipn', file).split('\n')[0]!, /^# .*not run/);
    }
  });

  test('has an example request of the size that its README names, for outputs that exist', () => {
    const request = read('clipn/request.json');
    assert.match(
      read('clipn/README.md'),
      new RegExp(`Inference-Header-Content-Length: ${Buffer.byteLength(request)}'`),
    );
    const { inputs, outputs } = JSON.parse(request);
    assert.deepEqual(inputs, [
      { name: 'pixels', datatype: 'UINT8', shape: [1, 48, 48, 3], parameters: { binary_data_size: 48 * 48 * 3 } },
    ]);
    const { output } = config(read('clipn/clipn/config.pbtxt')) as { output: Tensor[] };
    const names = output.map(({ name }) => name);
    assert.ok(outputs.length > 1 && outputs.every(({ name }: Tensor) => names.includes(name)), JSON.stringify(outputs));
    // Triton names labels only for an output with a label file.
    const named = outputs.find(({ parameters }: { parameters?: unknown }) => parameters !== undefined).name;
    assert.equal(output.find(({ name }) => name === named)!.label_filename, 'labels.txt');
  });

  test('is not written over; the next version goes beside it, with the same labels', async () => {
    const model = ['--model', await apiModel()];
    const again = await triton(...model, ...args);
    assert.equal(again.code, 1);
    assert.match(again.err, /^ERR_SERVE_TRITON_EXISTS: .*clipn.1.model\.pt is there already/m);
    const other = await triton(...model, '--labels', 'cat,dog,fox', ...args.slice(2), '--model-version', '2');
    assert.match(other.err, /^ERR_SERVE_TRITON_EXISTS: .*labels\.txt is of a model with other labels/m);
    assert.equal(existsSync(path.join(out, 'clipn/2')), false);
    writeFileSync(path.join(out, 'README.md'), 'of another model by now');
    rmSync(path.join(out, 'pixels.py'));
    const next = await triton(...model, ...args, '--model-version', '2');
    assert.equal(next.code, 0, next.err);
    assert.equal(read('clipn/README.md'), 'of another model by now');
    assert.deepEqual(next.out.trim().split('\n').sort(), [
      'clipn/2/model.pt',
      'clipn/config.pbtxt',
      'clipn/labels.txt',
      'pixels.py',
    ]);
    assert.deepEqual(readdirSync(path.join(out, 'clipn')).sort(), ['1', '2', 'config.pbtxt', 'labels.txt']);
  });
});

test('a README of somebody else is not written over', async () => {
  const out = path.join(folder, 'project');
  mkdirSync(out);
  writeFileSync(path.join(out, 'README.md'), 'mine');
  const run = await triton('--model', await apiModel(), '--labels', 'cat', '--out', out);
  assert.equal(run.code, 1);
  assert.match(run.err, /^ERR_SERVE_TRITON_EXISTS: .*README\.md is there already, and not of this model/m);
  assert.deepEqual(readdirSync(out), ['README.md']);
  assert.equal(read('project', 'README.md'), 'mine');
});

test('of a plain CLIP on GPUs, with words and normalised numbers, a repository has what is left', async () => {
  const out = path.join(folder, 'clip');
  const run = await triton(
    ...['--model', await apiModel('clip'), '--labels', 'cat,dog', '--negatives', words('fork', 'cloud')],
    ...['--out', out, '--name', 'Plain_CLIP', '--input', 'normalised', '--instance-device', 'gpu', '--instances', '2'],
  );
  assert.equal(run.code, 0, run.err);
  const found = config(read('clip/Plain_CLIP/config.pbtxt'));
  const { input, output, instance_group, parameters } = found as Record<string, Tensor[]>;
  assert.deepEqual(input, [{ name: 'pixels', data_type: 'TYPE_FP32', dims: [3, 48, 48] }]);
  const names = 'features label p msp maxLogit energy mcm word negLabel wordMax'.split(' ');
  assert.deepEqual(
    output!.map(({ name }) => name),
    names.map((name, index) => `${name}__${index}`),
  );
  assert.deepEqual(instance_group, [{ count: 2, kind: 'KIND_GPU' }]);
  assert.deepEqual((parameters as unknown as Record<string, unknown>)['ENABLE_WEIGHT_SHARING'], {
    string_value: 'true',
  });
  assert.deepEqual(read('clip/Plain_CLIP/words.txt').trim().split('\n').sort(), ['cloud', 'fork']);
  const other = await triton(
    ...['--model', await apiModel('clip'), '--labels', 'cat,dog', '--negatives', words('fork', 'moon')],
    ...['--out', out, '--name', 'Plain_CLIP', '--input', 'normalised', '--instance-device', 'gpu', '--instances', '2'],
    ...['--model-version', '2'],
  );
  assert.match(other.err, /^ERR_SERVE_TRITON_EXISTS: .*words\.txt is of a model with other labels, words/m);
  const { services } = parse(read('clip/docker-compose.yml'));
  assert.deepEqual(services.triton.deploy.resources.reservations.devices[0].capabilities, ['gpu']);
  assert.deepEqual(services.triton.environment, { NVIDIA_TF32_OVERRIDE: '0' });
  const service = parse(read('clip/inference-service.yaml'));
  assert.equal(service.metadata.name, 'plain-clip');
  assert.equal(service.spec.predictor.model.resources.limits['nvidia.com/gpu'], '1');
  assert.equal(JSON.parse(read('clip/request.json')).inputs[0].parameters.binary_data_size, 4 * 3 * 48 * 48);
});

function words(...list: string[]): string {
  const file = path.join(folder, 'words.txt');
  writeFileSync(file, `${list.join('\n')}\n`);
  return file;
}

describe('is told', () => {
  for (const [what, flags, said] of [
    ['a name that is no folder', ['--name', '../x'], /a model's name has letters/],
    ['a batch of none', ['--max-batch', '0'], /--max-batch <n>.*A whole number from 1/],
    ['two lists of classes', ['--bank', 'x'], /exactly one of --labels/],
    ['another input', ['--input', 'jpeg'], /--input <kind>.*pixels, normalised/],
  ] as const) {
    test(what, async () => {
      const run = await triton(
        '--model',
        await apiModel(),
        '--labels',
        'cat',
        '--out',
        path.join(folder, 'no'),
        ...flags,
      );
      assert.equal(run.code, 2);
      assert.match(run.err, said);
    });
  }
});

test('the text format keeps quotes, lines and every letter', () => {
  const name = 'a "b" \\ c\n\té \u{1f986}';
  const text = textproto({ name, input: [{ name: 'x', data_type: new EnumName('TYPE_FP32'), dims: [1, 2] }] });
  assert.deepEqual(config(text), { name, input: [{ name: 'x', data_type: 'TYPE_FP32', dims: [1, 2] }] });
});

test('the schema that the tests hold configurations against refuses what is not in it', () => {
  for (const wrong of [
    'nme: "x"',
    'name: x',
    'max_batch_size: "8"',
    'input { data_type: TYPE_FLOAT }',
    'name: "x"\nname: "y"',
  ]) {
    assert.throws(() => config(wrong), assert.AssertionError, wrong);
  }
});

test('the example asks a plain CLIP for no score that it lacks', () => {
  const tensor = (name: string) => ({ name, dtype: 'float32' as const, shape: [1] });
  const { outputs } = JSON.parse(
    exampleRequest({
      formatVersion: 1,
      input: { name: 'pixels', dtype: 'uint8', shape: [2, 2, 3] },
      outputs: [tensor('p'), tensor('mcm')],
      labels: ['cat'],
      words: [],
      imageSize: 2,
      mean: [0, 0, 0],
      std: [1, 1, 1],
      contentId: '',
    }),
  );
  assert.deepEqual(
    outputs.map(({ name }: { name: string }) => name),
    ['p__0', 'mcm__1'],
  );
});
