/**
 * transformers' names for a CLIP's tensors and OpenCLIP's. They differ in more than names: q, k and v are apart there, and the
 * projections lie the other way round. So a checkpoint is written anew in OpenCLIP's layout, and read as one from then on.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import { firstFew } from '../base/wording';
import { type StreamedTensor, streamSafetensors } from '../formats/safetensors';
import type { TensorEntry, TensorTable } from '../formats/tensor-table';
import { type CheckpointOptions, readCheckpoint } from './checkpoint';
import { readDense } from './content-id';
import type { HuggingFaceClip } from './hugging-face';

/** Whether these are the keys of a transformers CLIP. */
export function isHuggingFaceLayout(tensors: TensorTable): boolean {
  return [...tensors.keys()].some((key) => key.startsWith('text_model.') || key.startsWith('vision_model.'));
}

/** Where one of OpenCLIP's tensors comes from: pieces below one another, or the transpose of one. */
interface Origin {
  pieces: string[];
  transposed?: boolean;
}

const NORMS = { ln_1: 'layer_norm1', ln_2: 'layer_norm2' } as const;
const LINEARS = { 'attn.out_proj': 'self_attn.out_proj', 'mlp.c_fc': 'mlp.fc1', 'mlp.c_proj': 'mlp.fc2' } as const;

function origins(visionLayers: number, textLayers: number): Map<string, Origin> {
  const out = new Map<string, Origin>();
  const same = (name: string, key: string) => out.set(name, { pieces: [key] });
  const both = (name: string, key: string) => {
    for (const part of ['weight', 'bias']) same(`${name}.${part}`, `${key}.${part}`);
  };
  const blocks = (tower: string, model: string, layers: number) => {
    for (let layer = 0; layer < layers; layer++) {
      const [block, from] = [`${tower}.resblocks.${layer}`, `${model}.encoder.layers.${layer}`];
      for (const [name, key] of Object.entries({ ...NORMS, ...LINEARS })) both(`${block}.${name}`, `${from}.${key}`);
      for (const part of ['weight', 'bias']) {
        const pieces = ['q', 'k', 'v'].map((each) => `${from}.self_attn.${each}_proj.${part}`);
        out.set(`${block}.attn.in_proj_${part}`, { pieces });
      }
    }
  };
  same('logit_scale', 'logit_scale');
  same('visual.class_embedding', 'vision_model.embeddings.class_embedding');
  same('visual.conv1.weight', 'vision_model.embeddings.patch_embedding.weight');
  same('visual.positional_embedding', 'vision_model.embeddings.position_embedding.weight');
  both('visual.ln_pre', 'vision_model.pre_layrnorm'); // so it is spelt there
  both('visual.ln_post', 'vision_model.post_layernorm');
  out.set('visual.proj', { pieces: ['visual_projection.weight'], transposed: true });
  same('token_embedding.weight', 'text_model.embeddings.token_embedding.weight');
  same('positional_embedding', 'text_model.embeddings.position_embedding.weight');
  both('ln_final', 'text_model.final_layer_norm');
  out.set('text_projection', { pieces: ['text_projection.weight'], transposed: true });
  blocks('visual.transformer', 'vision_model', visionLayers);
  blocks('transformer', 'text_model', textLayers);
  return out;
}

interface Stored {
  file: FileHandle;
  entry: TensorEntry;
}

/**
 * Writes the weights into a .safetensors file in OpenCLIP's layout, each in its own precision.
 *
 * @throws ERR_CLIPN_CHECKPOINT_KEYS naming what is missing, unexpected or of odd shape, in transformers' names; what
 *   `readCheckpoint` throws; ERR_CLIPN_IO; or `signal.reason`
 */
export async function writeAsOpenClip(
  clip: HuggingFaceClip,
  target: string,
  options: CheckpointOptions = {},
): Promise<void> {
  const handles: FileHandle[] = [];
  try {
    const stored = new Map<string, Stored>();
    for (const path of clip.files) {
      const { tensors } = await readCheckpoint(path, options);
      const file = await open(path, 'r');
      handles.push(file);
      for (const [key, entry] of tensors) stored.set(key, { file, entry });
    }
    const wanted = origins(clip.visionLayers, clip.textLayers);
    assertKeys(clip, stored, wanted);
    const streamed = [...wanted].map(([name, origin]) => [name, streamedTensor(origin, stored)] as const);
    await streamSafetensors(target, new Map(streamed), { signal: options.signal });
  } finally {
    await Promise.all(handles.map((file) => file.close()));
  }
}

function assertKeys(clip: HuggingFaceClip, stored: ReadonlyMap<string, Stored>, wanted: ReadonlyMap<string, Origin>) {
  const expected = new Set([...wanted.values()].flatMap(({ pieces }) => pieces));
  const missing = [...expected].filter((key) => !stored.has(key));
  // Older files have the numbers of the positions as a buffer.
  const unexpected = [...stored.keys()].filter((key) => !expected.has(key) && !key.endsWith('.position_ids'));
  if (missing.length + unexpected.length === 0) return;
  const parts = Object.entries({ missing, unexpected }).filter(([, keys]) => keys.length > 0);
  throw new ClipnError(
    'ERR_CLIPN_CHECKPOINT_KEYS',
    `${clip.folder}: the weights are not those of the CLIP in config.json; ` +
      parts.map(([what, keys]) => `${what}: ${firstFew(keys)}`).join('; '),
    { details: { missing, unexpected } },
  );
}

function streamedTensor({ pieces, transposed = false }: Origin, stored: ReadonlyMap<string, Stored>): StreamedTensor {
  const parts = pieces.map((key) => ({ key, ...stored.get(key)! }));
  const first = parts[0]!.entry;
  for (const { key, entry } of parts) {
    const fits = entry.dtype !== 'object' && entry.dtype === first.dtype && entry.shape.join() === first.shape.join();
    if (fits && (!transposed || entry.shape.length === 2)) continue;
    throw new ClipnError(
      'ERR_CLIPN_CHECKPOINT_KEYS',
      `${key} is ${entry.dtype === 'object' ? 'no tensor' : `${entry.dtype} [${entry.shape.join(', ')}]`}`,
      {
        hint: 'q, k and v of a block must be alike, and projections have two dimensions.',
      },
    );
  }
  const flip = <T>(list: readonly T[]): T[] => (transposed ? list.toReversed() : [...list]);
  const [rows, ...rest] = flip(first.shape);
  return {
    dtype: first.dtype,
    shape: rows === undefined ? [] : [rows * parts.length, ...rest],
    read: async () => {
      const read = parts.map(({ file, entry }) =>
        readDense(file, { ...entry, shape: flip(entry.shape), stride: flip(entry.stride) }),
      );
      return Buffer.concat(await Promise.all(read));
    },
  };
}
