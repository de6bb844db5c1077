/**
 * Checkpoints of a training in the published layout (spec 1.8): a dict of `epoch`, `name`, `state_dict` with `module.` in
 * front of every key, and `optimizer` as PyTorch's AdamW has it; and `step` and `activation`, which are ours. Other
 * loaders read them, and so does a training that goes on.
 */
import { open } from 'node:fs/promises';
import { writeThenRename } from '../base/write-file';
import { denseStride, elementCount, ITEM_SIZE, type TensorDtype, type TensorTable } from '../formats/tensor-table';
import { readTrainingArchive } from '../formats/torch-archive';
import { pickle, StoredZip } from '../formats/torch-writer';
import { ACTIVATION_KEY } from '../weights/activation';
import type { Checkpoint } from '../weights/checkpoint';
import { readDense } from '../weights/content-id';
import type { Activation } from '../weights/known-weights';
import { isNoKey } from './base-checkpoint';
import { ADAMW } from './options';

/** Which array of a trained tensor; the numbers are core.h's. */
export const TRAINED_ARRAYS = { weight: 0, exp_avg: 1, exp_avg_sq: 2 } as const;

export interface TrainingState {
  /** Steps taken. */
  step: number;
  /** Epochs begun. */
  epoch: number;
  /** Learning rate of the last step. */
  lr: number;
  /** Of the base: nothing else in the file tells it. */
  activation: Activation;
  /** Name and shape of what is trained. */
  trained: readonly { name: string; shape: readonly number[] }[];
  read(part: keyof typeof TRAINED_ARRAYS, name: string, count: number): Promise<Float32Array>;
}

const STORAGE: Readonly<Record<Exclude<TensorDtype, 'object'>, string>> = {
  float64: 'DoubleStorage',
  float32: 'FloatStorage',
  float16: 'HalfStorage',
  bfloat16: 'BFloat16Storage',
  int64: 'LongStorage',
  int32: 'IntStorage',
  int16: 'ShortStorage',
  int8: 'CharStorage',
  uint8: 'ByteStorage',
  bool: 'BoolStorage',
};

/**
 * Writes beside `path` and renames: a file of that name is always whole, and an earlier one stays when this fails.
 * @param base where the frozen tensors are
 * @throws ClipnError ERR_CLIPN_IO, also for a full disk
 */
export async function writeTrainingFile(path: string, base: Checkpoint, state: TrainingState): Promise<void> {
  await writeThenRename(path, async (temporary) => {
    const zip = await StoredZip.create(temporary);
    try {
      await writeArchive(zip, base, state);
      await zip.close();
    } catch (error) {
      await zip.abandon().catch(() => undefined);
      throw error;
    }
  });
}

async function writeArchive(zip: StoredZip, base: Checkpoint, state: TrainingState): Promise<void> {
  const storages: { bytes: number; data: () => Promise<Uint8Array> }[] = [];
  const tensor = (
    shape: readonly number[],
    dtype: keyof typeof STORAGE,
    bytes: number,
    data: () => Promise<Uint8Array>,
  ): Buffer => {
    storages.push({ bytes, data });
    return pickle.tensor(String(storages.length - 1), shape, denseStride(shape), STORAGE[dtype]);
  };
  const trained = (part: keyof typeof TRAINED_ARRAYS, name: string, shape: readonly number[]) =>
    tensor(shape, 'float32', elementCount(shape) * 4, async () => {
      const values = await state.read(part, name, elementCount(shape));
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    });
  const file = await open(base.path, 'r');
  try {
    const entries: [Buffer, Buffer][] = [];
    for (const [key, entry] of base.tensors) {
      // What OpenAI stores beside its weights is kept: it tells that they need QuickGELU.
      if (isNoKey(key) || entry.dtype === 'object') continue;
      const bytes = elementCount(entry.shape) * ITEM_SIZE[entry.dtype];
      const value = tensor(entry.shape, entry.dtype, bytes, () => readDense(file, entry));
      entries.push([pickle.string(`module.${key}`), value]);
    }
    for (const { name, shape } of state.trained) {
      entries.push([pickle.string(`module.${name}`), trained('weight', name, shape)]);
    }
    // As the published training groups them: first what does not decay. `param_names` says which index is which.
    const flat = state.trained.filter(({ shape }) => shape.length < 2);
    const decaying = state.trained.filter(({ shape }) => shape.length >= 2);
    const moments = [...flat, ...decaying].map(({ name, shape }, index): [Buffer, Buffer] => [
      pickle.integer(index),
      pickle.dict([
        [
          pickle.string('step'),
          tensor([], 'float32', 4, async () => new Uint8Array(Float32Array.of(state.step).buffer)),
        ],
        [pickle.string('exp_avg'), trained('exp_avg', name, shape)],
        [pickle.string('exp_avg_sq'), trained('exp_avg_sq', name, shape)],
      ]),
    ]);
    const group = (members: typeof flat, first: number, weightDecay: number) =>
      pickle.dict([
        [pickle.string('lr'), pickle.float(state.lr)],
        [pickle.string('betas'), pickle.tuple([pickle.float(ADAMW.beta1), pickle.float(ADAMW.beta2)])],
        [pickle.string('eps'), pickle.float(ADAMW.epsilon)],
        [pickle.string('weight_decay'), pickle.float(weightDecay)],
        [pickle.string('amsgrad'), pickle.boolean(false)],
        [pickle.string('params'), pickle.list(members.map((_, i) => pickle.integer(first + i)))],
        [pickle.string('param_names'), pickle.list(members.map(({ name }) => pickle.string(`module.${name}`)))],
      ]);
    const root = pickle.dict([
      [pickle.string('epoch'), pickle.integer(state.epoch)],
      [pickle.string('name'), pickle.string('clipn-native')],
      [pickle.string('state_dict'), pickle.orderedDict(entries)],
      [
        pickle.string('optimizer'),
        pickle.dict([
          [pickle.string('state'), pickle.dict(moments)],
          [
            pickle.string('param_groups'),
            pickle.list([group(flat, 0, 0), group(decaying, flat.length, ADAMW.weightDecay)]),
          ],
        ]),
      ],
      [pickle.string('step'), pickle.integer(state.step)],
      [pickle.string(ACTIVATION_KEY), pickle.string(state.activation)],
    ]);
    const data = pickle.file(root);
    await zip.add('archive/data.pkl', data.length, [data]);
    await zip.add('archive/byteorder', 6, [Buffer.from('little')]);
    for (const [key, { bytes, data: read }] of storages.entries()) {
      await zip.add(`archive/data/${key}`, bytes, [await read()]);
    }
    await zip.add('archive/version', 2, [Buffer.from('3\n')]);
  } finally {
    await file.close();
  }
}

/** What a training that goes on needs of a file that `writeTrainingFile` wrote: its moments are named `exp_avg:…`. */
export async function readTrainingFile(
  path: string,
  signal?: AbortSignal,
): Promise<{ step: number; tensors: TensorTable }> {
  return await readTrainingArchive(path, signal);
}
