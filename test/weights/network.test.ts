import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TensorTable } from '../../lib/formats/tensor-table';
import { readNetwork } from '../../lib/weights/network';
import { NETWORKS, stateDictShapes } from '../support/seeded-weights';

/** Keys and shapes of a plain CLIP; no weights are needed to tell a network. */
function clip(change: Partial<(typeof NETWORKS)['ViT-L-14']> | { visionWidth: number }, extra: readonly string[] = []) {
  const shapes = stateDictShapes({ ...NETWORKS['ViT-L-14'], visionLayers: 1, textLayers: 1, ...change }, 'clip');
  for (const key of extra) shapes.set(key, [1]);
  const entry = (shape: number[]) => ({ dtype: 'float32' as const, shape, stride: [], offset: 0, byteLength: 0 });
  return new Map([...shapes].map(([key, shape]) => [key, entry(shape)])) satisfies TensorTable;
}

describe('heads of an image tower', () => {
  // vision_cfg of OpenCLIP's ViT-B-16, L-14, H-14, g-14, bigG-14, e-14: width, head_width.
  for (const [width, head] of [
    [768, 64],
    [1024, 64],
    [1280, 80],
    [1408, 88],
    [1664, 104],
    [1792, 112],
  ] as const) {
    test(`${width} wide are ${head} wide`, () => {
      assert.equal(readNetwork(clip({ visionWidth: width })).architecture.visionHeads, width / head);
    });
  }

  test('of another large width are asked for, since a wrong number gives features without an error', () => {
    assert.throws(() => readNetwork(clip({ visionWidth: 1152 })), {
      code: 'ERR_CLIPN_INVALID_ARG',
      message: /how many heads has an image tower 1152 wide/,
      hint: /--config/,
    });
  });
});

describe('another family is refused by its name:', () => {
  for (const [name, key] of [
    ['a SigLIP', 'logit_bias'],
    ['a MobileCLIP', 'image_encoder.model.patch_emb.0.weight'],
    ['a CLIP with a timm image tower', 'visual.trunk.patch_embed.proj.weight'],
    ['a CLIP ResNet', 'visual.layer1.0.conv1.weight'],
    ['a CLIP ResNet', 'visual.attnpool.k_proj.weight'],
    ['an EVA-CLIP', 'visual.blocks.0.attn.q_proj.weight'],
    ['a CLIP with a text tower of its own', 'text.transformer.resblocks.0.ln_1.weight'],
    ['an image tower of timm alone', 'blocks.0.attn.qkv.weight'],
  ] as const) {
    test(`${name}, by ${key}`, () => {
      assert.throws(
        () => readNetwork(clip({}, [key])),
        (error: NodeJS.ErrnoException) => {
          assert.equal(error.code, 'ERR_CLIPN_CHECKPOINT_KEYS');
          assert.ok(error.message.includes(name) && error.message.includes(key), error.message);
          return true;
        },
      );
    });
  }
});
