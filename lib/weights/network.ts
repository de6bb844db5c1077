/**
 * The network a checkpoint belongs to, read off its keys and shapes (spec 1.1, 1.8); anything else is refused. Its
 * activation, which no shape tells, is settled by itself (activation.ts).
 */

import { ClipnError } from '../base/errors';
import { firstFew } from '../base/wording';
import type { TensorTable } from '../formats/tensor-table';
import type { Architecture } from '../native/addon';
import { refuseOtherFamilies } from './families';
import { usualHeadWidth } from './known-weights';

/** What a config beside the weights says of a network: all that shapes do not tell, and a check of what they do. */
export interface NetworkConfig {
  path: string;
  quickGelu: boolean | undefined;
  visionHeadWidth: number | undefined;
  textHeads: number | undefined;
  mean: [number, number, number] | undefined;
  std: [number, number, number] | undefined;
  /** Sizes the checkpoint must have. */
  sizes: Partial<Record<ConfigSize, number>>;
}

export type ConfigSize =
  | 'embedDim'
  | 'imageSize'
  | 'patchSize'
  | 'visionWidth'
  | 'visionLayers'
  | 'visionMlp'
  | 'contextLength'
  | 'vocabSize'
  | 'textWidth'
  | 'textLayers'
  | 'textMlp';

/** `clip`: no "no" tower. */
export type ModelKind = 'clipn' | 'clip';

/** An architecture but for its activation. */
export type NetworkSizes = Omit<Architecture, 'quickGelu'>;

export interface Network {
  kind: ModelKind;
  /** Where the weights come from, as far as the keys tell. */
  origin: 'clipn' | 'openclip' | 'openai';
  architecture: NetworkSizes;
  /** Keys of the model's own tensors, sorted. */
  keys: string[];
}

/** Buffers that OpenAI stores beside its weights; nothing else tells its files, which need QuickGELU, from OpenCLIP's. */
export const OPENAI_KEYS: readonly string[] = ['input_resolution', 'context_length', 'vocab_size'];
/** A mask that old OpenCLIP versions stored; it follows from the context length. */
const IGNORED_KEYS = new Set([...OPENAI_KEYS, 'attn_mask']);

const FLOAT_DTYPES = new Set(['float32', 'float16', 'bfloat16']);

type Shapes = Map<string, number[]>;

/**
 * @throws ClipnError ERR_CLIPN_CHECKPOINT_KEYS naming the first missing, unexpected and misshapen keys;
 * ERR_CLIPN_CHECKPOINT_AMBIGUOUS when the heads are not known; ERR_CLIPN_INVALID_ARG when the config contradicts the
 * checkpoint.
 */
export function readNetwork(tensors: TensorTable, config?: NetworkConfig): Network {
  refuseOtherFamilies(tensors);
  const hasNo = [...tensors.keys()].some((key) => key === 'prompt_no' || /_no[._]|_no$/.test(key));
  const kind = hasNo ? 'clipn' : 'clip';
  const sizes = sizesOf(tensors, kind);
  const expected = expectedShapes(sizes, kind, tensors.get('prompt_no')?.shape[0] ?? 0);
  checkKeys(tensors, expected);
  const isOpenAi = OPENAI_KEYS.some((key) => tensors.has(key));
  checkConfig(sizes, config);
  const architecture = { ...sizes, ...headsOf(sizes, config) };
  return {
    kind,
    origin: isOpenAi ? 'openai' : kind === 'clipn' ? 'clipn' : 'openclip',
    architecture,
    keys: [...expected.keys()].sort(),
  };
}

type Sizes = Omit<NetworkSizes, 'visionHeads' | 'textHeads'>;

/** Of the first block of a tower; that all blocks are alike, their expected shapes tell. */
const [VISION_MLP, TEXT_MLP] = ['visual.transformer', 'transformer'].map(
  (tower) => `${tower}.resblocks.0.mlp.c_fc.weight`,
) as [string, string];

/** The tensors whose shapes tell the sizes, with their ranks. */
const PROBES: Readonly<Record<string, number>> = {
  'visual.conv1.weight': 4,
  'visual.positional_embedding': 2,
  'visual.proj': 2,
  positional_embedding: 2,
  'token_embedding.weight': 2,
  [VISION_MLP]: 2,
  [TEXT_MLP]: 2,
};

function sizesOf(tensors: TensorTable, kind: ModelKind): Sizes {
  const ranks: [string, number][] = [
    ...Object.entries(PROBES),
    ...(kind === 'clipn' ? [['prompt_no', 3] as [string, number]] : []),
  ];
  const missing = ranks.filter(([key]) => !tensors.has(key)).map(([key]) => key);
  const wrong = ranks
    .filter(([key, rank]) => tensors.has(key) && tensors.get(key)!.shape.length !== rank)
    .map(([key, rank]) => `${key} [${tensors.get(key)!.shape.join(', ')}] (expected ${rank} dimensions)`);
  if (missing.length > 0 || wrong.length > 0) throw keysError({ missing, unexpected: [], wrong });
  const shape = (key: string) => tensors.get(key)!.shape;
  const [visionWidth, , patchSize] = shape('visual.conv1.weight') as [number, number, number];
  const [tokens] = shape('visual.positional_embedding') as [number];
  const [contextLength, textWidth] = shape('positional_embedding') as [number, number];
  return {
    embedDim: shape('visual.proj')[1]!,
    imageSize: Math.round(Math.sqrt(Math.max(0, tokens - 1))) * patchSize,
    patchSize,
    visionWidth,
    visionLayers: layersOf(tensors, 'visual.transformer.resblocks.'),
    visionMlp: shape(VISION_MLP)[0]!,
    contextLength,
    vocabSize: shape('token_embedding.weight')[0]!,
    textWidth,
    textLayers: layersOf(tensors, 'transformer.resblocks.'),
    textMlp: shape(TEXT_MLP)[0]!,
  };
}

/** How many different blocks there are, at least one: a gap in their numbers then shows as a missing and an unexpected one. */
function layersOf(tensors: TensorTable, prefix: string): number {
  const numbers = [...tensors.keys()]
    .filter((key) => key.startsWith(prefix))
    .map((key) => key.slice(prefix.length).split('.', 1)[0]);
  return Math.max(1, new Set(numbers).size);
}

/** What a config gives, or as towers of this size have it. */
function headsOf(sizes: Sizes, config: NetworkConfig | undefined): { visionHeads: number; textHeads: number } {
  const { visionWidth, visionMlp, textWidth, textMlp } = sizes;
  const visionHeads = visionWidth / (config?.visionHeadWidth ?? usualHeadWidth('image', visionWidth, visionMlp));
  const textHeads = config?.textHeads ?? textWidth / usualHeadWidth('text', textWidth, textMlp);
  for (const [tower, width, heads] of [
    ['image', visionWidth, visionHeads],
    ['text', textWidth, textHeads],
  ] as const) {
    if (Number.isInteger(heads) && heads > 0 && width % heads === 0) continue;
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `${config!.path} gives heads that the ${tower} tower's width ${width} does not divide into`,
      { hint: 'Pass the config that belongs to this checkpoint.' },
    );
  }
  return { visionHeads, textHeads };
}

function checkConfig(sizes: Sizes, config: NetworkConfig | undefined): void {
  for (const [name, size] of Object.entries(config?.sizes ?? {})) {
    const found = sizes[name as ConfigSize];
    if (found === size) continue;
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `${config!.path} gives ${name} ${size}, the checkpoint's shapes say ${found}`,
      {
        hint: 'Pass the config that belongs to this checkpoint.',
      },
    );
  }
}

function expectedShapes(a: Sizes, kind: ModelKind, prompts: number): Shapes {
  const shapes: Shapes = new Map([
    ['logit_scale', []],
    ['visual.conv1.weight', [a.visionWidth, 3, a.patchSize, a.patchSize]],
    ['visual.class_embedding', [a.visionWidth]],
    ['visual.positional_embedding', [1 + (a.imageSize / a.patchSize) ** 2, a.visionWidth]],
    ['visual.proj', [a.visionWidth, a.embedDim]],
  ]);
  addNorm(shapes, 'visual.ln_pre', a.visionWidth);
  addNorm(shapes, 'visual.ln_post', a.visionWidth);
  addBlocks(shapes, 'visual.transformer', a.visionLayers, a.visionWidth, a.visionMlp);
  for (const no of kind === 'clipn' ? ['', '_no'] : ['']) {
    shapes.set(`token_embedding${no}.weight`, [a.vocabSize, a.textWidth]);
    shapes.set(`positional_embedding${no}`, [a.contextLength, a.textWidth]);
    shapes.set(`text_projection${no}`, [a.textWidth, a.embedDim]);
    addNorm(shapes, `ln_final${no}`, a.textWidth);
    addBlocks(shapes, `transformer${no}`, a.textLayers, a.textWidth, a.textMlp);
  }
  if (kind === 'clipn') shapes.set('prompt_no', [prompts, a.contextLength, a.textWidth]);
  return shapes;
}

function addNorm(shapes: Shapes, name: string, width: number): void {
  shapes.set(`${name}.weight`, [width]);
  shapes.set(`${name}.bias`, [width]);
}

function addLinear(shapes: Shapes, name: string, out: number, into: number): void {
  shapes.set(`${name}.weight`, [out, into]);
  shapes.set(`${name}.bias`, [out]);
}

function addBlocks(shapes: Shapes, tower: string, layers: number, width: number, mlp: number): void {
  for (let i = 0; i < layers; i++) {
    const block = `${tower}.resblocks.${i}`;
    addNorm(shapes, `${block}.ln_1`, width);
    addNorm(shapes, `${block}.ln_2`, width);
    shapes.set(`${block}.attn.in_proj_weight`, [3 * width, width]);
    shapes.set(`${block}.attn.in_proj_bias`, [3 * width]);
    addLinear(shapes, `${block}.attn.out_proj`, width, width);
    addLinear(shapes, `${block}.mlp.c_fc`, mlp, width);
    addLinear(shapes, `${block}.mlp.c_proj`, width, mlp);
  }
}

function checkKeys(tensors: TensorTable, expected: Shapes): void {
  const missing = [...expected.keys()].filter((key) => !tensors.has(key));
  const unexpected = [...tensors.keys()].filter((key) => !expected.has(key) && !IGNORED_KEYS.has(key));
  const wrong: string[] = [];
  for (const [key, shape] of expected) {
    const entry = tensors.get(key);
    if (!entry) continue;
    if (!FLOAT_DTYPES.has(entry.dtype)) wrong.push(`${key} ${entry.dtype} (expected float32, float16 or bfloat16)`);
    else if (entry.shape.join() !== shape.join() || shape.includes(0)) {
      wrong.push(`${key} [${entry.shape.join(', ')}] (expected [${shape.join(', ')}])`);
    }
  }
  if (missing.length + unexpected.length + wrong.length > 0) throw keysError({ missing, unexpected, wrong });
}

function keysError(found: { missing: string[]; unexpected: string[]; wrong: string[] }): ClipnError {
  const parts = (['missing', 'unexpected', 'wrong'] as const)
    .filter((group) => found[group].length > 0)
    .map((group) => `${group}: ${firstFew(found[group])}`);
  return new ClipnError(
    'ERR_CLIPN_CHECKPOINT_KEYS',
    `the keys are not those of a CLIPN or CLIP checkpoint; ${parts.join('; ')}`,
    {
      details: found,
    },
  );
}
