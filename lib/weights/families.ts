/** Networks that people take for a CLIP of this kind, told by their keys and configs, and why they are none. */
import { ClipnError } from '../base/errors';
import type { TensorTable } from '../formats/tensor-table';

type Json = Readonly<Record<string, unknown>>;

interface Family {
  name: string;
  why: string;
  /** What tells it of the tensors of a checkpoint, in words. */
  inWeights?: (tensors: TensorTable) => string | undefined;
  /** The same of the model_cfg of an OpenCLIP config. */
  inConfig?: (model: Json, vision: Json, text: Json) => string | undefined;
  /** As transformers' config.json calls it; both parts of a model that has two have its name in front. */
  modelTypes?: readonly string[];
}

const aKey = (mark: RegExp) => (tensors: TensorTable) => [...tensors.keys()].find((key) => mark.test(key));

/** A field that is there with a value that asks for something. */
const field = (object: Json, name: string, prefix = '') => {
  const value = object[name];
  return value === undefined || value === null || value === false
    ? undefined
    : `${prefix}${name} ${JSON.stringify(value)}`;
};

const timmTower = (mark: RegExp) => (_: Json, vision: Json) =>
  mark.test(String(vision['timm_model_name'] ?? '')) ? field(vision, 'timm_model_name', 'vision_cfg.') : undefined;

/** Of its two multilingual tokenizers, XLM-V's and mT5's (OpenCLIP's ViT-*-worldwide.json). */
const WORLDWIDE_VOCABULARIES = [901629, 250100];

/** The first that matches: what is more telling stands before. */
const FAMILIES: readonly Family[] = [
  {
    name: 'a SigLIP',
    why: 'its image tower pools by attention and its tokenizer is another',
    inWeights: aKey(/^logit_bias$/),
    inConfig: (model, vision) => field(model, 'init_logit_bias') ?? timmTower(/siglip/)(model, vision),
    modelTypes: ['siglip', 'siglip2'],
  },
  {
    name: 'a MobileCLIP',
    why: 'its image tower is a convolutional hybrid',
    inWeights: aKey(/^image_encoder\.model\.patch_emb/),
    inConfig: timmTower(/^(fastvit_mci|vit_base_mci)/),
  },
  {
    name: 'a PE (Perception Encoder)',
    why: 'its image tower turns positions into angles and pools by attention',
    inWeights: aKey(/^visual\.attn_pool\.probe$/),
    inConfig: timmTower(/^vit_pe_/),
  },
  {
    name: 'a CoCa',
    why: 'its image tower pools by attention',
    inWeights: aKey(/^text_decoder\./),
    inConfig: (model, vision) => field(model, 'multimodal_cfg') ?? field(vision, 'attentional_pool', 'vision_cfg.'),
  },
  {
    name: 'a CLIP with a ConvNeXt',
    why: 'its image tower is convolutional',
    inWeights: aKey(/^visual\.trunk\.stages\.\d+\.blocks\.\d+\.conv_dw\./),
    inConfig: timmTower(/^convnext/),
  },
  {
    name: 'an EVA-CLIP',
    why: 'its image tower has other blocks',
    inWeights: aKey(/^visual\.blocks\.\d+\.attn\./),
    inConfig: timmTower(/^eva/),
  },
  {
    name: 'a CLIP ResNet',
    why: 'its image tower is no transformer',
    inWeights: aKey(/^visual\.(layer1\.|attnpool\.k_proj\.)/),
    inConfig: (_, vision) => (Array.isArray(vision['layers']) ? field(vision, 'layers', 'vision_cfg.') : undefined),
  },
  {
    name: 'a CLIP with a timm image tower (EVA, ConvNeXt, SigLIP, PE …)',
    why: 'its image tower is another network',
    inWeights: aKey(/^visual\.trunk\./),
    inConfig: timmTower(/./),
  },
  {
    name: 'a CLIPA',
    why: 'its image tower has no LayerNorm before its blocks, and its texts are cut by another tokenizer',
    inWeights: (tensors) => {
      const bare = tensors.has('visual.conv1.weight') && !aKey(/^visual\.ln_pre\./)(tensors);
      return bare && tensors.has('visual.ln_post.weight') ? 'no visual.ln_pre' : undefined;
    },
    inConfig: (_, vision) => field(vision, 'no_ln_pre', 'vision_cfg.'),
  },
  {
    name: 'a MetaCLIP 2 worldwide',
    why: 'its tokenizer is a multilingual one, and its texts are read out at another token',
    inWeights: (tensors) => {
      const size = tensors.get('token_embedding.weight')?.shape[0];
      return size !== undefined && WORLDWIDE_VOCABULARIES.includes(size) ? `${size} tokens` : undefined;
    },
    inConfig: (_model, _vision, text) =>
      WORLDWIDE_VOCABULARIES.includes(Number(text['vocab_size'])) ? field(text, 'vocab_size', 'text_cfg.') : undefined,
    modelTypes: ['metaclip_2'],
  },
  {
    name: 'a CLIP with a text tower of its own',
    why: 'its text tower is another network',
    inWeights: aKey(/^text\./),
    inConfig: (_model, _vision, text) =>
      field(text, 'hf_model_name', 'text_cfg.') ?? field(text, 'hf_tokenizer_name', 'text_cfg.'),
    modelTypes: ['altclip', 'chinese_clip'],
  },
  {
    name: 'an image tower of timm alone',
    why: 'there is no text tower with it',
    inWeights: aKey(/^(blocks\.\d+\.attn\.qkv|stages\.\d+\.blocks\.\d+\.conv_dw)\./),
  },
  {
    name: 'one tower of a CLIP alone',
    why: 'the other one is not with it',
    modelTypes: ['clip_vision_model', 'clip_text_model'],
  },
];

const HINT = 'Use a CLIP whose two towers are plain transformers: OpenAI, LAION-2B, DataComp, MetaCLIP, DFN …';

/** @throws ERR_CLIPN_CHECKPOINT_KEYS when the keys or shapes are those of a family that is known and not supported */
export function refuseOtherFamilies(tensors: TensorTable): void {
  for (const { name, why, inWeights } of FAMILIES) {
    const mark = inWeights?.(tensors);
    if (mark === undefined) continue;
    throw new ClipnError('ERR_CLIPN_CHECKPOINT_KEYS', `these are the weights of ${name} (${mark}): ${why}`, {
      hint: HINT,
      details: { family: name },
    });
  }
}

/**
 * @param path of the OpenCLIP config
 * @throws ERR_CLIPN_INVALID_ARG when its model_cfg is that of such a family
 */
export function refuseOtherConfigs(path: string, model: Json, vision: Json, text: Json): void {
  for (const { name, why, inConfig } of FAMILIES) {
    const mark = inConfig?.(model, vision, text);
    if (mark !== undefined) throw otherConfig(path, name, mark, why);
  }
}

/**
 * @param path of transformers' config.json
 * @throws ERR_CLIPN_INVALID_ARG when its model_type is not CLIP's
 */
export function refuseOtherModelTypes(path: string, modelType: string): void {
  if (modelType === 'clip') return;
  const family = FAMILIES.find(({ modelTypes }) =>
    modelTypes?.some((type) => modelType === type || modelType.startsWith(`${type}_`)),
  );
  if (family !== undefined) throw otherConfig(path, family.name, `model_type '${modelType}'`, family.why);
  throw new ClipnError(
    'ERR_CLIPN_INVALID_ARG',
    `${path}: model_type is '${modelType}'; of transformers' models only 'clip' is read`,
    { hint: HINT },
  );
}

function otherConfig(path: string, name: string, mark: string, why: string): ClipnError {
  return new ClipnError('ERR_CLIPN_INVALID_ARG', `${path} is the config of ${name} (${mark}): ${why}`, {
    hint: HINT,
    details: { family: name },
  });
}
