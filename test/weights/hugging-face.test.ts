import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { exportModel } from '../../lib';
import { type StreamedTensor, streamSafetensors } from '../../lib/formats/safetensors';
import type { TensorDtype } from '../../lib/formats/tensor-table';
import { openHuggingFace } from '../../lib/weights/hugging-face';
import { writeCheckpoint } from '../support/checkpoint-writer';
import {
  hfConfig,
  hfFolder,
  hfGolden,
  hfMlpGolden,
  hfPreprocessor,
  hfWeights,
  writeHfBin,
  writeHfSafetensors,
} from '../support/hugging-face';
import { assertRows, encodeImages, encodeText, FP32, withModel } from '../support/model-file';
import { NETWORKS } from '../support/seeded-weights';
import { tinyTokenizer } from '../support/tiny-model';

const root = mkdtempSync(path.join(tmpdir(), 'clipn-hugging-face-'));
after(() => rmSync(root, { recursive: true }));

const at = (...parts: string[]) => path.join(root, ...parts);
const weights = hfWeights();
let models = 0;
const out = () => at(`model-${models++}.pt`);

/** A folder with the weights in one file. */
async function whole(name: string, files: Readonly<Record<string, object | null>> = {}): Promise<string> {
  const folder = hfFolder(at(name), files);
  await writeHfSafetensors(path.join(folder, 'model.safetensors'), weights);
  return folder;
}

for (const activation of ['gelu', 'quick_gelu'] as const) {
  test(`a folder of transformers' CLIP gives transformers' features: ${activation}, heads 32 wide`, async () => {
    const folder = await whole(activation, { 'config.json': hfConfig(activation) });
    const file = out();
    const config = await exportModel(folder, file);
    assert.equal(config.architecture.visionHeads, 2);
    assert.equal(config.source.kind, 'huggingface');
    const golden = hfGolden[activation];
    await withModel(file, async (model) => {
      assertRows(await encodeImages(model, hfGolden.images), golden.image_features, FP32);
      assertRows(await encodeText(model, 'yes', hfGolden.token_ids), golden.text_yes, FP32);
    });
    assert.deepEqual(
      readdirSync(root).filter((name) => name.startsWith('.')),
      [],
      'what was written meanwhile is gone',
    );
  });
}

test("MLPs of other widths than 4 times the tower's give transformers' features", async () => {
  const { text_config, vision_config, ...rest } = hfConfig('gelu');
  const config = {
    ...rest,
    text_config: { ...text_config, intermediate_size: 150 },
    vision_config: { ...vision_config, intermediate_size: 173 },
  };
  const folder = hfFolder(at('mlp'), { 'config.json': config });
  await writeHfSafetensors(path.join(folder, 'model.safetensors'), hfWeights(hfMlpGolden.shapes));
  const file = out();
  const { architecture } = await exportModel(folder, file);
  assert.deepEqual([architecture.visionMlp, architecture.textMlp], [173, 150]);
  await withModel(file, async (model) => {
    assertRows(await encodeImages(model, hfMlpGolden.images), hfMlpGolden.gelu.image_features, FP32);
    assertRows(await encodeText(model, 'yes', hfMlpGolden.token_ids), hfMlpGolden.gelu.text_yes, FP32);
  });
});

test('a config that does not say its activation means QuickGELU, as in transformers', async () => {
  const { text_config, vision_config, ...rest } = hfConfig('');
  const without = ({ hidden_act: _, ...tower }: typeof text_config | typeof vision_config) => tower;
  const config = { ...rest, text_config: without(text_config), vision_config: without(vision_config) };
  const { architecture } = await exportModel(await whole('unsaid', { 'config.json': config }), out());
  assert.equal(architecture.activation, 'quickgelu');
});

test('what a config leaves out is what CLIPConfig() of transformers 5.18 has there', async () => {
  const image = { size: 224, image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] };
  const folder = hfFolder(at('defaults'), { 'config.json': { model_type: 'clip' }, 'preprocessor_config.json': image });
  const { config, visionLayers, textLayers } = await openHuggingFace(folder, []);
  assert.deepEqual(config.sizes, {
    embedDim: 512,
    imageSize: 224,
    patchSize: 32,
    visionWidth: 768,
    visionLayers: 12,
    visionMlp: 3072,
    contextLength: 77,
    vocabSize: 49408,
    textWidth: 512,
    textLayers: 12,
    textMlp: 2048,
  });
  assert.deepEqual(
    [visionLayers, textLayers, config.quickGelu, config.visionHeadWidth, config.textHeads],
    [12, 12, true, 64, 8],
  );
});

test('an old config, whose second object for a tower goes before the first with all its defaults', async () => {
  const before = { hidden_size: 64, intermediate_size: 256, num_attention_heads: 4, image_size: 32 };
  const text = { hidden_size: 64, intermediate_size: 256, num_attention_heads: 2 };
  const config = { ...hfConfig('gelu'), text_config_dict: text, vision_config_dict: before };
  const { config: read, visionLayers } = await openHuggingFace(hfFolder(at('old'), { 'config.json': config }), []);
  // As CLIPConfig of transformers 5.18 has it: QuickGELU, 12 layers and patches of 32 are defaults again.
  assert.deepEqual([read.visionHeadWidth, read.quickGelu, visionLayers, read.sizes.patchSize], [16, true, 12, 32]);
});

test('the image processor that transformers 5 writes goes before the older file', async () => {
  const nested = { image_processor: { ...hfPreprocessor, image_mean: [0.1, 0.2, 0.3] } };
  const beside: Record<string, Record<string, null>> = { both: {}, alone: { 'preprocessor_config.json': null } };
  for (const [name, files] of Object.entries(beside)) {
    const folder = hfFolder(at(`processor ${name}`), { 'processor_config.json': nested, ...files });
    assert.deepEqual((await openHuggingFace(folder, [])).config.mean, [0.1, 0.2, 0.3]);
  }
});

test('no file that is read is overwritten, whatever name it is given by', async () => {
  const folder = await whole('kept');
  const weightsFile = path.join(folder, 'model.safetensors');
  const before = readFileSync(weightsFile);
  symlinkSync(weightsFile, at('link.pt'));
  for (const target of [
    weightsFile,
    path.join(folder, 'config.json'),
    path.join(folder, 'tokenizer.json'),
    at('link.pt'),
  ]) {
    await assert.rejects(exportModel(folder, target), { code: 'ERR_CLIPN_INVALID_ARG', message: /overwrite/ });
  }
  assert.ok(readFileSync(weightsFile).equals(before));
});

describe('the same weights have the same content', () => {
  const contentOf = async (given: string) => (await exportModel(given, out())).contentId;

  test('in one file, in shards, as pytorch_model.bin, and when the file itself is named', async () => {
    const folder = await whole('one');
    const keys = [...weights.keys()];
    const sharded = hfFolder(at('sharded'));
    const map: Record<string, string> = {};
    for (const [i, part] of [keys.slice(0, 30), keys.slice(30)].entries()) {
      const name = `model-0000${i + 1}-of-00002.safetensors`;
      await writeHfSafetensors(path.join(sharded, name), new Map(part.map((key) => [key, weights.get(key)!])));
      for (const key of part) map[key] = name;
    }
    writeFileSync(path.join(sharded, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
    const bin = hfFolder(at('bin'));
    await writeHfBin(path.join(bin, 'pytorch_model.bin'), weights);

    const content = await contentOf(folder);
    assert.equal(await contentOf(path.join(folder, 'model.safetensors')), content);
    assert.equal(await contentOf(sharded), content);
    assert.equal(await contentOf(bin), content);
  });

  test('bfloat16 weights are read; their features lie near', async () => {
    const folder = hfFolder(at('bf16'));
    await writeHfSafetensors(path.join(folder, 'model.safetensors'), weights, 'bfloat16');
    const file = out();
    await exportModel(folder, file);
    // 8 bits of weights: rounding of 2^-9 each, through two blocks.
    await withModel(file, async (model) =>
      assertRows(await encodeImages(model, hfGolden.images), hfGolden.gelu.image_features, 0.05),
    );
  });

  test('an OpenCLIP folder is read with the config in it', async () => {
    const folder = hfFolder(at('openclip'), { 'config.json': null, 'preprocessor_config.json': null });
    await writeCheckpoint(path.join(folder, 'open_clip_pytorch_model.bin'), NETWORKS.tiny, {
      kind: 'clip',
      scheme: 'flat',
    });
    const model_cfg = { embed_dim: 8, vision_cfg: { head_width: 16 }, text_cfg: { heads: 4 } };
    const preprocess_cfg = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
    writeFileSync(path.join(folder, 'open_clip_config.json'), JSON.stringify({ model_cfg, preprocess_cfg }));
    writeFileSync(at('tokenizer.json'), tinyTokenizer());
    for (const given of [folder, path.join(folder, 'open_clip_pytorch_model.bin')]) {
      const config = await exportModel(given, out(), { tokenizer: at('tokenizer.json') });
      assert.deepEqual([config.architecture.visionHeads, config.mean], [4, [0.5, 0.5, 0.5]]);
    }
    const shared = path.join(folder, 'pytorch_model.bin');
    renameSync(path.join(folder, 'open_clip_pytorch_model.bin'), shared);
    await writeHfSafetensors(path.join(folder, 'model.safetensors'), weights);
    // These are transformers', and their config.json is not there.
    await assert.rejects(exportModel(folder, out()), { code: 'ERR_CLIPN_CHECKPOINT_FORMAT', message: /config\.json/ });
    rmSync(path.join(folder, 'model.safetensors'));
    const config = await exportModel(folder, out(), { tokenizer: at('tokenizer.json') });
    assert.deepEqual(config.mean, [0.5, 0.5, 0.5]);
  });
});

describe('refused, with the field or file that is at fault:', () => {
  const vision = (change: object) => {
    const config = hfConfig('gelu');
    return { 'config.json': { ...config, vision_config: { ...config.vision_config, ...change } } };
  };
  const preparation = (change: object) => ({ 'preprocessor_config.json': { ...hfPreprocessor, ...change } });
  const CASES: [what: string, files: Record<string, object | null>, code: string, message: RegExp][] = [
    [
      'another family',
      { 'config.json': { model_type: 'siglip' } },
      'ERR_CLIPN_INVALID_ARG',
      /config of a SigLIP \(model_type 'siglip'\)/,
    ],
    [
      'another activation',
      vision({ hidden_act: 'gelu_new' }),
      'ERR_CLIPN_INVALID_ARG',
      /vision_config\.hidden_act.*gelu_new/,
    ],
    ['another MLP', vision({ intermediate_size: 200 }), 'ERR_CLIPN_INVALID_ARG', /visionMlp 200.*shapes say 256/],
    [
      'heads that do not divide',
      vision({ num_attention_heads: 5 }),
      'ERR_CLIPN_INVALID_ARG',
      /64 does not divide into 5/,
    ],
    [
      'a config of another size',
      vision({ patch_size: 8 }),
      'ERR_CLIPN_CHECKPOINT_KEYS',
      /wrong: vision_model\.embeddings\.patch_embedding\.weight \[64, 3, 16, 16\] \(expected \[64, 3, 8, 8\]\)/,
    ],
    [
      'more layers than there are',
      vision({ num_hidden_layers: 3 }),
      'ERR_CLIPN_CHECKPOINT_KEYS',
      /missing: vision_model\.encoder\.layers\.2/,
    ],
    [
      'fewer layers than there are',
      vision({ num_hidden_layers: 1 }),
      'ERR_CLIPN_CHECKPOINT_KEYS',
      /unexpected: vision_model\.encoder\.layers\.1/,
    ],
    ['layers without end', vision({ num_hidden_layers: 1e6 }), 'ERR_CLIPN_INVALID_ARG', /num_hidden_layers is 1000000/],
    ['another rescaling', preparation({ rescale_factor: 1 / 127.5 }), 'ERR_CLIPN_INVALID_ARG', /rescale_factor/],
    ['no deviation', preparation({ image_std: [1, 0, 1] }), 'ERR_CLIPN_INVALID_ARG', /image_std/],
    ['bilinear resizing', preparation({ resample: 2 }), 'ERR_CLIPN_INVALID_ARG', /resample is 2/],
    [
      'squashing',
      preparation({ size: { height: 32, width: 32 } }),
      'ERR_CLIPN_INVALID_ARG',
      /size is .*not a shorter side of 32/,
    ],
    ['another crop', preparation({ crop_size: { height: 32, width: 24 } }), 'ERR_CLIPN_INVALID_ARG', /crop_size is/],
    ['no crop', preparation({ do_center_crop: false }), 'ERR_CLIPN_INVALID_ARG', /do_center_crop is off/],
    ['no preparation', { 'preprocessor_config.json': null }, 'ERR_CLIPN_IO', /preprocessor_config\.json/],
  ];
  for (const [what, files, code, message] of CASES) {
    test(what, async () => {
      const target = out();
      await assert.rejects(
        exportModel(await whole(`refused ${what}`, files), target),
        (error: NodeJS.ErrnoException) => {
          assert.equal(error.code, code, error.message);
          assert.match(error.message, message);
          return true;
        },
      );
      assert.ok(!readdirSync(root).includes(path.basename(target)));
    });
  }

  test('a shard that is missing, and an index that leads out of its folder', async () => {
    const folder = hfFolder(at('shards'));
    const index = path.join(folder, 'model.safetensors.index.json');
    writeFileSync(index, JSON.stringify({ weight_map: { logit_scale: 'model-00001-of-00002.safetensors' } }));
    await assert.rejects(exportModel(folder, out()), {
      code: 'ERR_CLIPN_IO',
      message: /model-00001-of-00002\.safetensors/,
    });
    writeFileSync(index, JSON.stringify({ weight_map: { logit_scale: '../model.safetensors' } }));
    await assert.rejects(exportModel(folder, out()), { code: 'ERR_CLIPN_INVALID_ARG', message: /weight_map names/ });
  });

  test('weights cut short, and a folder without weights or config', async () => {
    const folder = await whole('cut');
    const file = path.join(folder, 'model.safetensors');
    writeFileSync(file, readFileSync(file).subarray(0, 50_000));
    await assert.rejects(exportModel(folder, out()), { code: 'ERR_CLIPN_CHECKPOINT_FORMAT' });
    await assert.rejects(exportModel(hfFolder(at('weightless')), out()), {
      code: 'ERR_CLIPN_IO',
      message: /no weights/,
    });
    const empty = hfFolder(at('empty'), { 'config.json': null });
    await assert.rejects(exportModel(empty, out()), { code: 'ERR_CLIPN_CHECKPOINT_FORMAT', message: /holds no CLIP/ });
  });

  test('a scale that is no number, by the folder it stands in', async () => {
    const folder = hfFolder(at('scale'));
    const odd = new Map([...weights, ['logit_scale', { shape: [], data: Float32Array.of(Number.NaN) }]]);
    await writeHfSafetensors(path.join(folder, 'model.safetensors'), odd);
    await assert.rejects(exportModel(folder, out()), {
      code: 'ERR_CLIPN_CHECKPOINT_FORMAT',
      message: /\/scale: .*NaN/,
    });
  });

  test('tensors of another type or shape, by the names that they have in the file', async () => {
    const projection = weights.get('visual_projection.weight')!;
    const key = 'text_model.encoder.layers.0.self_attn.k_proj.weight';
    const tensor = (dtype: TensorDtype, shape: number[], bytes: number): StreamedTensor => ({
      dtype,
      shape,
      read: () => Promise.resolve(Buffer.alloc(shape.reduce((product, size) => product * size, bytes))),
    });
    const CHANGES: [what: string, key: string, StreamedTensor, RegExp][] = [
      ['double', key, tensor('float64', [64, 64], 8), /wrong: \S+k_proj\.weight float64 \(expected float32/],
      ['whole', 'logit_scale', tensor('int64', [], 8), /wrong: logit_scale int64/],
      [
        'turned',
        'visual_projection.weight',
        tensor('float32', projection.shape.toReversed(), 4),
        /\[64, 24\] .*24, 64/,
      ],
      ['mixed', key, tensor('float16', [64, 64], 2), /q_proj\.weight is float32, \S+k_proj\.weight float16/],
    ];
    for (const [what, changed, replacement, message] of CHANGES) {
      const folder = hfFolder(at(`tensors ${what}`));
      const all = [...weights].map(([name, { shape, data }]): [string, StreamedTensor] => {
        const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
        return [name, name === changed ? replacement : { dtype: 'float32', shape, read: () => Promise.resolve(bytes) }];
      });
      await streamSafetensors(path.join(folder, 'model.safetensors'), new Map(all));
      await assert.rejects(exportModel(folder, out()), (error: NodeJS.ErrnoException) => {
        assert.equal(error.code, 'ERR_CLIPN_CHECKPOINT_KEYS', error.message);
        assert.match(error.message, message);
        return true;
      });
    }
  });

  test('a tensor that stands in two shards', async () => {
    const folder = hfFolder(at('twofold'));
    const map = { a: 'a.safetensors', b: 'b.safetensors' };
    writeFileSync(path.join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
    for (const name of Object.values(map)) await writeHfSafetensors(path.join(folder, name), weights);
    await assert.rejects(exportModel(folder, out()), {
      code: 'ERR_CLIPN_CHECKPOINT_KEYS',
      message: /stands in several files/,
    });
  });

  test('an OpenCLIP config beside one of its own', async () => {
    await assert.rejects(exportModel(await whole('two configs'), out(), { config: at('openclip.json') }), {
      code: 'ERR_CLIPN_INVALID_ARG',
    });
  });
});
