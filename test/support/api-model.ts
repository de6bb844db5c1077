/** A model with CLIP's own tokenizer and very small towers, for tests of the API: seeded weights, made once, in build/. */
import { existsSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { exportModel } from '../../lib/weights/export';
import { writeCheckpoint } from './checkpoint-writer';
import { repository } from './paths';
import type { Network } from './seeded-weights';

export const API_NETWORK: Network = {
  embedDim: 32,
  imageSize: 48,
  patchSize: 16,
  visionWidth: 64,
  visionLayers: 2,
  contextLength: 77,
  vocabSize: 49408,
  textWidth: 64,
  textLayers: 1,
};

type Kind = 'clipn' | 'clip' | 'image';

const making = new Map<Kind, Promise<string>>();

/** Path of the model file; `clip` has no no tower, `image` no text tower. */
export function apiModel(kind: Kind = 'clipn'): Promise<string> {
  // Tests of a file run at once, too: one of them makes it.
  const made = making.get(kind) ?? make(kind);
  making.set(kind, made);
  return made;
}

async function make(kind: Kind): Promise<string> {
  const folder = path.join(repository, 'build/test-models');
  const model = path.join(folder, `api-${kind}.pt`);
  if (existsSync(model)) return model;
  await mkdir(folder, { recursive: true });
  // Test files run in parallel: each makes its own, the last rename wins with equal content.
  const checkpoint = path.join(folder, `api-${kind}-${process.pid}.checkpoint`);
  const own = path.join(folder, `api-${kind}-${process.pid}.pt`);
  await writeCheckpoint(checkpoint, API_NETWORK, { scheme: 'fan-in', kind: kind === 'clip' ? 'clip' : 'clipn' });
  await exportModel(checkpoint, own, { imageOnly: kind === 'image', act: 'gelu' });
  await rename(own, model);
  return model;
}
