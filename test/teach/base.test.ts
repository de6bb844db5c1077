/** What `teach` takes as its base beyond a file of OpenCLIP's: folders, with what their configs say. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type TeachOptions, type TeachStep, teach } from '../../lib';
import { readCheckpoint } from '../../lib/weights/checkpoint';
import { hashTensors } from '../../lib/weights/content-id';
import { writeCheckpoint } from '../support/checkpoint-writer';
import { hfConfig, hfFolder, hfGolden, hfWeights, writeHfSafetensors } from '../support/hugging-face';
import { assertRows, encodeImages, encodeText, FP32, withModel } from '../support/model-file';
import { smallestTeaching } from '../support/teaching';
import { SMALLEST, tinyTokenizer } from '../support/tiny-model';
import { pickle } from '../support/torch-zip';

const root = mkdtempSync(path.join(tmpdir(), 'clipn-teach-base-'));
after(() => rmSync(root, { recursive: true }));

const at = (...names: string[]) => path.join(root, ...names);
let data: string;
let options: TeachOptions;
/** transformers' folder of a CLIP with QuickGELU and heads 32 wide. */
let huggingFace: string;

before(async () => {
  process.env['OMP_NUM_THREADS'] ??= '1'; // so small a network gains nothing by more
  const files = await smallestTeaching(at('files'));
  const { templates, steps, batch, lr } = files.options;
  [data, options] = [files.data, { templates, steps, batch, lr, features: at('features') } as TeachOptions];
  huggingFace = hfFolder(at('hugging-face'), { 'config.json': hfConfig('quick_gelu') });
  await writeHfSafetensors(path.join(huggingFace, 'model.safetensors'), hfWeights());
});

const RUN = ['epoch_1.pt', 'epoch_2.pt', 'log.jsonl', 'model.pt', 'run.json'];

async function weightsOf(file: string): Promise<string> {
  const { tensors } = await readCheckpoint(file);
  return await hashTensors(file, tensors, [...tensors.keys()], '');
}

test("a folder of transformers' CLIP is taught; its model has transformers' features, activation and heads", async () => {
  const { model } = await teach(huggingFace, data, at('run'), options);
  assert.deepEqual(readdirSync(at('run')).sort(), RUN, 'what was written for the run is gone');
  const { image_features: images, text_yes: yes } = hfGolden.quick_gelu;
  await withModel(model, async (loaded) => {
    assert.deepEqual(
      [loaded.config.kind, loaded.config.architecture.activation, loaded.config.architecture.visionHeads],
      ['clipn', 'quickgelu', 2],
    );
    assert.equal(loaded.tokenizerJson, tinyTokenizer());
    assertRows(await encodeImages(loaded, hfGolden.images), images, FP32);
    assertRows(await encodeText(loaded, 'yes', hfGolden.token_ids), yes, FP32);
  });
});

test('a run from a folder that was aborted goes on to the weights of one that was not', async () => {
  const controller = new AbortController();
  const onStep = ({ step }: TeachStep) => step === 5 && controller.abort(new Error('enough'));
  await assert.rejects(teach(huggingFace, data, at('aborted'), { ...options, signal: controller.signal, onStep }));
  assert.deepEqual(
    readdirSync(at('aborted')).filter((name) => name.startsWith('.')),
    [],
  );
  // A call that was killed could not clean up.
  const leftover = at('aborted', '.model.pt.6e2ab3d4-0a3c-4c36-9c1b-3f1a2a5a7f10.tmp');
  writeFileSync(leftover, 'killed');
  const seen: number[] = [];
  const { checkpoint } = await teach(huggingFace, data, at('aborted'), {
    ...options,
    onStep: ({ step }) => seen.push(step),
  });
  assert.deepEqual(seen, [6]);
  assert.ok(!existsSync(leftover));
  assert.equal(await weightsOf(checkpoint), await weightsOf(at('run', 'epoch_2.pt')));
});

test("a folder of OpenCLIP's is taught with its config's heads, mean and deviation", async () => {
  mkdirSync(at('openclip'));
  await writeCheckpoint(at('openclip', 'open_clip_pytorch_model.bin'), SMALLEST, { kind: 'clip', scheme: 'flat' });
  const config = (mean: number) =>
    JSON.stringify({
      model_cfg: { embed_dim: 8, quick_gelu: true, vision_cfg: { head_width: 16 }, text_cfg: { heads: 4 } },
      preprocess_cfg: { mean: [mean, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
    });
  const run = async (name: string, mean: number) => {
    writeFileSync(at('openclip', 'open_clip_config.json'), config(mean));
    const stages = new Set<string>();
    const tokenizer = path.join(huggingFace, 'tokenizer.json');
    const onProgress: TeachOptions['onProgress'] = ({ stage }) => stages.add(stage);
    const { model } = await teach(at('openclip'), data, at(name), { ...options, tokenizer, onProgress });
    return await withModel(model, async (loaded) => ({ ...loaded.config, stages: [...stages] }));
  };
  const first = await run('halves', 0.5);
  assert.deepEqual([first.architecture.visionHeads, first.architecture.activation], [4, 'quickgelu']);
  assert.deepEqual([first.mean, first.std], [Array(3).fill(0.5), Array(3).fill(0.25)]);
  // The features of images prepared in another way are others, though the weights are the same.
  assert.ok((await run('quarters', 0.25)).stages.includes('images'));
});

test('of several models in a base the one that is named is taught', async () => {
  const root = (stateDict: Buffer) => {
    const entry = (name: string): [Buffer, Buffer] => [pickle.string(name), stateDict];
    return pickle.dict([entry('model'), [pickle.string('ema'), pickle.dict([entry('model')])]]);
  };
  await writeCheckpoint(at('two.pt'), SMALLEST, { kind: 'clip', scheme: 'flat', root });
  const heads = { embed_dim: 8, vision_cfg: { head_width: 16 }, text_cfg: { heads: 4 } };
  writeFileSync(at('two.json'), JSON.stringify(heads));
  const files = { config: at('two.json'), tokenizer: path.join(huggingFace, 'tokenizer.json') };
  const run = (key?: string) => teach(at('two.pt'), data, at('two'), { ...options, ...files, ...(key && { key }) });
  await assert.rejects(run(), { code: 'ERR_CLIPN_INVALID_ARG', message: /2 models: model, ema\.model/ });
  assert.equal((await run('ema.model')).log.length, 6);
});

test('a base that cannot be read leaves no folder', async () => {
  await assert.rejects(teach(at('nowhere'), data, at('none'), options), { code: 'ERR_CLIPN_IO' });
  assert.ok(!existsSync(at('none')));
});
