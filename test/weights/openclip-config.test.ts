import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { readOpenClipConfig } from '../../lib/weights/openclip-config';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-openclip-config-'));
after(() => rmSync(folder, { recursive: true }));

type Json = Record<string, unknown>;

/** Reads the config of a ViT-B/16 with these changes. */
function read({ vision = {}, text = {}, preprocess = {}, ...model }: Record<string, Json | unknown> = {}) {
  const vision_cfg = { image_size: 224, layers: 12, width: 768, patch_size: 16, ...(vision as Json) };
  const text_cfg = { context_length: 77, vocab_size: 49408, width: 512, heads: 8, layers: 12, ...(text as Json) };
  const file = path.join(folder, 'config.json');
  const json = { model_cfg: { embed_dim: 512, vision_cfg, text_cfg, ...model }, preprocess_cfg: preprocess };
  writeFileSync(file, JSON.stringify(json));
  return readOpenClipConfig(file);
}

test('the width of an MLP is rounded as OpenCLIP does it', async () => {
  // vision_cfg of its ViT-g-14, ViT-bigG-14 and ViT-e-14; the widths are those of their published weights.
  for (const [width, mlp_ratio, mlp] of [
    [1408, 4.3637, 6144],
    [1664, 4.9231, 8192],
    [1792, 8.5715, 15360],
  ] as const) {
    assert.equal((await read({ vision: { width, mlp_ratio } })).sizes.visionMlp, mlp);
  }
  assert.equal((await read({ text: { mlp_ratio: 2.5 } })).sizes.textMlp, 1280);
  assert.equal((await read()).sizes.visionMlp, undefined);
});

test('mean and deviation of its own are taken', async () => {
  const { mean, std } = await read({ preprocess: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.5, 1] } });
  assert.deepEqual(
    [mean, std],
    [
      [0.5, 0.5, 0.5],
      [0.25, 0.5, 1],
    ],
  );
});

test('fields that ask for nothing else are let be', async () => {
  const model = { custom_text: true, init_logit_scale: 2.6, quick_gelu: true };
  const vision = {
    pool_type: 'tok',
    no_ln_pre: false,
    ls_init_value: null,
    patch_dropout: 0.5,
    image_size: [224, 224],
  };
  const text = { pool_type: 'argmax', hf_tokenizer_name: null, proj_type: 'linear', pad_id: 0 };
  const preprocess = { mode: 'RGB', fill_color: 0, size: [224, 224], interpolation: 'random', resize_mode: null };
  const { quickGelu, sizes } = await read({ ...model, vision, text, preprocess });
  assert.deepEqual([quickGelu, sizes.imageSize], [true, 224]);
});

describe('refused by the field, with what is supported:', () => {
  for (const [what, changes, message] of [
    ['squashing', { preprocess: { resize_mode: 'squash' } }, /resize_mode is "squash"; only 'shortest' is supported/],
    ['padding', { preprocess: { resize_mode: 'longest' } }, /resize_mode is "longest"/],
    [
      'bilinear resizing',
      { preprocess: { interpolation: 'bilinear' } },
      /interpolation is "bilinear"; only 'bicubic' is supported/,
    ],
    ['grey images', { preprocess: { mode: 'L' } }, /mode is "L"; only 'RGB' is supported/],
    ['no deviation', { preprocess: { std: [1, 0, 1] } }, /preprocess_cfg\.std/],
    ['another pooling', { vision: { pool_type: 'avg' } }, /vision_cfg\.pool_type "avg" asks for a network/],
    ['texts without a mask', { text: { no_causal_mask: true } }, /text_cfg\.no_causal_mask true asks for a network/],
    ['scales in blocks', { vision: { ls_init_value: 1e-5 } }, /vision_cfg\.ls_init_value 0\.00001 asks for a network/],
    ['an oblong', { vision: { image_size: [224, 336] } }, /vision_cfg\.image_size is not a square's/],
    ['a ratio that is none', { vision: { mlp_ratio: 0 } }, /vision_cfg\.mlp_ratio is no positive number/],
    ['an activation that is none', { quick_gelu: 'yes' }, /quick_gelu is no boolean/],
  ] as [string, Json, RegExp][]) {
    test(what, async () => {
      await assert.rejects(read(changes), { code: 'ERR_CLIPN_INVALID_ARG', message });
    });
  }
});

describe('the config of another family is refused by its name:', () => {
  // Fields of the file of that name among OpenCLIP's model_configs.
  const timm = (timm_model_name: string) => ({ vision: { timm_model_name, timm_pool: '', timm_proj: 'linear' } });
  for (const [file, changes, name] of [
    ['ViT-B-16-SigLIP', { init_logit_bias: -10, ...timm('vit_base_patch16_siglip_224') }, 'a SigLIP'],
    ['ViT-SO400M-14-SigLIP2', timm('vit_so400m_patch14_siglip_224'), 'a SigLIP'],
    ['EVA02-B-16', timm('eva02_base_patch16_clip_224'), 'an EVA-CLIP'],
    ['EVA01-g-14', timm('eva_giant_patch14_224'), 'an EVA-CLIP'],
    ['convnext_base_w', timm('convnext_base'), 'a CLIP with a ConvNeXt'],
    ['RN50', { vision: { layers: [3, 4, 6, 3], width: 64, patch_size: null } }, 'a CLIP ResNet'],
    ['MobileCLIP-S1', timm('fastvit_mci1'), 'a MobileCLIP'],
    ['MobileCLIP-B', timm('vit_base_mci_224'), 'a MobileCLIP'],
    ['ViTamin-B', timm('vitamin_base_224'), 'a CLIP with a timm image tower'],
    ['PE-Core-B-16', timm('vit_pe_core_base_patch16_224'), 'a PE (Perception Encoder)'],
    ['ViT-H-14-CLIPA', { vision: { no_ln_pre: true, pool_type: 'avg' } }, 'a CLIPA'],
    ['coca_ViT-L-14', { vision: { attentional_pool: true }, multimodal_cfg: { width: 768 } }, 'a CoCa'],
    [
      'ViT-H-14-worldwide',
      { text: { hf_tokenizer_name: 'facebook/xlm-v-base', vocab_size: 901629, pool_type: 'eos', eos_id: 2 } },
      'a MetaCLIP 2 worldwide',
    ],
    [
      'ViT-L-14-worldwide',
      { text: { hf_tokenizer_name: 'google/mt5-base', vocab_size: 250100, pool_type: 'eos', eos_id: 1 } },
      'a MetaCLIP 2 worldwide',
    ],
    ['roberta-ViT-B-32', { text: { hf_model_name: 'roberta-base' } }, 'a CLIP with a text tower of its own'],
  ] as [string, Json, string][]) {
    test(`${file}, ${name}`, async () => {
      await assert.rejects(read(changes), (error: NodeJS.ErrnoException & { hint: string }) => {
        assert.equal(error.code, 'ERR_CLIPN_INVALID_ARG');
        assert.ok(error.message.includes(`is the config of ${name}`), error.message);
        assert.match(error.hint, /plain transformers/);
        return true;
      });
    });
  }
});
