/** The network a checkpoint belongs to, read off its keys and shapes (spec 1.1, 1.8); anything else is refused. */

import { ClipnError } from '../base/errors';
import type { TensorTable } from '../formats/tensor-table';
import type { Architecture } from '../native/addon';
import { refuseOtherFamilies } from './families';

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
  | 'contextLength'
  | 'vocabSize'
  | 'textWidth'
  | 'textLayers';

export type Activation = 'gelu' | 'quickgelu';

/** `clip`: no "no" tower. */
export type ModelKind = 'clipn' | 'clip';

export interface Network {
  kind: ModelKind;
  /** Where the weights come from, as far as the keys tell. */
  origin: 'clipn' | 'openclip' | 'openai';
  architecture: Architecture;
  /** Keys of the model's own tensors, sorted. */
  keys: string[];
}

/** Buffers that OpenAI stores beside its weights; nothing else tells its files, which need QuickGELU, from OpenCLIP's. */
const OPENAI_KEYS = ['input_resolution', 'context_length', 'vocab_size'];
/** A mask that old OpenCLIP versions stored; it follows from the context length. */
const IGNORED_KEYS = new Set([...OPENAI_KEYS, 'attn_mask']);

const FLOAT_DTYPES = new Set(['float32', 'float16', 'bfloat16']);
const HEAD_WIDTH = 64;
/** Of image towers whose heads are not 64 wide, though their width divides by it: width → head (OpenCLIP's model_configs). */
const WIDE_HEADS: ReadonlyMap<number, number> = new Map([
  [1280, 80], // ViT-H-14
  [1408, 88], // ViT-g-14
  [1664, 104], // ViT-bigG-14
  [1792, 112], // ViT-e-14
]);
/** Up to here image towers of CLIP have heads of 64. */
const WIDEST_PLAIN = 1024;
const SHOWN = 5;

type Shapes = Map<string, number[]>;

/**
 * @throws ClipnError ERR_CLIPN_CHECKPOINT_KEYS naming the first missing, unexpected and misshapen keys;
 * ERR_CLIPN_INVALID_ARG when the config or activation contradicts the checkpoint or is needed and missing.
 */
export function readNetwork(
  tensors: TensorTable,
  options: { config?: NetworkConfig | undefined; act?: Activation | undefined } = {},
): Network {
  refuseOtherFamilies(tensors.keys());
  const hasNo = [...tensors.keys()].some((key) => key === 'prompt_no' || /_no[._]|_no$/.test(key));
  const kind = hasNo ? 'clipn' : 'clip';
  const sizes = sizesOf(tensors, kind);
  const expected = expectedShapes(sizes, kind, tensors.get('prompt_no')?.shape[0] ?? 0);
  checkKeys(tensors, expected);
  const isOpenAi = OPENAI_KEYS.some((key) => tensors.has(key));
  const architecture = { ...sizes, ...headsOf(sizes, options.config), quickGelu: quickGelu(isOpenAi, options) };
  checkConfig(architecture, options.config);
  return {
    kind,
    origin: isOpenAi ? 'openai' : kind === 'clipn' ? 'clipn' : 'openclip',
    architecture,
    keys: [...expected.keys()].sort(),
  };
}

type Sizes = Omit<Architecture, 'visionHeads' | 'textHeads' | 'quickGelu'>;

/** The tensors whose shapes tell the sizes, with their ranks. */
const PROBES = {
  'visual.conv1.weight': 4,
  'visual.positional_embedding': 2,
  'visual.proj': 2,
  positional_embedding: 2,
  'token_embedding.weight': 2,
} as const;

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
  const shape = (key: keyof typeof PROBES) => tensors.get(key)!.shape;
  const [visionWidth, , patchSize] = shape('visual.conv1.weight') as [number, number, number];
  const [tokens] = shape('visual.positional_embedding') as [number];
  const [contextLength, textWidth] = shape('positional_embedding') as [number, number];
  return {
    embedDim: shape('visual.proj')[1]!,
    imageSize: Math.round(Math.sqrt(Math.max(0, tokens - 1))) * patchSize,
    patchSize,
    visionWidth,
    visionLayers: layersOf(tensors, 'visual.transformer.resblocks.'),
    contextLength,
    vocabSize: shape('token_embedding.weight')[0]!,
    textWidth,
    textLayers: layersOf(tensors, 'transformer.resblocks.'),
  };
}

/** How many different blocks there are, at least one: a gap in their numbers then shows as a missing and an unexpected one. */
function layersOf(tensors: TensorTable, prefix: string): number {
  const numbers = [...tensors.keys()]
    .filter((key) => key.startsWith(prefix))
    .map((key) => key.slice(prefix.length).split('.', 1)[0]);
  return Math.max(1, new Set(numbers).size);
}

function headsOf(sizes: Sizes, config: NetworkConfig | undefined): { visionHeads: number; textHeads: number } {
  const visionHeads = sizes.visionWidth / (config?.visionHeadWidth ?? usualHeadWidth(sizes.visionWidth));
  const textHeads = config?.textHeads ?? sizes.textWidth / HEAD_WIDTH;
  for (const [tower, width, heads] of [
    ['vision', sizes.visionWidth, visionHeads],
    ['text', sizes.textWidth, textHeads],
  ] as const) {
    if (Number.isInteger(heads) && heads > 0 && width % heads === 0) continue;
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `the ${tower} tower's width ${width} does not divide into ${config ? 'the heads its config gives' : `heads of ${HEAD_WIDTH}`}`,
      {
        hint: 'Pass the OpenCLIP config of this checkpoint with --config: vision_cfg.head_width and text_cfg.heads tell the heads.',
      },
    );
  }
  return { visionHeads, textHeads };
}

/** @throws ERR_CLIPN_INVALID_ARG where it is not known: a wrong one gives features without an error */
function usualHeadWidth(width: number): number {
  const known = WIDE_HEADS.get(width) ?? (width <= WIDEST_PLAIN ? HEAD_WIDTH : undefined);
  if (known !== undefined) return known;
  throw new ClipnError(
    'ERR_CLIPN_INVALID_ARG',
    `how many heads has an image tower ${width} wide? Its shapes do not tell`,
    {
      hint: 'Pass the OpenCLIP config of this checkpoint with --config: vision_cfg.head_width tells.',
    },
  );
}

function quickGelu(
  isOpenAi: boolean,
  { config, act }: { config?: NetworkConfig | undefined; act?: Activation | undefined },
) {
  const configured = config?.quickGelu;
  const asked = act === undefined ? configured : act === 'quickgelu';
  if (act !== undefined && configured !== undefined && asked !== configured) {
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `act '${act}' contradicts quick_gelu ${configured} in ${config!.path}`,
    );
  }
  if (isOpenAi && asked !== true) {
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `these are OpenAI's own weights (${OPENAI_KEYS.join(', ')}), which need QuickGELU`,
      {
        hint: 'Pass --act quickgelu.',
      },
    );
  }
  return asked ?? false;
}

function checkConfig(architecture: Architecture, config: NetworkConfig | undefined): void {
  for (const [name, size] of Object.entries(config?.sizes ?? {})) {
    const found = architecture[name as keyof NetworkConfig['sizes']];
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
  addBlocks(shapes, 'visual.transformer', a.visionLayers, a.visionWidth);
  for (const no of kind === 'clipn' ? ['', '_no'] : ['']) {
    shapes.set(`token_embedding${no}.weight`, [a.vocabSize, a.textWidth]);
    shapes.set(`positional_embedding${no}`, [a.contextLength, a.textWidth]);
    shapes.set(`text_projection${no}`, [a.textWidth, a.embedDim]);
    addNorm(shapes, `ln_final${no}`, a.textWidth);
    addBlocks(shapes, `transformer${no}`, a.textLayers, a.textWidth);
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

function addBlocks(shapes: Shapes, tower: string, layers: number, width: number): void {
  for (let i = 0; i < layers; i++) {
    const block = `${tower}.resblocks.${i}`;
    addNorm(shapes, `${block}.ln_1`, width);
    addNorm(shapes, `${block}.ln_2`, width);
    shapes.set(`${block}.attn.in_proj_weight`, [3 * width, width]);
    shapes.set(`${block}.attn.in_proj_bias`, [3 * width]);
    addLinear(shapes, `${block}.attn.out_proj`, width, width);
    addLinear(shapes, `${block}.mlp.c_fc`, 4 * width, width);
    addLinear(shapes, `${block}.mlp.c_proj`, width, 4 * width);
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
    .map((group) => {
      const rest = found[group].length - SHOWN;
      return `${group}: ${found[group].slice(0, SHOWN).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
    });
  return new ClipnError(
    'ERR_CLIPN_CHECKPOINT_KEYS',
    `the keys are not those of a CLIPN or CLIP checkpoint; ${parts.join('; ')}`,
    {
      details: found,
    },
  );
}
