/** Writes seeded checkpoints in the published layout (spec 1.8), without Python. For tests. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { repository } from './paths';
import { amplitude, fillSeeded, NETWORKS, type Network, stateDictShapes, type WeightScheme } from './seeded-weights';
import { pickle, StoredZip } from './torch-zip';

export interface CheckpointOptions {
  scheme?: WeightScheme;
  /** `clip` writes a base OpenCLIP file: the bare state dict, no prefix. Default `clipn`. */
  kind?: 'clipn' | 'clip';
  /** AdamW's moments of the "no" tensors and the loss scaler's state. Default false. */
  optimizer?: boolean;
  /** Changes the table of key → shape before anything is written. */
  edit?: (shapes: Map<string, number[]>) => void;
  /** Value of the pickle; replaces the published one. For hostile files. */
  root?: (stateDict: Buffer) => Buffer;
}

const PART = 1 << 20; // elements

/** Elements of one seeded tensor, in parts that are only valid until the next one. */
function* seededParts(t: number, key: string, shape: number[], scheme: WeightScheme): Generator<Uint8Array> {
  const count = shape.reduce((product, size) => product * size, 1);
  const buffer = new Float32Array(Math.min(count, PART));
  for (let first = 0; first < count; first += PART) {
    const part = buffer.subarray(0, Math.min(PART, count - first));
    fillSeeded(part, t, first, amplitude(key, shape, scheme));
    yield new Uint8Array(part.buffer, 0, part.byteLength);
  }
}

function denseStride(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
}

/** Writes the checkpoint of a network with seeded weights. */
export async function writeCheckpoint(file: string, network: Network, options: CheckpointOptions = {}): Promise<void> {
  const { scheme = 'fan-in', kind = 'clipn', optimizer = false } = options;
  const shapes = stateDictShapes(network, kind);
  options.edit?.(shapes);
  const zip = await StoredZip.create(file);
  const storages: { shape: number[]; parts: () => Iterable<Uint8Array> }[] = [];
  const tensor = (shape: number[], parts: () => Iterable<Uint8Array>): Buffer => {
    storages.push({ shape, parts });
    return pickle.tensor(String(storages.length - 1), shape, denseStride(shape));
  };
  const prefix = kind === 'clipn' ? 'module.' : '';
  const keys = [...shapes.keys()].sort();
  const entries = keys.map((key, t): [Buffer, Buffer] => {
    const shape = shapes.get(key)!;
    return [pickle.string(prefix + key), tensor(shape, () => seededParts(t, key, shape, scheme))];
  });
  const stateDict = pickle.orderedDict(entries, [pickle.string('_metadata'), pickle.orderedDict([])]);
  const parts: [Buffer, Buffer][] = [
    [pickle.string('epoch'), pickle.integer(10)],
    [pickle.string('name'), pickle.string('seeded')],
    [pickle.string('state_dict'), stateDict],
  ];
  if (optimizer) {
    const trained = keys.filter((key) => key.includes('_no'));
    const moment = (shape: number[], t: number) => tensor(shape, () => seededParts(t, 'moment', shape, 'flat'));
    const state = trained.map((key, index): [Buffer, Buffer] => [
      pickle.integer(index),
      pickle.dict([
        [pickle.string('step'), tensor([], () => seededParts(index, 'step', [], 'flat'))],
        [pickle.string('exp_avg'), moment(shapes.get(key)!, index)],
        [pickle.string('exp_avg_sq'), moment(shapes.get(key)!, index + 1)],
      ]),
    ]);
    const group = pickle.dict([
      [pickle.string('lr'), pickle.float(3e-4)],
      [pickle.string('params'), pickle.list(trained.map((_, index) => pickle.integer(index)))],
    ]);
    const scaler: [Buffer, Buffer][] = [
      [pickle.string('scale'), pickle.float(65536)],
      [pickle.string('_growth_tracker'), pickle.integer(12)],
    ];
    parts.push([
      pickle.string('optimizer'),
      pickle.dict([
        [pickle.string('state'), pickle.dict(state)],
        [pickle.string('param_groups'), pickle.list([group])],
      ]),
    ]);
    parts.push([pickle.string('scaler'), pickle.dict(scaler)]);
  }
  const root = options.root?.(stateDict) ?? (kind === 'clipn' ? pickle.dict(parts) : stateDict);
  const data = pickle.file(root);
  await zip.add('seeded/data.pkl', data.length, [data]);
  await zip.add('seeded/byteorder', 6, [Buffer.from('little')]);
  for (const [key, storage] of storages.entries()) {
    const bytes = 4 * storage.shape.reduce((product, size) => product * size, 1);
    await zip.add(`seeded/data/${key}`, bytes, storage.parts());
  }
  await zip.add('seeded/version', 2, [Buffer.from('3\n')]);
  await zip.close();
}

/** Changes when the code that decides a checkpoint's bytes does. */
function recipe(): string {
  const hash = createHash('sha256');
  for (const source of [
    'test/support/seeded-weights.ts',
    'lib/formats/torch-writer.ts',
    'test/support/checkpoint-writer.ts',
  ]) {
    hash.update(readFileSync(path.join(repository, source)));
  }
  return hash.digest('hex').slice(0, 8);
}

/** The checkpoint of a full-size network, written once and kept in build/. */
export async function cachedCheckpoint(
  name: keyof typeof NETWORKS,
  options: { optimizer?: boolean } = {},
): Promise<string> {
  const folder = path.join(repository, 'build/test-checkpoints');
  const file = path.join(folder, `${name}${options.optimizer ? '-optimizer' : ''}-${recipe()}.pt`);
  if (!existsSync(file)) {
    await mkdir(folder, { recursive: true });
    const temporary = `${file}.${process.pid}`;
    await writeCheckpoint(temporary, NETWORKS[name], options);
    await rename(temporary, file);
  }
  return file;
}
