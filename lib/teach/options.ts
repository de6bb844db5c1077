/** What a training run can be told; the defaults are the paper's constants (spec 5.3) unless said otherwise. */
import { assertOptionNames, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import type { FetchProgress } from '../download/progress';
import type { Device } from '../native/placement';
import type { Activation } from '../weights/known-weights';
import { STORED_DTYPES, type StoredDtype } from '../weights/model-config';

/** `paper`: every other caption of the batch is a negative. `distinct`: not those that say the same. */
export type TeachNegatives = 'paper' | 'distinct';

export const NEGATIVES = ['distinct', 'paper'] as const satisfies readonly TeachNegatives[];

/** AdamW's constants, the same for every run (spec 5.3). */
export const ADAMW = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2 } as const;

/** K, maps of the learnable prompt (spec 1.4). */
export const PROMPTS = 16;

export const TEACH_DEFAULTS = {
  epochs: 10,
  batch: 2048,
  lr: 3e-4,
  seed: 0,
  precision: 'fp32',
  device: 'auto',
  negatives: 'distinct',
  templates: 'clipn',
  augmentations: 0,
  microBatch: 0,
  saveEvery: 500,
} as const;

/** Options of `teach`. The defaults are the paper's unless said otherwise. docs/teach.md */
export interface TeachOptions {
  /** Passes over the data. Default 10. */
  epochs?: number;
  /** Steps in all; the learning rate falls to 0 over them. Default: those of `epochs`. Not with `epochs`. */
  steps?: number;
  /** Samples a step, at least 2. Default 2048. */
  batch?: number;
  /** Learning rate at the start. Default 3e-4. */
  lr?: number;
  /** Of the order, the prompts, the templates and the crops: 0 … 2^32 - 1. Default 0. */
  seed?: number;
  /** Of the arithmetic; the weights are float32. Default fp32. */
  precision?: 'fp32' | 'bf16' | 'auto';
  /** Where to compute, as for `loadModel`. Default auto. */
  device?: Device;
  /** Default `distinct`: equal captions, and with class folders all of one class, are no negatives of each other. */
  negatives?: TeachNegatives;
  /** Template set of class folders and class numbers: clipn, openai, plain or a file. Default clipn. */
  templates?: string;
  /**
   * File of the classes' names, for class folders and for shards with class numbers: JSON of folder or number → name or
   * list of names, or for numbers one name a line. What it lacks is left out. Default: the folders' own names, `_`
   * becoming a space.
   */
  names?: string;
  /**
   * Column of a table that is the image; found by its usual names when absent. Digits: by number from 1, in a file
   * without header.
   */
  imageColumn?: string;
  /** Column that is the caption; found by its usual names when absent. */
  captionColumn?: string;
  /** What stands between the columns of a .csv or .tsv file; told by its first line when absent. */
  delimiter?: string;
  /** Field of a shard's samples that is the image, e.g. `input.jpg`; when absent, the only one that is an image. */
  imageField?: string;
  /**
   * Field that is the caption, e.g. `cap`, or `json.caption` for a key of JSON; also of a folder of images and texts.
   * When absent, the only one that is a caption by its name.
   */
  captionField?: string;
  /** Random crops of each image that are encoded and drawn from; 0, the default: its evaluation crop alone. */
  augmentations?: number;
  /** Texts whose activations are in memory at a time; 0, the default: all of a batch. Same result, a third more work. */
  microBatch?: number;
  /** Steps between two saves of the state. Default 500. */
  saveEvery?: number;
  /** Folder of the cached features, to share them between runs. Default `features` in the output folder. */
  features?: string;
  /** Of the base, as for `exportModel`. Default as there. */
  tokenizer?: string;
  /** Of the base, as for `exportModel`. Default as there. */
  config?: string;
  /** Of the base, as for `exportModel`. Default as there. */
  key?: string;
  /** Of the base, as for `exportModel`. Default as there. */
  act?: Activation;
  /** Precision of the weights in model.pt. Default fp32. */
  dtype?: StoredDtype;
  /** Folder of libtorch; found by itself when absent. */
  libtorch?: string;
  /** Aborts: the state is saved after the step that is running, and the call rejects with `signal.reason`. */
  signal?: AbortSignal;
  /** What is downloaded, when the base is a hub name. */
  onFetch?: (progress: FetchProgress) => void;
  /** Called as it goes on. */
  onProgress?: (progress: TeachProgress) => void;
  /** Called after every step. */
  onStep?: (step: TeachStep) => void;
  /** What should be told but is no failure: samples left out, a base that was taught before. */
  onWarning?: (warning: string) => void;
}

const TEACH_OPTIONS: OptionNames<TeachOptions> = {
  epochs: true,
  steps: true,
  batch: true,
  lr: true,
  seed: true,
  precision: true,
  device: true,
  negatives: true,
  templates: true,
  names: true,
  imageColumn: true,
  captionColumn: true,
  delimiter: true,
  imageField: true,
  captionField: true,
  augmentations: true,
  microBatch: true,
  saveEvery: true,
  features: true,
  tokenizer: true,
  config: true,
  key: true,
  act: true,
  dtype: true,
  libtorch: true,
  signal: true,
  onFetch: true,
  onProgress: true,
  onStep: true,
  onWarning: true,
};

/** How far a stage has come. */
export interface TeachProgress {
  /** Encoding images, encoding texts, training, writing the model file. */
  stage: 'images' | 'texts' | 'steps' | 'export';
  /** Images, texts, steps or bytes. */
  done: number;
  /** Of how many; 0 where it is not known. */
  total: number;
}

/**
 * One step of the training: its losses before the weights change (spec 5.2) and the learning rate that changes them.
 */
export interface TeachStep {
  /** From 1. */
  step: number;
  /** An image's own caption beats its "no". The formulas: docs/teach.md */
  lossYes: number;
  /** For any other caption the "no" wins. */
  lossNo: number;
  /** Yes and no of a caption are far apart. */
  lossText: number;
  /** Half of their sum, which is minimised. */
  total: number;
  /** Learning rate. */
  lr: number;
}

/** @throws ClipnError ERR_CLIPN_INVALID_ARG naming the option. */
export function checkTeachOptions(options: TeachOptions): void {
  assertOptionNames('teach', options, TEACH_OPTIONS);
  const whole = (name: keyof TeachOptions, least: number, most = 2 ** 31 - 1) => {
    const value = options[name];
    if (value === undefined || (Number.isInteger(value) && Number(value) >= least && Number(value) <= most)) return;
    throw invalid(`${name} must be a whole number from ${least}, not ${value}`);
  };
  const oneOf = (name: keyof TeachOptions, choices: readonly string[]) => {
    const value = options[name];
    if (value === undefined || choices.includes(String(value))) return;
    throw invalid(`${name} must be one of ${choices.join(', ')}, not ${value}`);
  };
  if (options.steps !== undefined && options.epochs !== undefined) throw invalid('give either steps or epochs');
  whole('steps', 1);
  whole('epochs', 1);
  if (Number.isInteger(options.batch) && options.batch! < 2) {
    throw invalid(`batch must be at least 2, not ${options.batch}: an image is compared with other images' captions`);
  }
  whole('batch', 2);
  whole('seed', 0, 2 ** 32 - 1);
  whole('augmentations', 0, 1000);
  whole('microBatch', 0);
  whole('saveEvery', 1);
  const { lr } = options;
  if (lr !== undefined && !(Number.isFinite(lr) && lr > 0)) throw invalid(`lr must be a positive number, not ${lr}`);
  oneOf('precision', ['fp32', 'bf16', 'auto']);
  oneOf('device', ['auto', 'cpu', 'cuda']);
  oneOf('negatives', NEGATIVES);
  oneOf('act', ['gelu', 'quickgelu']);
  oneOf('dtype', STORED_DTYPES);
  for (const name of DATA_TEXTS) {
    const value: unknown = options[name];
    if (value === undefined || (typeof value === 'string' && value !== '')) continue;
    throw invalid(`${name} must be a text, not ${typeof value === 'string' ? 'an empty one' : typeof value}`);
  }
  if (/["\r\n]/.test(options.delimiter ?? '')) throw invalid('delimiter must be neither a quote nor a line break');
}

const DATA_TEXTS = [
  'templates',
  'names',
  'imageColumn',
  'captionColumn',
  'delimiter',
  'imageField',
  'captionField',
] as const satisfies readonly (keyof TeachOptions)[];

function invalid(message: string): ClipnError {
  return new ClipnError('ERR_CLIPN_INVALID_ARG', message);
}
