/** What an evaluation may be asked for. */
import type { OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { type Calibration, parseCalibration } from '../decide/calibration';
import { assertDecoding, type DecodeOptions } from '../images/decode';
import type { Model } from '../model/model';
import type { NegativesInput } from '../model/negatives';
import type { Precision } from '../native/placement';
import type { Scorer } from '../scores/scorers';
import type { TemplatesInput } from '../text/templates';

export const DEFAULT_BATCH = 8;
export const DEFAULT_EXAMPLES = 12;

/** How far an evaluation has come. */
export interface EvalProgress {
  /** `labels` and `words`: sentences of labels, of negatives; `features`: images not in the store; `scores`: images. */
  stage: 'labels' | 'words' | 'features' | 'scores';
  /** How many of `total`. */
  done: number;
  /** How many there are in this stage. */
  total: number;
}

/** Options of `evaluate`. */
export interface EvalOptions {
  /**
   * A loaded model, or the path of a model file or name of a fetched model, which is loaded in `precision` and closed
   * again.
   */
  model: Model | string;
  /** Arithmetic of a model that is given by its path. Default fp32. */
  precision?: Precision | 'auto' | undefined;
  /** Of the model file, as for `loadModel`. Default: any file is loaded. */
  trustedSha256?: string | undefined;
  /** In-distribution images: a folder of class folders, or of images alone (then there is no accuracy). */
  id: string;
  /** Name → folder of out-of-distribution images, at least one. */
  ood: Readonly<Record<string, string>>;
  /** Class names; those of the ID class folders when absent. */
  labels?: readonly string[] | undefined;
  /** Name of a class folder → class name, beyond the wnids of ImageNet-1k, which are known. Default none. */
  classNames?: ReadonlyMap<string, string> | undefined;
  /**
   * Of the labels: the name of a set, a file, or a set of one's own. Default the model's; of a plain CLIP with mined
   * negatives those of the words.
   */
  templates?: TemplatesInput | undefined;
  /** Folder of the feature store; by default one for the model in the cache folder. */
  store?: string | undefined;
  /**
   * Files in `results/` of batches with `--features fp32` (docs/batch.md): images that are in them, by SHA-256, are not
   * encoded. They go into the store. Default none.
   */
  features?: readonly string[] | undefined;
  /** Score by which classes and examples are judged. Default the calibration's, else `atd`; of a plain CLIP with negatives `negLabel`. */
  score?: string | undefined;
  /** Words that are none of the labels, as a detector takes them: for `negLabel` and `ole`. Default none. */
  negatives?: NegativesInput | undefined;
  /** Also GL-MCM: encodes the images with their patches, into a store that is bound to the labels. Default false. */
  patches?: boolean | undefined;
  /** λ of GL-MCM, default 1. */
  lambda?: number | undefined;
  /** Also tell what this calibration does with the images: `calibration` of the result. Default none. */
  calibration?: Calibration | undefined;
  /** Turn images as their EXIF orientation says. Default false, as in the paper's evaluation; `check` does. */
  exif?: boolean | undefined;
  /** Images cut short: refused (default), or decoded as far as they go. The store keeps the two apart. */
  truncated?: DecodeOptions['truncated'];
  /** Scores of your own, after the built-in ones. Default none. */
  scorers?: readonly Scorer[] | undefined;
  /** Images in a call of the tower, default 8. Another number may change the last bits of features. */
  batch?: number | undefined;
  /** Examples of each kind of mistake, default 12. */
  examples?: number | undefined;
  /** Largest width × height that is decoded. Default 268,402,689 (0x3FFF squared). */
  limitPixels?: number | undefined;
  /** @internal Images after which a part of the store is written. */
  shardRows?: number | undefined;
  /** What the result's provenance gives as the command. Default `evaluate()`. */
  command?: string | undefined;
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal | undefined;
  /** Called as the evaluation goes on. */
  onProgress?: ((progress: EvalProgress) => void) | undefined;
}

export const EVAL_OPTIONS: OptionNames<EvalOptions> = {
  model: true,
  precision: true,
  trustedSha256: true,
  id: true,
  ood: true,
  labels: true,
  classNames: true,
  templates: true,
  store: true,
  features: true,
  score: true,
  negatives: true,
  patches: true,
  lambda: true,
  calibration: true,
  exif: true,
  truncated: true,
  scorers: true,
  batch: true,
  examples: true,
  limitPixels: true,
  shardRows: true,
  command: true,
  signal: true,
  onProgress: true,
};

/** @throws ERR_CLIPN_DATA_FOLDER without an OOD set, ERR_CLIPN_INVALID_ARG for a value out of its range, ERR_CLIPN_CALIBRATION */
export function assertOptions({
  ood,
  batch = DEFAULT_BATCH,
  examples = DEFAULT_EXAMPLES,
  lambda = 1,
  calibration,
  limitPixels,
  truncated,
}: EvalOptions): void {
  const invalid = (what: string) => new ClipnError('ERR_CLIPN_INVALID_ARG', what);
  if (Object.keys(ood).length === 0) {
    throw new ClipnError('ERR_CLIPN_DATA_FOLDER', 'there is no out-of-distribution folder', {
      hint: 'Give at least one as `ood`, on the command line --ood NAME=DIR.',
    });
  }
  for (const name of Object.keys(ood)) {
    if (name === 'id' || name === 'average' || name === '') throw invalid(`an OOD set cannot be called "${name}"`);
  }
  if (!Number.isInteger(batch) || batch < 1) throw invalid(`batch must be a whole number of at least 1, not ${batch}`);
  if (!Number.isInteger(examples) || examples < 0) {
    throw invalid(`examples must be a whole number of at least 0, not ${examples}`);
  }
  assertDecoding({ ...(limitPixels !== undefined && { limitPixels }), truncated });
  if (calibration !== undefined) parseCalibration(calibration, 'the calibration');
  if (!(lambda >= 0 && lambda < Number.POSITIVE_INFINITY)) throw invalid(`lambda must be at least 0, not ${lambda}`);
}
