/** A CLIP as Hugging Face's transformers keeps it: a folder with config.json, weights, and how images are prepared. */

import { existsSync } from 'node:fs';
import path from 'node:path';
import { ClipnError } from '../base/errors';
import { findTokenizer, TOKENIZER_FILES, type TokenizerFiles } from './checkpoint-tokenizer';
import { refuseOtherModelTypes } from './families';
import { readJsonFile } from './json-file';
import type { NetworkConfig } from './network';
import { MEAN, STD } from './preprocessing';

export interface HuggingFaceClip {
  folder: string;
  /** The file of weights, or the shards. */
  files: string[];
  config: NetworkConfig;
  visionLayers: number;
  textLayers: number;
  /** Its tokenizer, where there is one. */
  tokenizer: TokenizerFiles | undefined;
  /** Every file that the folder's model consists of, as far as it is read. */
  read: string[];
}

type Json = Record<string, unknown>;

/** In the order in which transformers looks for them; an index names the shards. */
export const WEIGHTS = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
];
/** What the towers here compute; other values are other networks. */
const LAYER_NORM_EPS = 1e-5;
/** PIL's number for it, which image processors write. */
const BICUBIC = 3;
/** What transformers takes for a field that a config leaves out, as it does where a value is the default (CLIPConfig). */
const DEFAULTS = {
  text_config: {
    hidden_size: 512,
    intermediate_size: 2048,
    num_hidden_layers: 12,
    num_attention_heads: 8,
    max_position_embeddings: 77,
    vocab_size: 49408,
    eos_token_id: 49407,
    hidden_act: 'quick_gelu',
    layer_norm_eps: LAYER_NORM_EPS,
  },
  vision_config: {
    hidden_size: 768,
    intermediate_size: 3072,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    image_size: 224,
    patch_size: 32,
    hidden_act: 'quick_gelu',
    layer_norm_eps: LAYER_NORM_EPS,
  },
} as const;
const DEFAULT_PROJECTION_DIM = 512;
/** The same of an image processor (CLIPImageProcessor); mean and deviation are OpenAI's. */
const PREPARATION_DEFAULTS = {
  do_resize: true,
  do_center_crop: true,
  do_rescale: true,
  do_normalize: true,
  resample: BICUBIC,
  size: { shortest_edge: 224 },
  crop_size: 224,
  rescale_factor: 1 / 255,
  image_mean: MEAN,
  image_std: STD,
} as const;
/** transformers 5 writes the processor of images into the first, which goes before the second where both are there. */
export const [PROCESSOR, PREPROCESSOR] = ['processor_config.json', 'preprocessor_config.json'];
/** More than any CLIP has; a config of a few bytes could ask for any number. */
const MOST_LAYERS = 1000;
/** transformers wrote this in configs of 2021 whatever the vocabulary, and reads the text out at the largest id there. */
const LEGACY_EOS = 2;

/**
 * Reads what stands beside the weights.
 *
 * @param files of weights; those that the folder names when absent
 * @throws ERR_CLIPN_IO for a file that is missing or cannot be read, ERR_CLIPN_INVALID_ARG naming what asks for a network or
 *   a preparation that is not CLIP's own
 */
export async function openHuggingFace(folder: string, files?: string[]): Promise<HuggingFaceClip> {
  const config = await readJson(folder, 'config.json');
  refuseOtherModelTypes(config.path, config.text('model_type'));
  const [visionConfig, textConfig] = [config.tower('vision_config'), config.tower('text_config')];
  const [vision, text] = [layersOf(visionConfig), layersOf(textConfig)];
  if (vision.quickGelu !== text.quickGelu) throw config.refuse('hidden_act differs between the towers');
  const vocabSize = textConfig.size('vocab_size');
  const given = textConfig.value('eos_token_id') ?? LEGACY_EOS;
  const eos = Array.isArray(given) && given.length === 1 ? given[0] : given;
  if (eos !== LEGACY_EOS && eos !== vocabSize - 1) {
    throw config.refuse(
      `text_config.eos_token_id is ${JSON.stringify(eos)}; the towers here read out at the largest id`,
    );
  }
  const imageSize = visionConfig.size('image_size');
  const weights = files ?? (await findWeights(folder));
  const beside = ['config.json', PROCESSOR, PREPROCESSOR, ...TOKENIZER_FILES, ...WEIGHTS];
  return {
    folder,
    files: weights,
    read: [...weights, ...beside.map((name) => path.join(folder, name))],
    visionLayers: vision.layers,
    textLayers: text.layers,
    tokenizer: findTokenizer(folder),
    config: {
      path: config.path,
      quickGelu: vision.quickGelu,
      visionHeadWidth: vision.width / vision.heads,
      textHeads: text.heads,
      ...(await readPreparation(folder, imageSize)),
      sizes: {
        embedDim: config.value('projection_dim') === undefined ? DEFAULT_PROJECTION_DIM : config.size('projection_dim'),
        imageSize,
        patchSize: visionConfig.size('patch_size'),
        visionWidth: vision.width,
        visionLayers: vision.layers,
        visionMlp: vision.mlp,
        contextLength: textConfig.size('max_position_embeddings'),
        vocabSize,
        textWidth: text.width,
        textLayers: text.layers,
        textMlp: text.mlp,
      },
    },
  };
}

/** A JSON file, or an object in one, whose fields are named in errors. */
class Fields {
  constructor(
    readonly path: string,
    private readonly json: Json,
    private readonly prefix = '',
  ) {}

  refuse(what: string): ClipnError {
    return new ClipnError('ERR_CLIPN_INVALID_ARG', `${this.path}: ${this.prefix}${what}`);
  }

  value(name: string): unknown {
    return this.json[name];
  }

  /** With these where nothing is said. */
  over(defaults: Json): Fields {
    return new Fields(this.path, { ...defaults, ...this.json }, this.prefix);
  }

  /** A tower's config: what is left out is transformers' default; an old file's second object, with defaults, goes before. */
  tower(name: keyof typeof DEFAULTS): Fields {
    const objects = [name, `${name}_dict`].map((each) => this.json[each] ?? undefined) as (Json | undefined)[];
    if (objects.some((each) => each !== undefined && (typeof each !== 'object' || Array.isArray(each)))) {
      throw this.refuse(`${name} is no object`);
    }
    const [given, before] = objects;
    const all = { ...DEFAULTS[name], ...given, ...(before && { ...DEFAULTS[name], ...before }) };
    return new Fields(this.path, all, `${name}.`);
  }

  text(name: string): string {
    const value = this.json[name];
    if (typeof value !== 'string') throw this.refuse(`${name} is no string`);
    return value;
  }

  size(name: string): number {
    const value = this.json[name];
    if (!Number.isSafeInteger(value) || (value as number) < 1) throw this.refuse(`${name} is no positive integer`);
    return value as number;
  }

  triple(name: string, least: number): [number, number, number] {
    const value = this.json[name];
    if (!Array.isArray(value) || value.length !== 3 || !value.every((each) => Number.isFinite(each) && each >= least)) {
      throw this.refuse(`${name} is not three numbers that can be one`);
    }
    return value as [number, number, number];
  }
}

async function readJson(folder: string, name: string): Promise<Fields> {
  const file = path.join(folder, name);
  const json = await readJsonFile(file);
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${file} is no JSON object`);
  }
  return new Fields(file, json as Json);
}

function layersOf(tower: Fields) {
  const width = tower.size('hidden_size');
  const heads = tower.size('num_attention_heads');
  if (width % heads !== 0) throw tower.refuse(`hidden_size ${width} does not divide into ${heads} heads`);
  const eps = tower.value('layer_norm_eps');
  if (eps !== LAYER_NORM_EPS) throw tower.refuse(`layer_norm_eps is ${eps}, not ${LAYER_NORM_EPS}`);
  const activation = tower.value('hidden_act');
  if (activation !== 'gelu' && activation !== 'quick_gelu') {
    throw tower.refuse(`hidden_act is '${activation}'; 'gelu' and 'quick_gelu' are supported`);
  }
  const layers = tower.size('num_hidden_layers');
  if (layers > MOST_LAYERS) throw tower.refuse(`num_hidden_layers is ${layers}`);
  return { width, heads, layers, mlp: tower.size('intermediate_size'), quickGelu: activation === 'quick_gelu' };
}

async function readProcessor(folder: string): Promise<Fields> {
  const nested = existsSync(path.join(folder, PROCESSOR)) ? await readJson(folder, PROCESSOR) : undefined;
  const own = nested?.value('image_processor');
  const inside = typeof own === 'object' && own !== null && !Array.isArray(own) ? (own as Json) : undefined;
  if (nested !== undefined && inside !== undefined) {
    return new Fields(nested.path, { ...PREPARATION_DEFAULTS, ...inside }, 'image_processor.');
  }
  if (!existsSync(path.join(folder, PREPROCESSOR))) {
    throw new ClipnError('ERR_CLIPN_IO', `${folder} does not say how images are prepared: it has no ${PREPROCESSOR}`);
  }
  return (await readJson(folder, PREPROCESSOR)).over(PREPARATION_DEFAULTS);
}

/** Mean and standard deviation, when all else is done to an image as CLIP does it (spec 4.2). */
async function readPreparation(folder: string, imageSize: number): Promise<Pick<NetworkConfig, 'mean' | 'std'>> {
  const file = await readProcessor(folder);
  for (const step of ['do_resize', 'do_center_crop', 'do_rescale', 'do_normalize']) {
    if (file.value(step) !== true) throw file.refuse(`${step} is off`);
  }
  if (file.value('resample') !== BICUBIC) {
    throw file.refuse(`resample is ${file.value('resample')}; ${BICUBIC} (bicubic) is supported`);
  }
  if (!(Math.abs(Number(file.value('rescale_factor')) * 255 - 1) < 1e-6)) {
    throw file.refuse(`rescale_factor is ${file.value('rescale_factor')}, not 1/255`);
  }
  const size = file.value('size');
  const shorter = typeof size === 'object' && size !== null ? (size as Json)['shortest_edge'] : size;
  if (shorter !== imageSize) {
    throw file.refuse(`size is ${JSON.stringify(size)}, not a shorter side of ${imageSize} as the image tower has`);
  }
  const crop = file.value('crop_size');
  const sides =
    typeof crop === 'object' && crop !== null ? [(crop as Json)['height'], (crop as Json)['width']] : [crop];
  if (sides.some((side) => side !== imageSize)) {
    throw file.refuse(`crop_size is ${JSON.stringify(crop)}, not ${imageSize} as the image tower has`);
  }
  return { mean: file.triple('image_mean', 0), std: file.triple('image_std', Number.MIN_VALUE) };
}

async function findWeights(folder: string): Promise<string[]> {
  const name = WEIGHTS.find((each) => existsSync(path.join(folder, each)));
  if (name === undefined) {
    throw new ClipnError('ERR_CLIPN_IO', `${folder} has no weights: none of ${WEIGHTS.join(', ')}`);
  }
  if (!name.endsWith('.index.json')) return [path.join(folder, name)];
  return (await shardNames(folder, name)).map((shard) => {
    const file = path.join(folder, shard);
    if (!existsSync(file)) {
      throw new ClipnError('ERR_CLIPN_IO', `${path.join(folder, name)} names ${shard}, which is not there`);
    }
    return file;
  });
}

/** File names of the shards that an index in the folder names, sorted. @throws ERR_CLIPN_INVALID_ARG when it names none */
export async function shardNames(folder: string, name: string): Promise<string[]> {
  const index = await readJson(folder, name);
  const map = index.value('weight_map');
  const shards = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))].sort() : [];
  if (shards.length === 0) throw index.refuse('weight_map names no file');
  for (const shard of shards) {
    // A name alone: an index must not lead out of its folder.
    if (typeof shard !== 'string' || path.basename(shard) !== shard) throw index.refuse(`weight_map names ${shard}`);
  }
  return shards;
}
