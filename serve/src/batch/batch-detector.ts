/** The detector that a batch asks for, on a worker's own model file. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Detector, describeCore, type LoadModelOptions, loadModel, type Model } from 'clipn-native';
import { ServeError } from '../errors';
import { versions } from '../versions';
import { FILES, type Manifest } from './manifest';
import type { Storage } from './storage';

export interface BatchDetector {
  detector: Detector;
  /** Of results: what made them. The same for every worker on machines of one kind. */
  provenance: Record<string, unknown>;
}

/**
 * @param path the model file, or name of a fetched model
 * @throws ERR_SERVE_MODEL_MISMATCH for another model, or one that cannot compute as the batch says; what loading throws
 */
export async function loadBatchDetector(
  storage: Storage,
  manifest: Manifest,
  path: string,
  options: Pick<LoadModelOptions, 'device' | 'libtorch' | 'trustedSha256' | 'threads'>,
): Promise<BatchDetector & AsyncDisposable> {
  const { precision } = manifest.model;
  const model = await loadModel(path, { ...options, precision: precision as LoadModelOptions['precision'] });
  try {
    assertModel(model, manifest, path);
    const detector = await detectorOf(model, storage, manifest);
    const { torchVersion, cpuTarget } = await describeCore();
    const { resize, imageSize, mean, std } = model.info.config;
    const provenance = {
      batch: manifest.id,
      enqueued: manifest.created,
      model: manifest.model.contentId,
      precision,
      device: model.info.device,
      ...(model.info.device === 'cpu' && { cpu: cpuTarget }),
      libtorch: torchVersion,
      preprocessing: { resize, imageSize, mean, std },
      exif: true,
      labels: manifest.labels,
      templates: detector.bank.templates.name,
      rule: ruleOf(manifest, detector),
      features: manifest.features ?? null,
      versions: versions(),
    };
    return { detector, provenance, [Symbol.asyncDispose]: () => model.close() };
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** As the rows call it. */
function ruleOf({ calibration, threshold }: Manifest, { bank }: Detector): string {
  if (calibration !== undefined) return 'calibrated';
  if (threshold !== undefined) return 'threshold';
  return bank.no === null ? 'nearest' : 'atd';
}

function assertModel(model: Model, { model: wanted }: Manifest, path: string): void {
  const { contentId, precision } = model.info;
  if (contentId !== wanted.contentId) {
    throw new ServeError(
      'ERR_SERVE_MODEL_MISMATCH',
      `${path} has the weights ${contentId}, the batch was enqueued for ${wanted.contentId}`,
    );
  }
  if (precision !== wanted.precision) {
    throw new ServeError(
      'ERR_SERVE_MODEL_MISMATCH',
      `this machine runs ${path} in ${precision}, the batch was enqueued for ${wanted.precision}`,
      { hint: 'Take a machine that has this arithmetic, or enqueue the batch for one that all of them have.' },
    );
  }
}

async function detectorOf(model: Model, storage: Storage, manifest: Manifest): Promise<Detector> {
  const folder = await mkdtemp(join(tmpdir(), 'clipn-batch-'));
  const fetched = async (name: string) => {
    const bytes = await storage.read(name);
    if (bytes === undefined) throw new ServeError('ERR_SERVE_BATCH_FORMAT', `${storage.address} lacks its ${name}`);
    const file = join(folder, name);
    await writeFile(file, bytes);
    return file;
  };
  try {
    const bank = await model.loadLabelBank(await fetched(FILES.bank));
    const { wordnet, negatives, calibration, threshold, features } = manifest;
    return await model.createDetector(bank, {
      calibration,
      threshold,
      negatives: wordnet ? 'wordnet' : negatives && (await fetched(FILES.negatives)),
      // Features come with the trace alone.
      trace: features !== undefined,
      topK: 1,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
