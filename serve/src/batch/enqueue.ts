/** From lists of images to a batch: its folder first, its queue last. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Detector, saveLabelBank } from 'clipn-native';
import { type DetectorFlags, modelFrom } from '../detector-flags';
import { ServeError } from '../errors';
import { versions } from '../versions';
import { type Entry, entriesToText, type ListOptions, readLists } from './list';
import { type FeatureType, FILES, findManifest, type Manifest, writeManifest } from './manifest';
import type { Storage } from './storage';

export interface EnqueueOptions extends ListOptions {
  lists: readonly string[];
  shardImages: number;
  features?: FeatureType;
  onProgress?: (images: number) => void;
}

/**
 * Writes a batch into an empty folder. The model is loaded, so that what does not fit together is told here and not by a
 * hundred workers, and the label bank is made once for all of them.
 *
 * @returns its manifest, and what the detector warns of
 * @throws ERR_SERVE_BATCH_EXISTS, ERR_SERVE_BATCH_LIST, ERR_SERVE_STORAGE, ERR_SERVE_S3_ACCESS; what loading a detector throws
 */
export async function createBatch(
  storage: Storage,
  flags: DetectorFlags,
  options: EnqueueOptions,
): Promise<{ manifest: Manifest; warnings: readonly string[] }> {
  if ((await findManifest(storage)) !== undefined) {
    throw new ServeError('ERR_SERVE_BATCH_EXISTS', `${storage.address} holds a batch already`);
  }
  const { model: loaded, classes, calibration, negatives, threshold } = await modelFrom(flags);
  await using model = loaded;
  const detector = await model.createDetector(classes, { calibration, negatives, threshold });

  await storage.write(FILES.bank, await bankBytes(detector));
  if (negatives !== undefined && negatives !== 'wordnet') {
    await storage.write(FILES.negatives, await readFile(String(negatives)));
  }
  const images = await writeShards(storage, options);
  const { shardImages, features } = options;
  const { contentId, precision } = model.info;
  const manifest: Manifest = {
    format: 1,
    id: randomUUID(),
    created: new Date().toISOString(),
    images,
    shards: Math.ceil(images / shardImages),
    shardImages,
    model: { contentId, precision },
    labels: { count: detector.bank.labels.length, sha256: sha256(JSON.stringify(detector.bank.labels)) },
    bank: FILES.bank,
    ...(negatives === 'wordnet' ? { wordnet: true } : negatives !== undefined && { negatives: FILES.negatives }),
    ...(calibration && { calibration }),
    ...(threshold !== undefined && { threshold }),
    ...(features && { features }),
    madeBy: versions(),
  };
  await writeManifest(storage, manifest);
  return { manifest, warnings: detector.warnings };
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

async function bankBytes({ bank }: Detector): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), 'clipn-bank-'));
  try {
    const path = join(folder, FILES.bank);
    await saveLabelBank(bank, path);
    return await readFile(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Cuts the lists into shards, one file each, and returns how many images there are. */
async function writeShards(storage: Storage, options: EnqueueOptions): Promise<number> {
  const { lists, shardImages, onProgress } = options;
  let images = 0;
  let waiting: Entry[] = [];
  const write = async () => {
    await storage.write(FILES.list(Math.ceil(images / shardImages) - 1), Buffer.from(entriesToText(waiting)));
    onProgress?.(images);
    waiting = [];
  };
  for await (const entry of readLists(lists, options)) {
    images++;
    waiting.push(entry);
    if (waiting.length === shardImages) await write();
  }
  if (waiting.length > 0) await write();
  if (images === 0) throw new ServeError('ERR_SERVE_BATCH_LIST', `no image is named by ${lists.join(', ')}`);
  return images;
}
