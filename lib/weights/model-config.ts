/** `clipn.json`, the part of a model file that says what its methods compute; see docs/model-file.md. */
import { ClipnError } from '../base/errors';
import { isSha256 } from '../base/json-hash';
import { parseJson } from '../base/parse-json';
import type { Activation } from './known-weights';
import type { ModelKind } from './network';
import { isVocabulary, type Vocabulary } from './vocabulary';

/** Precision of stored weights. */
export type StoredDtype = 'fp32' | 'fp16' | 'bf16';
/** Red, green, blue. */
export type Triple = [number, number, number];

/** The only resize rule there is (spec 4.2). */
export const RESIZE_RULE = 'bicubic shorter side, centre crop';

export const STORED_DTYPES = ['fp32', 'fp16', 'bf16'] as const satisfies readonly StoredDtype[];

const SIZE_FIELDS = [
  'embedDim',
  'imageSize',
  'patchSize',
  'visionWidth',
  'visionHeads',
  'visionLayers',
  'contextLength',
  'vocabSize',
  'textWidth',
  'textHeads',
  'textLayers',
] as const;

/** Widths of the blocks' hidden layers; older files do not state them, theirs are 4 times the tower's. */
const MLP_FIELDS = { visionMlp: 'visionWidth', textMlp: 'textWidth' } as const;

/** Names of the sizes of a network. */
type SizeField = (typeof SIZE_FIELDS)[number] | keyof typeof MLP_FIELDS;

/** Sizes of the network, as whole numbers, and the activation of its MLPs. */
export type ArchitectureRecord = Record<SizeField, number> & { activation: Activation };

/** `clipn.json` of a model file. docs/model-file.md */
export interface ModelConfig {
  /** Version of this format. */
  formatVersion: 1;
  /** What runs it. */
  engine: 'torchscript';
  /** `clip`: a plain CLIP, without encode_text_no. */
  kind: ModelKind;
  /** True when the file holds no text tower. */
  imageOnly: boolean;
  /** The network. */
  architecture: ArchitectureRecord;
  /** D, width of a feature. */
  embedDim: number;
  /** S, side of the square that the image tower sees. */
  imageSize: number;
  /** Of the [0, 1] range. */
  mean: Triple;
  /** Of the [0, 1] range. */
  std: Triple;
  /** How an image becomes a square. */
  resize: typeof RESIZE_RULE;
  /** Tokens a text tower takes at most; null when there is none. */
  contextLength: number | null;
  /** Id of the start token; null without text towers. */
  sot: number | null;
  /** Id of the end token; null without text towers. */
  eot: number | null;
  /** s of the scores (spec 1.6). */
  scale: number;
  /** exp(logit_scale) of the checkpoint, for information. */
  trainedScale: number;
  /** Template set the model is meant for. */
  templates: string;
  /** The names it learnt, `open` for a CLIP taught on captions of the web; files that do not say are open. */
  vocabulary: Vocabulary;
  /** The checkpoint that it was made of. */
  source: {
    /** Name of the file, without its folder. */
    fileName: string;
    /** Of the file. */
    sha256: string;
    /** Whose layout it had. */
    kind: 'clipn' | 'openclip' | 'openai' | 'huggingface';
    /** Which published file it is, where its hash is known. */
    knownAs?: string;
  };
  /** Of the stored weights. */
  dtype: StoredDtype;
  /** sha256 over the tensors and what else decides the features; label banks are bound to it. */
  contentId: string;
}

type Json = Record<string, unknown>;

/** Far above every network there is: buffers are made of these sizes before the model is asked. */
const MOST = 1 << 20;
const MOST_PIXELS_A_SIDE = 4096;
/** Logits beyond would lose their differences in fp32. */
const LARGEST_SCALE = 1e4;

/**
 * Checks every field of a clipn.json.
 * @param path the model file, for messages.
 * @throws ClipnError ERR_CLIPN_MODEL_FORMAT naming the field.
 */
export function parseModelConfig(json: string, path: string): ModelConfig {
  const invalid = (what: string, cause?: unknown) =>
    new ClipnError('ERR_CLIPN_MODEL_FORMAT', `${path}: clipn.json ${what}`, { cause });
  let value: unknown;
  try {
    value = parseJson(json);
  } catch (cause) {
    throw invalid(json === '' ? 'is missing' : 'is not JSON', cause);
  }
  const root = object(value);
  if (!root) throw invalid('is no object');
  if (root['formatVersion'] !== 1) {
    throw new ClipnError(
      'ERR_CLIPN_MODEL_FORMAT',
      `${path}: clipn.json has formatVersion ${String(root['formatVersion'])}, this version reads 1`,
      {
        hint: 'Update clipn-native, or export the checkpoint again with this version.',
      },
    );
  }
  const field = <T>(name: string, found: T | undefined): T => {
    if (found === undefined) throw invalid(`has no valid ${name}`);
    return found;
  };
  const architecture = field('architecture', object(root['architecture']));
  const source = field('source', object(root['source']));
  const imageOnly = field('imageOnly', bool(root['imageOnly']));
  const size = (name: string, fallback?: number) =>
    field(`architecture.${name}`, integer(name in architecture ? architecture[name] : fallback, 1, MOST));
  const sizes = Object.fromEntries(SIZE_FIELDS.map((name) => [name, size(name)])) as Record<SizeField, number>;
  for (const [name, width] of Object.entries(MLP_FIELDS)) sizes[name as SizeField] = size(name, 4 * sizes[width]);
  const text = (name: string, least: number) => (imageOnly ? null : field(name, integer(root[name], least, MOST)));
  const config: ModelConfig = {
    formatVersion: 1,
    engine: field('engine', oneOf(root['engine'], ['torchscript'] as const)),
    kind: field('kind', oneOf(root['kind'], ['clipn', 'clip'] as const)),
    imageOnly,
    architecture: {
      ...sizes,
      activation: field('architecture.activation', oneOf(architecture['activation'], ['gelu', 'quickgelu'] as const)),
    },
    embedDim: field('embedDim', integer(root['embedDim'], 1, MOST)),
    imageSize: field('imageSize', integer(root['imageSize'], 1, MOST_PIXELS_A_SIDE)),
    mean: field('mean', triple(root['mean'], 0)),
    std: field('std', triple(root['std'], Number.MIN_VALUE)),
    resize: field('resize', oneOf(root['resize'], [RESIZE_RULE] as const)),
    contextLength: text('contextLength', 2),
    sot: text('sot', 0),
    eot: text('eot', 0),
    scale: field('scale', positive(root['scale'], LARGEST_SCALE)),
    trainedScale: field('trainedScale', positive(root['trainedScale'], Number.MAX_VALUE)),
    templates: field('templates', name(root['templates'])),
    vocabulary: field('vocabulary', vocabulary(root['vocabulary'])),
    source: {
      fileName: field('source.fileName', name(source['fileName'])),
      sha256: field('source.sha256', sha256(source['sha256'])),
      kind: field('source.kind', oneOf(source['kind'], ['clipn', 'openclip', 'openai', 'huggingface'] as const)),
      ...(source['knownAs'] !== undefined && { knownAs: field('source.knownAs', name(source['knownAs'])) }),
    },
    dtype: field('dtype', oneOf(root['dtype'], STORED_DTYPES)),
    contentId: field('contentId', sha256(root['contentId'])),
  };
  for (const twin of ['embedDim', 'imageSize', ...(imageOnly ? [] : (['contextLength'] as const))] as const) {
    if (config[twin] !== config.architecture[twin]) throw invalid(`gives two values for ${twin}`);
  }
  return config;
}

function object(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function bool(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined;
}

function integer(value: unknown, least: number, most: number): number | undefined {
  const fits = Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
  return fits ? (value as number) : undefined;
}

function positive(value: unknown, most: number): number | undefined {
  return Number.isFinite(value) && (value as number) > 0 && (value as number) <= most ? (value as number) : undefined;
}

function triple(value: unknown, least: number): Triple | undefined {
  const fits = Array.isArray(value) && value.length === 3 && value.every((v) => Number.isFinite(v) && v >= least);
  return fits ? (value as Triple) : undefined;
}

function name(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Files of before do not say. */
function vocabulary(value: unknown = 'open'): Vocabulary | undefined {
  return isVocabulary(value) ? value : undefined;
}

function sha256(value: unknown): string | undefined {
  return isSha256(value) ? value : undefined;
}

function oneOf<T extends string>(value: unknown, allowed: readonly T[]): T | undefined {
  return allowed.find((one) => one === value);
}
