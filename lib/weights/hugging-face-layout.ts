/**
 * transformers' names for a CLIP's tensors and OpenCLIP's. They differ in more than names: q, k and v are apart there, and the
 * projections lie the other way round. So a checkpoint is written anew in OpenCLIP's layout, and read as one from then on.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import { firstFew } from '../base/wording';
import { type StreamedTensor, streamSafetensors } from '../formats/safetensors';
import type { TensorDtype, TensorEntry, TensorTable } from '../formats/tensor-table';
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
  /** Of each piece. */
  shape: number[];
  transposed?: boolean;
}

type Sizes = HuggingFaceClip['config']['sizes'];

/** What transformers has of a network; `mlp` is the width between an MLP's two products, of the image and the text tower. */
function origins({ config, visionLayers, textLayers }: HuggingFaceClip, mlp: [number, number]): Map<string, Origin> {
  const { embedDim, imageSize, patchSize, visionWidth, contextLength, vocabSize, textWidth } =
    config.sizes as Required<Sizes>;
  const out = new Map<string, Origin>();
  const same = (name: string, key: string, shape: number[]) => out.set(name, { pieces: [key], shape });
  const linear = (name: string, key: string, rows: number, columns: number) => {
    same(`${name}.weight`, `${key}.weight`, [rows, columns]);
    same(`${name}.bias`, `${key}.bias`, [rows]);
  };
  const norm = (name: string, key: string, width: number) => {
    for (const part of ['weight', 'bias']) same(`${name}.${part}`, `${key}.${part}`, [width]);
  };
  const blocks = (tower: string, model: string, layers: number, width: number, inner: number) => {
    for (let layer = 0; layer < layers; layer++) {
      const [block, from] = [`${tower}.resblocks.${layer}`, `${model}.encoder.layers.${layer}`];
      norm(`${block}.ln_1`, `${from}.layer_norm1`, width);
      norm(`${block}.ln_2`, `${from}.layer_norm2`, width);
      linear(`${block}.attn.out_proj`, `${from}.self_attn.out_proj`, width, width);
      linear(`${block}.mlp.c_fc`, `${from}.mlp.fc1`, inner, width);
      linear(`${block}.mlp.c_proj`, `${from}.mlp.fc2`, width, inner);
      for (const [part, shape] of [
        ['weight', [width, width]],
        ['bias', [width]],
      ] as const) {
        const pieces = ['q', 'k', 'v'].map((each) => `${from}.self_attn.${each}_proj.${part}`);
        out.set(`${block}.attn.in_proj_${part}`, { pieces, shape: [...shape] });
      }
    }
  };
  same('logit_scale', 'logit_scale', []);
  same('visual.class_embedding', 'vision_model.embeddings.class_embedding', [visionWidth]);
  const [vision, text] = ['vision_model.embeddings', 'text_model.embeddings'];
  same('visual.conv1.weight', `${vision}.patch_embedding.weight`, [visionWidth, 3, patchSize, patchSize]);
  const patches = Math.floor(imageSize / patchSize) ** 2;
  same('visual.positional_embedding', `${vision}.position_embedding.weight`, [1 + patches, visionWidth]);
  norm('visual.ln_pre', 'vision_model.pre_layrnorm', visionWidth); // so it is spelt there
  norm('visual.ln_post', 'vision_model.post_layernorm', visionWidth);
  out.set('visual.proj', { pieces: ['visual_projection.weight'], shape: [embedDim, visionWidth], transposed: true });
  same('token_embedding.weight', `${text}.token_embedding.weight`, [vocabSize, textWidth]);
  same('positional_embedding', `${text}.position_embedding.weight`, [contextLength, textWidth]);
  norm('ln_final', 'text_model.final_layer_norm', textWidth);
  out.set('text_projection', { pieces: ['text_projection.weight'], shape: [embedDim, textWidth], transposed: true });
  blocks('visual.transformer', 'vision_model', visionLayers, visionWidth, mlp[0]);
  blocks('transformer', 'text_model', textLayers, textWidth, mlp[1]);
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
      for (const [key, entry] of tensors) {
        if (stored.has(key)) throw keysError(clip, `${key} stands in several files`);
        stored.set(key, { file, entry });
      }
    }
    const wanted = origins(clip, mlpWidths(clip, stored));
    assertTensors(clip, stored, wanted);
    const streamed = [...wanted].map(([name, origin]) => [name, streamedTensor(origin, stored)] as const);
    await streamSafetensors(target, new Map(streamed), { signal: options.signal });
  } finally {
    await Promise.all(handles.map((file) => file.close()));
  }
}

/** Its config says it too, which is compared when the network is read. */
function mlpWidths({ config }: HuggingFaceClip, stored: ReadonlyMap<string, Stored>): [number, number] {
  const { visionWidth, textWidth } = config.sizes as Required<Sizes>;
  const rows = (model: string) => stored.get(`${model}.encoder.layers.0.mlp.fc1.bias`)?.entry.shape[0];
  return [rows('vision_model') ?? 4 * visionWidth, rows('text_model') ?? 4 * textWidth];
}

const FLOATS: readonly TensorDtype[] = ['float32', 'float16', 'bfloat16'];

function assertTensors(
  clip: HuggingFaceClip,
  stored: ReadonlyMap<string, Stored>,
  wanted: ReadonlyMap<string, Origin>,
) {
  const expected = new Map([...wanted.values()].flatMap(({ pieces, shape }) => pieces.map((key) => [key, shape])));
  const missing = [...expected.keys()].filter((key) => !stored.has(key));
  // Older files have the numbers of the positions as a buffer.
  const unexpected = [...stored.keys()].filter((key) => !expected.has(key) && !key.endsWith('.position_ids'));
  const wrong: string[] = [];
  for (const [key, shape] of expected) {
    const entry = stored.get(key)?.entry;
    if (entry === undefined) continue;
    if (entry.dtype === 'object') wrong.push(`${key}, which is no tensor`);
    else if (!FLOATS.includes(entry.dtype)) wrong.push(`${key} ${entry.dtype} (expected ${FLOATS.join(', ')})`);
    else if (entry.shape.join() !== shape.join()) {
      wrong.push(`${key} [${entry.shape.join(', ')}] (expected [${shape.join(', ')}])`);
    }
  }
  const parts = Object.entries({ missing, unexpected, wrong }).filter(([, keys]) => keys.length > 0);
  if (parts.length === 0) return;
  const told = parts.map(([what, keys]) => `${what}: ${firstFew(keys)}`).join('; ');
  throw keysError(clip, told, { missing, unexpected, wrong });
}

function keysError({ folder }: HuggingFaceClip, what: string, details?: Record<string, unknown>): ClipnError {
  const message = `${folder}: the weights are not those of the CLIP in config.json; ${what}`;
  return new ClipnError('ERR_CLIPN_CHECKPOINT_KEYS', message, details && { details });
}

function streamedTensor({ pieces, transposed = false }: Origin, stored: ReadonlyMap<string, Stored>): StreamedTensor {
  const parts = pieces.map((key) => ({ key, ...stored.get(key)! }));
  const first = parts[0]!.entry;
  const other = parts.find(({ entry }) => entry.dtype !== first.dtype);
  if (other !== undefined) {
    const message = `${parts[0]!.key} is ${first.dtype}, ${other.key} ${other.entry.dtype}`;
    throw new ClipnError('ERR_CLIPN_CHECKPOINT_KEYS', message, { hint: 'q, k and v of a block must be alike.' });
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
