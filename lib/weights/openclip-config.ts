/** An OpenCLIP model config: what the shapes of a checkpoint do not tell, and a check of what they do. */

import { ClipnError } from '../base/errors';
import { readJsonFile } from './json-file';
import type { NetworkConfig } from './network';

type Json = Record<string, unknown>;

const MODEL_KEYS = ['embed_dim', 'vision_cfg', 'text_cfg', 'quick_gelu'];
const VISION_KEYS = ['image_size', 'layers', 'width', 'head_width', 'patch_size', 'mlp_ratio', 'patch_dropout'];
const TEXT_KEYS = ['context_length', 'vocab_size', 'width', 'heads', 'layers', 'mlp_ratio'];

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
  const only = (value: Json, keys: string[], name: string): Json => {
    const other = Object.keys(value).find((key) => !keys.includes(key));
    if (other) throw invalid(`${name}.${other} asks for a network that is not the one of CLIPN`);
    if (value['mlp_ratio'] !== undefined && value['mlp_ratio'] !== 4) throw invalid(`${name}.mlp_ratio is not 4`);
    return value;
  };
  const size = (value: unknown, name: string): number | undefined => {
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value) || (value as number) < 1) throw invalid(`${name} is no positive integer`);
    return value as number;
  };
  const triple = (value: unknown, name: string, least: number): [number, number, number] | undefined => {
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || value.length !== 3 || !value.every((v) => Number.isFinite(v) && v >= least)) {
      throw invalid(`preprocess_cfg.${name} is not three numbers that can be one`);
    }
    return value as [number, number, number];
  };

  const root = object(json, 'the file');
  const model = only(
    root['model_cfg'] === undefined ? root : object(root['model_cfg'], 'model_cfg'),
    MODEL_KEYS,
    'model',
  );
  const vision = only(object(model['vision_cfg'], 'vision_cfg'), VISION_KEYS, 'vision_cfg');
  const text = only(object(model['text_cfg'], 'text_cfg'), TEXT_KEYS, 'text_cfg');
  const preprocess = root['preprocess_cfg'] === undefined ? {} : object(root['preprocess_cfg'], 'preprocess_cfg');
  const { quick_gelu: quickGelu } = model;
  if (quickGelu !== undefined && typeof quickGelu !== 'boolean') throw invalid('quick_gelu is no boolean');
  if ((preprocess['interpolation'] ?? 'bicubic') !== 'bicubic')
    throw invalid('preprocess_cfg.interpolation is not bicubic');
  if ((preprocess['resize_mode'] ?? 'shortest') !== 'shortest')
    throw invalid('preprocess_cfg.resize_mode is not shortest');
  const sizes = {
    embedDim: size(model['embed_dim'], 'embed_dim'),
    imageSize: size(vision['image_size'], 'vision_cfg.image_size'),
    patchSize: size(vision['patch_size'], 'vision_cfg.patch_size'),
    visionWidth: size(vision['width'], 'vision_cfg.width'),
    visionLayers: size(vision['layers'], 'vision_cfg.layers'),
    contextLength: size(text['context_length'], 'text_cfg.context_length'),
    vocabSize: size(text['vocab_size'], 'text_cfg.vocab_size'),
    textWidth: size(text['width'], 'text_cfg.width'),
    textLayers: size(text['layers'], 'text_cfg.layers'),
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
