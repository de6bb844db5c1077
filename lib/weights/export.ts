/** Makes a model file from a checkpoint: reads its table, checks it, describes it, and lets the core write the rest. */

import { statSync } from 'node:fs';
import path from 'node:path';
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { writeThenRename } from '../base/write-file';
import type { FetchProgress } from '../download/progress';
import type { TensorEntry } from '../formats/tensor-table';
import type { NativeExportOptions } from '../native/addon';
import { runTask, withLane } from '../native/lane';
import { settleActivation } from './activation';
import { loadTokenizer } from './checkpoint-tokenizer';
import { type HashOptions, hashFiles, hashTensors } from './content-id';
import { weightsPath } from './hub-cache';
import { type Activation, knownFile } from './known-weights';
import { type ModelConfig, parseModelConfig, RESIZE_RULE, STORED_DTYPES, type StoredDtype } from './model-config';
import { type Network, readNetwork } from './network';
import { MEAN, STD } from './preprocessing';
import { refuseOverwriting, type Source, withSource } from './source';
import { readTrainedScale } from './trained-scale';
import { isVocabulary, type Vocabulary } from './vocabulary';

/** Options of `exportModel`. docs/model-file.md */
export interface ExportOptions {
  /** Leave the text towers out, for applications with a saved label bank. Default false. */
  imageOnly?: boolean;
  /** Precision of the stored weights. Default 'fp32'. */
  dtype?: StoredDtype;
  /**
   * Hugging Face tokenizer.json of the checkpoint; needed when its vocabulary is not CLIP's own of 49,408 tokens.
   * Default: the one in a folder of transformers, else CLIP's own.
   */
  tokenizer?: string;
  /** OpenCLIP config file: activation, heads, mean and std. Default: the one beside the checkpoint, else none. */
  config?: string;
  /**
   * Which dictionary of a .pt or .bin file to read, e.g. `state_dict_ema`. Default: the only one that holds a CLIP;
   * where several do, it must be given.
   */
  key?: string;
  /**
   * Of the MLPs: `gelu` is the exact one. Default: what config, known hash, OpenAI's own keys or the training say;
   * `gelu` for another CLIPN. A plain CLIP in OpenCLIP's layout of which nothing tells must have it given: shapes do
   * not.
   */
  act?: Activation;
  /** Names that the model learnt, where it was taught on few: labels outside them are warned of. Default `open`. */
  vocabulary?: Vocabulary;
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal;
  /** What is downloaded, when a hub name is given. */
  onFetch?: (progress: FetchProgress) => void;
  /** `total` and `done` count bytes of work: two hashes of the source, then the writing. */
  onProgress?: (progress: { stage: 'hash' | 'write'; done: number; total: number }) => void;
}

const EXPORT_OPTIONS: OptionNames<ExportOptions> = {
  imageOnly: true,
  dtype: true,
  tokenizer: true,
  config: true,
  key: true,
  act: true,
  vocabulary: true,
  signal: true,
  onFetch: true,
  onProgress: true,
};

/** What inference multiplies the cosines by, whatever the checkpoint learnt (spec 1.6). */
const SCALE = 100;
/**
 * Writes the model file `out` from a CLIPN checkpoint, a base OpenCLIP state dict (spec 1.8), or a folder of a CLIP as the
 * Hugging Face hub has them, and returns its config. Where nothing has that path and it is a name on the hub (OWNER/NAME,
 * or OWNER/NAME@REVISION), that folder is downloaded into the cache, as for `fetchModel`, and stays there.
 * The file appears under its name only when it is complete.
 *
 * @throws ERR_CLIPN_CHECKPOINT_FORMAT, ERR_CLIPN_CHECKPOINT_UNSAFE, ERR_CLIPN_CHECKPOINT_KEYS or
 *   ERR_CLIPN_CHECKPOINT_AMBIGUOUS for the checkpoint; ERR_CLIPN_TOKENIZER; of a hub name ERR_CLIPN_HUB_NOT_FOUND,
 *   ERR_CLIPN_HUB_ACCESS, ERR_CLIPN_FETCH or ERR_CLIPN_FETCH_HASH; ERR_CLIPN_INVALID_ARG for options that contradict it;
 *   ERR_CLIPN_IO. Rejects with `signal.reason` when aborted, at the end of the step that is running.
 */
export async function exportModel(checkpoint: string, out: string, options: ExportOptions = {}): Promise<ModelConfig> {
  assertArguments({ checkpoint: ['text', checkpoint], out: ['text', out], options: ['options', options] });
  assertOptionNames('exportModel', options, EXPORT_OPTIONS);
  assertOptions(options);
  const { config, key, signal, tokenizer, onFetch } = options;
  const checkpointPath = await weightsPath(checkpoint, { signal, onProgress: onFetch });
  await refuseOverwriting(
    out,
    [checkpointPath, config, tokenizer].filter((file) => file !== undefined),
  );
  return await withSource(checkpointPath, out, { config, key, signal }, (source) =>
    exportSource(source, path.basename(path.resolve(checkpointPath)), out, options),
  );
}

/**
 * `exportModel` of weights that are open already.
 * @param name what the model file says that it comes from
 */
export async function exportSource(
  source: Source,
  name: string,
  out: string,
  options: Omit<ExportOptions, 'config' | 'key'>,
): Promise<ModelConfig> {
  const { signal, dtype = 'fp32', imageOnly = false } = options;
  const { checkpoint } = source;
  const network = readNetwork(checkpoint.tensors, source.config);
  const { architecture: sizes, keys } = network;
  const tokenizer = imageOnly ? undefined : await loadTokenizer(options.tokenizer ?? source.tokenizer, network);
  const reading = readingOf(source, network, options);
  const sha256 = await hashFiles(source.files, reading);
  const said = { act: options.act, config: source.config, signal };
  const activation = await settleActivation(network, checkpoint, sha256, said);
  const known = knownFile(sha256);
  // Every model tensor also when only the image tower is kept: one bank serves both files.
  const closing = `activation ${activation} heads ${sizes.visionHeads} ${sizes.textHeads} stored ${dtype}\n`;
  const contentId = await hashTensors(checkpoint.path, checkpoint.tensors, keys, closing, reading);
  const config: ModelConfig = {
    formatVersion: 1,
    engine: 'torchscript',
    kind: network.kind,
    imageOnly,
    architecture: { ...sizes, activation },
    embedDim: sizes.embedDim,
    imageSize: sizes.imageSize,
    mean: source.config?.mean ?? MEAN,
    std: source.config?.std ?? STD,
    resize: RESIZE_RULE,
    contextLength: tokenizer ? sizes.contextLength : null,
    sot: tokenizer?.sot ?? null,
    eot: tokenizer?.eot ?? null,
    scale: SCALE,
    trainedScale: await readTrainedScale(checkpoint),
    templates: 'clipn',
    vocabulary: options.vocabulary ?? 'open',
    source: {
      fileName: name,
      sha256,
      kind: source.layout === 'huggingface' ? 'huggingface' : network.origin,
      ...(known && { knownAs: known.name }),
    },
    dtype,
    contentId,
  };

  const clipnJson = `${JSON.stringify(config, null, 2)}\n`;
  parseModelConfig(clipnJson, out); // what is written can be read

  const total = checkpoint.size;
  options.onProgress?.({ stage: 'write', done: 0, total });
  await writeThenRename(out, async (temporary) => {
    signal?.throwIfAborted();
    // The core is not told of the signal: it must have let go of the temporary file before that is removed.
    const work: NativeExportOptions = {
      checkpoint: checkpoint.path,
      target: temporary,
      tensors: keys
        .filter((name) => !imageOnly || name.startsWith('visual.'))
        .map((name) => ({ name, ...pick(checkpoint.tensors.get(name)!) })),
      architecture: { ...sizes, quickGelu: activation === 'quickgelu' },
      dtype,
      imageOnly,
      clipnJson,
      tokenizerJson: tokenizer?.json ?? '',
    };
    await withLane((lane) => runTask(lane, undefined, () => lane.exportModel(work)));
    signal?.throwIfAborted();
  });
  options.onProgress?.({ stage: 'write', done: total, total });
  return config;
}

function assertOptions({ dtype, act, vocabulary }: ExportOptions): void {
  if (dtype !== undefined && !STORED_DTYPES.includes(dtype)) {
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `dtype must be one of ${STORED_DTYPES.join(', ')}, not ${String(dtype)}`,
    );
  }
  if (act !== undefined && act !== 'gelu' && act !== 'quickgelu') {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `act must be 'gelu' or 'quickgelu', not ${String(act)}`);
  }
  if (vocabulary !== undefined && !isVocabulary(vocabulary)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', "vocabulary must be 'open' or a list of names, none of them empty");
  }
}

/** How both hashes are read: bytes of the files and then of the tensors count as done. */
function readingOf(
  { checkpoint, files }: Source,
  { keys }: Network,
  { signal, onProgress }: ExportOptions,
): HashOptions {
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
  const total = keys.reduce((sum, key) => sum + checkpoint.tensors.get(key)!.byteLength, bytes);
  let done = 0;
  const onBytes = (count: number) => {
    done += count;
    onProgress?.({ stage: 'hash', done, total });
  };
  return { signal, onBytes };
}

function pick({ dtype, shape, stride, offset }: TensorEntry) {
  return { dtype, shape, stride, offset };
}
