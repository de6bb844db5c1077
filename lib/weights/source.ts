/** What a path that a user gives for weights stands for: a checkpoint file, or a folder as the Hugging Face hub has them. */
import { existsSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { ClipnError } from '../base/errors';
import { withTemporaryFile } from '../base/write-file';
import { type Checkpoint, readCheckpoint } from './checkpoint';
import type { TokenizerFiles } from './checkpoint-tokenizer';
import { refuseOtherFamilies } from './families';
import { openHuggingFace } from './hugging-face';
import { isHuggingFaceLayout, writeAsOpenClip } from './hugging-face-layout';
import type { NetworkConfig } from './network';
import { readOpenClipConfig } from './openclip-config';

/** Weights in OpenCLIP's layout, and what stood beside them. */
export interface Source {
  checkpoint: Checkpoint;
  config: NetworkConfig | undefined;
  /** The tokenizer that belongs to the weights. */
  tokenizer: TokenizerFiles | undefined;
  /** The user's files of weights, in a fixed order. */
  files: string[];
  layout: 'openclip' | 'huggingface';
}

export interface SourceOptions {
  /** OpenCLIP config of a checkpoint that has none beside it. */
  config?: string | undefined;
  /** As for `readCheckpoint`. */
  key?: string | undefined;
  signal?: AbortSignal | undefined;
}

export const OPENCLIP_CONFIG = 'open_clip_config.json';
const TRANSFORMERS_CONFIG = 'config.json';
/** In the order in which OpenCLIP looks for them. */
const OPENCLIP_WEIGHTS = [
  'open_clip_model.safetensors',
  'open_clip_pytorch_model.safetensors',
  'open_clip_pytorch_model.bin',
  'open_clip_pytorch_model.pth',
];
/** OpenCLIP looks for these last; beside a config of transformers they are in its layout. */
const SHARED_WEIGHTS = ['model.safetensors', 'pytorch_model.bin'];

/** The weights of an OpenCLIP folder; undefined where there are none, or they are transformers'. */
export function openClipWeights(has: (name: string) => boolean): string | undefined {
  if (!has(OPENCLIP_CONFIG)) return undefined;
  const names = has(TRANSFORMERS_CONFIG) ? OPENCLIP_WEIGHTS : [...OPENCLIP_WEIGHTS, ...SHARED_WEIGHTS];
  return names.find(has);
}

/**
 * Opens the weights and lends them to `use`. What has to be written anew in another layout lies beside `out` meanwhile.
 *
 * @throws ERR_CLIPN_CHECKPOINT_FORMAT for a folder that is none of a CLIP; what `readCheckpoint`, `openHuggingFace` and
 *   `readOpenClipConfig` throw
 */
export async function withSource<T>(
  given: string,
  out: string,
  options: SourceOptions,
  use: (source: Source) => Promise<T>,
): Promise<T> {
  const { config, key, signal } = options;
  const openClip = async (file: string, checkpoint: Checkpoint, configPath: string | undefined) => {
    await refuseOverwriting(out, [file, ...(configPath === undefined ? [] : [configPath])]);
    const read = configPath === undefined ? undefined : await readOpenClipConfig(configPath);
    return await use({ checkpoint, config: read, tokenizer: undefined, files: [file], layout: 'openclip' });
  };
  // What cannot be looked at is told when it is read.
  const isFolder = await stat(given).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) {
    const checkpoint = await readCheckpoint(given, { key, signal });
    if (!isHuggingFaceLayout(checkpoint.tensors)) {
      // Named by itself a file of a folder of OpenCLIP's still has its config beside it.
      const beside = path.join(path.dirname(given), OPENCLIP_CONFIG);
      const named = [...OPENCLIP_WEIGHTS, ...SHARED_WEIGHTS].includes(path.basename(given));
      return await openClip(given, checkpoint, config ?? (named && existsSync(beside) ? beside : undefined));
    }
    refuseOtherFamilies(checkpoint.tensors);
    return await withHuggingFace(path.dirname(given), [given], out, options, use);
  }
  const name = openClipWeights((each) => existsSync(path.join(given, each)));
  if (name !== undefined) {
    const file = path.join(given, name);
    const checkpoint = await readCheckpoint(file, { key, signal });
    if (isHuggingFaceLayout(checkpoint.tensors)) {
      throw new ClipnError(
        'ERR_CLIPN_CHECKPOINT_FORMAT',
        `${file} is in transformers' layout, and its ${TRANSFORMERS_CONFIG} is missing`,
        { hint: `Download ${TRANSFORMERS_CONFIG} into the folder, too.` },
      );
    }
    return await openClip(file, checkpoint, config ?? path.join(given, OPENCLIP_CONFIG));
  }
  if (existsSync(path.join(given, TRANSFORMERS_CONFIG)))
    return await withHuggingFace(given, undefined, out, options, use);
  throw new ClipnError(
    'ERR_CLIPN_CHECKPOINT_FORMAT',
    `the folder ${given} holds no CLIP as the Hugging Face hub has them`,
    {
      hint: `It needs config.json, or ${OPENCLIP_CONFIG} and weights of OpenCLIP; or name the file of weights.`,
    },
  );
}

async function withHuggingFace<T>(
  folder: string,
  files: string[] | undefined,
  out: string,
  { config, key, signal }: SourceOptions,
  use: (source: Source) => Promise<T>,
): Promise<T> {
  if (config !== undefined) {
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `${folder} has a config of its own: an OpenCLIP config is not for it`,
    );
  }
  const clip = await openHuggingFace(folder, files);
  await refuseOverwriting(out, clip.read);
  return await withTemporaryFile(out, async (temporary) => {
    await writeAsOpenClip(clip, temporary, { key, signal });
    const checkpoint = { ...(await readCheckpoint(temporary, { signal })), name: folder };
    const { tokenizer } = clip;
    return await use({ checkpoint, config: clip.config, tokenizer, files: clip.files, layout: 'huggingface' });
  });
}

/** @throws ERR_CLIPN_INVALID_ARG when `out` is one of the files that are read, under whatever name */
export async function refuseOverwriting(out: string, read: readonly string[]): Promise<void> {
  const real = (file: string) => realpath(file).catch(() => path.resolve(file));
  const target = await real(out);
  for (const file of read) {
    if ((await real(file)) !== target) continue;
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `the model file would overwrite ${file}, which it is made from`, {
      hint: 'Give another name for the model file.',
    });
  }
}
