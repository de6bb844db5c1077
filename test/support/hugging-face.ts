/** A small CLIP in the layout of Hugging Face's transformers, with the weights of test/reference/make_hugging_face_golden.py. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type StreamedTensor, streamSafetensors } from '../../lib/formats/safetensors';
import { goldenFile } from './paths';
import { fillSeeded } from './seeded-weights';
import { tinyTokenizer } from './tiny-model';
import { pickle, StoredZip } from './torch-zip';

export interface HuggingFaceGolden {
  images: number;
  token_ids: number[][];
  shapes: Record<string, number[]>;
  gelu: { image_features: number[][]; text_yes: number[][] };
  quick_gelu: { image_features: number[][]; text_yes: number[][] };
}

const goldenOf = (name: string) => JSON.parse(readFileSync(goldenFile(name), 'utf8')) as HuggingFaceGolden;

export const hfGolden = goldenOf('hugging-face.json');
/** The same network with MLPs 150 (text) and 173 (image) wide; in GELU alone. */
export const hfMlpGolden: Omit<HuggingFaceGolden, 'quick_gelu'> = goldenOf('hugging-face-mlp.json');

const LAYERS = { hidden_size: 64, intermediate_size: 256, num_hidden_layers: 2, num_attention_heads: 2 };

/** config.json of it. */
export const hfConfig = (activation: string) => ({
  model_type: 'clip',
  projection_dim: 24,
  text_config: { ...LAYERS, max_position_embeddings: 12, vocab_size: 40, eos_token_id: 39, hidden_act: activation },
  vision_config: { ...LAYERS, image_size: 32, patch_size: 16, hidden_act: activation },
});

export const hfPreprocessor = {
  do_center_crop: true,
  resample: 3,
  size: { shortest_edge: 32 },
  crop_size: 32,
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
};

/** Multiplier and addend, as the Python file states them. */
function amplitude(key: string): { scale: number; shift: number } {
  if (key === 'logit_scale') return { scale: 0, shift: Math.log(100) };
  const isNorm = key.includes('norm') || key.includes('layrnorm');
  if (isNorm && key.endsWith('weight')) return { scale: 0.1, shift: 1 };
  return { scale: isNorm || key.endsWith('bias') ? 0.05 : 0.25, shift: 0 };
}

/** Key → its float32 weights. */
export function hfWeights(shapes = hfGolden.shapes): Map<string, { shape: number[]; data: Float32Array }> {
  const keys = Object.keys(shapes).sort();
  return new Map(
    keys.map((key, t) => {
      const shape = shapes[key]!;
      const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
      fillSeeded(data, t, 0, amplitude(key));
      return [key, { shape, data }];
    }),
  );
}

const bytesOf = (data: ArrayBufferView) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

/** The upper half of each float32, rounded to even: bfloat16. */
function toBfloat16(data: Float32Array): Uint16Array {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  return Uint16Array.from(bits, (each) => (each + 0x7fff + ((each >> 16) & 1)) >>> 16);
}

/** Writes tensors into a .safetensors file. */
export async function writeHfSafetensors(
  file: string,
  weights: ReturnType<typeof hfWeights>,
  dtype: 'float32' | 'bfloat16' = 'float32',
): Promise<void> {
  const tensors = [...weights].map(([key, { shape, data }]): [string, StreamedTensor] => {
    const bytes = bytesOf(dtype === 'float32' ? data : toBfloat16(data));
    return [key, { dtype, shape, read: () => Promise.resolve(bytes) }];
  });
  await streamSafetensors(file, new Map(tensors));
}

/** Writes tensors as torch.save does. */
export async function writeHfBin(file: string, weights: ReturnType<typeof hfWeights>): Promise<void> {
  const dense = (shape: number[]) => shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const zip = await StoredZip.create(file);
  const entries = [...weights].map(([key, { shape }], i): [Buffer, Buffer] => [
    pickle.string(key),
    pickle.tensor(String(i), shape, dense(shape)),
  ]);
  const data = pickle.file(pickle.orderedDict(entries));
  await zip.add('pytorch_model/data.pkl', data.length, [data]);
  await zip.add('pytorch_model/byteorder', 6, [Buffer.from('little')]);
  for (const [i, { data }] of [...weights.values()].entries()) {
    await zip.add(`pytorch_model/data/${i}`, data.byteLength, [bytesOf(data)]);
  }
  await zip.add('pytorch_model/version', 2, [Buffer.from('3\n')]);
  await zip.close();
}

/** A folder of it but for the weights; `files` replace what stands in it, or leave it out. */
export function hfFolder(folder: string, files: Readonly<Record<string, object | null>> = {}): string {
  mkdirSync(folder, { recursive: true });
  const all = { 'config.json': hfConfig('gelu'), 'preprocessor_config.json': hfPreprocessor, ...files };
  for (const [name, json] of Object.entries(all)) {
    if (json !== null) writeFileSync(path.join(folder, name), JSON.stringify(json));
  }
  writeFileSync(path.join(folder, 'tokenizer.json'), tinyTokenizer());
  return folder;
}
