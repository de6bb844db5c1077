/** An OpenCLIP model config: what the shapes of a checkpoint do not tell, and a check of what they do. */

import { ClipnError } from '../base/errors';
import { refuseOtherConfigs } from './families';
import { readJsonFile } from './json-file';
import type { NetworkConfig } from './network';

type Json = Record<string, unknown>;

/**
 * Fields that say how to begin or train, or what the keys of the weights tell as well; and what those that do ask for
 * another network must be when they are there. OpenCLIP's own defaults (CLIPVisionCfg, CLIPTextCfg).
 */
const MODEL = {
  read: ['embed_dim', 'vision_cfg', 'text_cfg', 'quick_gelu', 'custom_text', 'init_logit_scale'],
  only: {},
};
const VISION = {
  read: ['image_size', 'layers', 'width', 'head_width', 'patch_size', 'mlp_ratio', 'patch_dropout', 'output_tokens'],
  only: { pool_type: 'tok', pos_embed_type: 'learnable' },
};
const TEXT = {
  read: ['context_length', 'vocab_size', 'width', 'heads', 'layers', 'mlp_ratio', 'output_tokens'],
  only: { pool_type: 'argmax', proj_type: 'linear', text_arch: 'clip', pad_id: 0 },
};
/** Widths of towers whose config does not say it. */
const WIDTHS = { vision_cfg: 768, text_cfg: 512 } as const;
/** What is done to an image; `random` is of training alone. */
const PREPARATION: Readonly<Record<string, readonly string[]>> = {
  resize_mode: ['shortest'],
  interpolation: ['bicubic', 'random'],
  mode: ['RGB'],
};

/**
 * Reads a config of OpenCLIP's `model_configs`, or the `open_clip_config.json` beside weights on the Hugging Face hub.
 * @throws ClipnError ERR_CLIPN_IO, or ERR_CLIPN_INVALID_ARG naming the field that is wrong or asks for another network.
 */
export async function readOpenClipConfig(path: string): Promise<NetworkConfig> {
  return parseConfig(await readJsonFile(path, `the config ${path}`), path);
}

function parseConfig(json: unknown, path: string): NetworkConfig {
  const invalid = (what: string) => new ClipnError('ERR_CLIPN_INVALID_ARG', `the config ${path}: ${what}`);
  const object = (value: unknown, name: string): Json => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${name} is no object`);
    return value as Json;
  };
  const check = (value: Json, known: { read: string[]; only: Json }, name: string): void => {
    for (const [key, asked] of Object.entries(value)) {
      if (known.read.includes(key) || asked === null || asked === false || asked === known.only[key]) continue;
      throw invalid(`${name}.${key} ${JSON.stringify(asked)} asks for a network that is not the one of CLIPN`);
    }
  };
  const size = (value: unknown, name: string): number | undefined => {
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value) || (value as number) < 1) throw invalid(`${name} is no positive integer`);
    return value as number;
  };
  /** As OpenCLIP rounds it. */
  const mlp = (tower: Json, name: keyof typeof WIDTHS): number | undefined => {
    const { mlp_ratio: ratio } = tower;
    if (ratio === undefined) return undefined;
    if (!Number.isFinite(ratio) || (ratio as number) <= 0) throw invalid(`${name}.mlp_ratio is no positive number`);
    return Math.trunc((size(tower['width'], `${name}.width`) ?? WIDTHS[name]) * (ratio as number));
  };
  const triple = (value: unknown, name: string, least: number): [number, number, number] | undefined => {
    if (value === undefined || value === null) return undefined;
    if (!Array.isArray(value) || value.length !== 3 || !value.every((v) => Number.isFinite(v) && v >= least)) {
      throw invalid(`preprocess_cfg.${name} is not three numbers that can be one`);
    }
    return value as [number, number, number];
  };

  const root = object(json, 'the file');
  const model = root['model_cfg'] === undefined ? root : object(root['model_cfg'], 'model_cfg');
  const [vision, text] = [object(model['vision_cfg'], 'vision_cfg'), object(model['text_cfg'], 'text_cfg')];
  refuseOtherConfigs(path, model, vision, text);
  check(model, MODEL, 'model');
  check(vision, VISION, 'vision_cfg');
  check(text, TEXT, 'text_cfg');
  const { quick_gelu: quickGelu } = model;
  if (quickGelu !== undefined && typeof quickGelu !== 'boolean') throw invalid('quick_gelu is no boolean');
  // Its `size` is the image tower's, whatever stands there, and `fill_color` is for images that are padded.
  const preprocess = root['preprocess_cfg'] === undefined ? {} : object(root['preprocess_cfg'], 'preprocess_cfg');
  for (const [name, supported] of Object.entries(PREPARATION)) {
    const asked = preprocess[name] ?? supported[0];
    if (supported.includes(asked as string)) continue;
    throw invalid(`preprocess_cfg.${name} is ${JSON.stringify(asked)}; only '${supported[0]}' is supported`);
  }
  const [side, ...others] = [vision['image_size']].flat();
  if (others.some((each) => each !== side)) throw invalid(`vision_cfg.image_size is not a square's`);
  const sizes: Record<keyof NetworkConfig['sizes'], number | undefined> = {
    embedDim: size(model['embed_dim'], 'embed_dim'),
    imageSize: size(side, 'vision_cfg.image_size'),
    patchSize: size(vision['patch_size'], 'vision_cfg.patch_size'),
    visionWidth: size(vision['width'], 'vision_cfg.width'),
    visionLayers: size(vision['layers'], 'vision_cfg.layers'),
    visionMlp: mlp(vision, 'vision_cfg'),
    contextLength: size(text['context_length'], 'text_cfg.context_length'),
    vocabSize: size(text['vocab_size'], 'text_cfg.vocab_size'),
    textWidth: size(text['width'], 'text_cfg.width'),
    textLayers: size(text['layers'], 'text_cfg.layers'),
    textMlp: mlp(text, 'text_cfg'),
  };
  return {
    path,
    quickGelu,
    visionHeadWidth: size(vision['head_width'], 'vision_cfg.head_width'),
    textHeads: size(text['heads'], 'text_cfg.heads'),
    mean: triple(preprocess['mean'], 'mean', 0),
    std: triple(preprocess['std'], 'std', Number.MIN_VALUE),
    sizes: Object.fromEntries(Object.entries(sizes).filter(([, value]) => value !== undefined)),
  };
}
