/** What a batch is: batch.json of its folder, which every worker reads before it takes a shard. */
import type { Calibration } from 'clipn-native';
import { ServeError } from '../errors';
import type { Storage } from './storage';

export const FEATURES = ['fp16', 'fp32'] as const;
export type FeatureType = (typeof FEATURES)[number];

export interface Manifest {
  format: 1;
  /** Names the queue, too. */
  id: string;
  /** ISO 8601. */
  created: string;
  /** Listed, and how they were cut. */
  images: number;
  shards: number;
  shardImages: number;
  /** What every worker's model must be. */
  model: { contentId: string; precision: string };
  labels: { count: number; sha256: string };
  /** Files of the batch folder. */
  bank: string;
  negatives?: string;
  /** How verdicts are made: a calibration, a threshold by hand, or the rule of the model's kind. */
  calibration?: Calibration;
  threshold?: number;
  /** WordNet's words, mined for these labels by each worker. */
  wordnet?: boolean;
  /** Arithmetic of the features kept; absent when they are not. */
  features?: FeatureType;
  /** Versions of the packages that enqueued it. */
  madeBy: Record<string, string>;
}

const MANIFEST = 'batch.json';

/** Number with leading zeros, so that names sort as shards do. */
const numbered = (shard: number) => String(shard).padStart(8, '0');

/** Names of a batch's files. */
export const FILES = {
  bank: 'bank.safetensors',
  negatives: 'negatives',
  list: (shard: number) => `list/${numbered(shard)}.jsonl`,
  results: 'results',
  result: (shard: number) => `results/${numbered(shard)}.parquet`,
  suspect: (shard: number) => `suspects/${numbered(shard)}.json`,
} as const;

/** @throws ERR_SERVE_BATCH_FORMAT for no batch, or a file that is damaged; ERR_SERVE_STORAGE */
export async function readManifest(storage: Storage): Promise<Manifest> {
  const manifest = await findManifest(storage);
  if (manifest !== undefined) return manifest;
  throw new ServeError('ERR_SERVE_BATCH_FORMAT', `${storage.address} holds no batch: it has no ${MANIFEST}`);
}

/** As `readManifest`; undefined for no batch. */
export async function findManifest(storage: Storage): Promise<Manifest | undefined> {
  const bytes = await storage.read(MANIFEST);
  if (bytes === undefined) return undefined;
  const broken = (what: string) =>
    new ServeError('ERR_SERVE_BATCH_FORMAT', `${storage.address}/${MANIFEST}: ${what}`, {
      hint: 'Enqueue the list again into another folder.',
    });
  let manifest: Manifest;
  try {
    manifest = JSON.parse(Buffer.from(bytes).toString('utf8')) as Manifest;
  } catch (cause) {
    throw broken(`not JSON: ${(cause as Error).message}`);
  }
  const whole = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;
  if (manifest?.format !== 1)
    throw broken(`format ${manifest?.format}, not 1: another version of this package wrote it`);
  const { id, images, shards, shardImages, model, bank } = manifest;
  if (![images, shards, shardImages].every(whole) || shards !== Math.ceil(images / shardImages)) {
    throw broken('images, shards and shardImages do not fit together');
  }
  if (!/^[0-9a-f-]{36}$/.test(id) || !model?.contentId || !model.precision || !bank) {
    throw broken('id, model or bank is missing');
  }
  return manifest;
}

/** Last of a batch's files: from here on it exists. */
export async function writeManifest(storage: Storage, manifest: Manifest): Promise<void> {
  await storage.write(MANIFEST, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
}

/** Numbers of the shards that have a result. */
export async function finishedShards(storage: Storage): Promise<Set<number>> {
  const finished = new Set<number>();
  for await (const name of storage.list(FILES.results)) {
    const [, number] = /^(\d{8,})\.parquet$/.exec(name) ?? [];
    if (number !== undefined) finished.add(Number(number));
  }
  return finished;
}

/** Numbers of those that have none, ascending. */
export async function unfinishedShards(storage: Storage, { shards }: Manifest): Promise<number[]> {
  const finished = await finishedShards(storage);
  return Array.from({ length: shards }, (_, shard) => shard).filter((shard) => !finished.has(shard));
}
