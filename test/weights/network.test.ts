import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TensorTable } from '../../lib/formats/tensor-table';
import { refuseOtherModelTypes } from '../../lib/weights/families';
import { type NetworkConfig, readNetwork } from '../../lib/weights/network';
import { NETWORKS, type Network, stateDictShapes } from '../support/seeded-weights';

/** Keys and shapes of a plain CLIP; no weights are needed to tell a network. */
function clip(change: Partial<Network>, edit: (shapes: Map<string, number[]>) => void = () => {}) {
  const shapes = stateDictShapes({ ...NETWORKS['ViT-L-14'], visionLayers: 2, textLayers: 2, ...change }, 'clip');
  edit(shapes);
  const entry = (shape: number[]) => ({ dtype: 'float32' as const, shape, stride: [], offset: 0, byteLength: 0 });
  return new Map([...shapes].map(([key, shape]) => [key, entry(shape)])) satisfies TensorTable;
}

describe('heads of an image tower', () => {
  // vision_cfg of OpenCLIP's ViT-B-16, L-14, H-14, g-14, bigG-14, e-14: width, int(width * mlp_ratio), head_width.
  for (const [width, mlp, head] of [
    [768, 3072, 64],
    [1024, 4096, 64],
    [1280, 5120, 80],
    [1408, 6144, 88],
    [1664, 8192, 104],
    [1792, 15360, 112],
  ] as const) {
    test(`${width} wide with an MLP of ${mlp} are ${head} wide`, () => {
      const { architecture } = readNetwork(clip({ visionWidth: width, visionMlp: mlp }));
      assert.deepEqual([architecture.visionHeads, architecture.visionMlp], [width / head, mlp]);
    });
  }

  test('of another large size are asked for, since a wrong number gives features without an error', () => {
    for (const size of [{ visionWidth: 1152 }, { visionWidth: 1408, visionMlp: 5632 }]) {
      assert.throws(() => readNetwork(clip(size)), {
        code: 'ERR_CLIPN_CHECKPOINT_AMBIGUOUS',
        message: new RegExp(`how many heads has this image tower, ${size.visionWidth} wide`),
        hint: /--config.*vision_cfg\.head_width/,
      });
    }
  });
});

test('the heads of a text tower are 64 wide up to 1280; of others they are asked for', () => {
  // text_cfg of OpenCLIP's ViT-bigG-14: 20 heads; of ViTamin-XL: 1152 wide in 16.
  assert.equal(readNetwork(clip({ textWidth: 1280 })).architecture.textHeads, 20);
  assert.throws(() => readNetwork(clip({ textWidth: 1152 })), {
    code: 'ERR_CLIPN_CHECKPOINT_AMBIGUOUS',
    hint: /text_cfg\.heads/,
  });
});

describe('the width of MLPs', () => {
  test('is read off the shapes, of each tower by itself', () => {
    const { architecture } = readNetwork(clip({ visionMlp: 173, textMlp: 2000 }));
    assert.deepEqual([architecture.visionMlp, architecture.textMlp], [173, 2000]);
  });

  test('is the same in all blocks of a tower', () => {
    const edit = (shapes: Map<string, number[]>) => shapes.set('transformer.resblocks.1.mlp.c_fc.weight', [100, 768]);
    assert.throws(() => readNetwork(clip({}, edit)), {
      code: 'ERR_CLIPN_CHECKPOINT_KEYS',
      message: /transformer\.resblocks\.1\.mlp\.c_fc\.weight \[100, 768\] \(expected \[3072, 768\]\)/,
    });
  });

  test('is what a config gives', () => {
    const config: NetworkConfig = {
      path: 'config.json',
      quickGelu: undefined,
      visionHeadWidth: undefined,
      textHeads: undefined,
      mean: undefined,
      std: undefined,
      sizes: { visionMlp: 6144 },
    };
    assert.throws(() => readNetwork(clip({}), config), {
      code: 'ERR_CLIPN_INVALID_ARG',
      message: /config\.json gives visionMlp 6144, the checkpoint's shapes say 4096/,
    });
  });
});

describe('another family is refused by its name:', () => {
  for (const [name, key] of [
    ['a SigLIP', 'logit_bias'],
    ['a MobileCLIP', 'image_encoder.model.patch_emb.0.weight'],
    ['a CLIP with a timm image tower', 'visual.trunk.patch_embed.proj.weight'],
    ['a CLIP with a ConvNeXt', 'visual.trunk.stages.0.blocks.0.conv_dw.weight'],
    ['a PE (Perception Encoder)', 'visual.attn_pool.probe'],
    ['a CoCa', 'text_decoder.resblocks.0.ln_1.weight'],
    ['a CLIP ResNet', 'visual.layer1.0.conv1.weight'],
    ['a CLIP ResNet', 'visual.attnpool.k_proj.weight'],
    ['an EVA-CLIP', 'visual.blocks.0.attn.q_proj.weight'],
    ['a CLIP with a text tower of its own', 'text.transformer.resblocks.0.ln_1.weight'],
    ['an image tower of timm alone', 'blocks.0.attn.qkv.weight'],
  ] as const) {
    test(`${name}, by ${key}`, () => {
      assert.throws(
        () => readNetwork(clip({}, (shapes) => shapes.set(key, [1]))),
        (error: NodeJS.ErrnoException) => {
          assert.equal(error.code, 'ERR_CLIPN_CHECKPOINT_KEYS');
          assert.ok(error.message.includes(name) && error.message.includes(key), error.message);
          return true;
        },
      );
    });
  }

  test('a CLIPA, by the LayerNorm that it lacks', () => {
    const edit = (shapes: Map<string, number[]>) => {
      for (const part of ['weight', 'bias']) shapes.delete(`visual.ln_pre.${part}`);
    };
    assert.throws(() => readNetwork(clip({}, edit)), {
      code: 'ERR_CLIPN_CHECKPOINT_KEYS',
      message: /a CLIPA \(no visual\.ln_pre\)/,
    });
  });

  test('a MetaCLIP 2 worldwide, by the size of its vocabularies', () => {
    for (const vocabSize of [901629, 250100]) {
      assert.throws(() => readNetwork(clip({ vocabSize })), {
        code: 'ERR_CLIPN_CHECKPOINT_KEYS',
        message: new RegExp(`a MetaCLIP 2 worldwide \\(${vocabSize} tokens\\)`),
      });
    }
  });

  for (const [name, modelType] of [
    ['a SigLIP', 'siglip'],
    ['a SigLIP', 'siglip_vision_model'],
    ['a SigLIP', 'siglip2'],
    ['a MetaCLIP 2 worldwide', 'metaclip_2'],
    ['a CLIP with a text tower of its own', 'chinese_clip'],
    ['a CLIP with a text tower of its own', 'altclip'],
    ['one tower of a CLIP alone', 'clip_vision_model'],
  ] as const) {
    test(`${name}, by transformers' model_type ${modelType}`, () => {
      assert.throws(() => refuseOtherModelTypes('config.json', modelType), {
        code: 'ERR_CLIPN_INVALID_ARG',
        message: new RegExp(`config\\.json is the config of ${name} \\(model_type '${modelType}'\\)`),
      });
    });
  }

  test('a model_type that is in no list, with the one that is read', () => {
    assert.throws(() => refuseOtherModelTypes('config.json', 'bert'), { message: /'bert'.* only 'clip' is read/ });
    refuseOtherModelTypes('config.json', 'clip');
  });
});
