/**
 * Features of the frozen towers, computed once and kept: a .safetensors file for each part of the data.
 *
 * Tensors of a part, m images, n samples: `image` F32 [m, V, D]; of class folders `class` I32 [m] (a sample is an image);
 * of captioned images `sample_image` I32 [n] (the sample's image), `ids` I32 [n, L], `yes` F32 [n, D]. Class folders have
 * one more file, of all captions: `ids`, `yes`. File names are hashes of all that the content depends on.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { ClipnError } from '../base/errors';
import { makeFolder } from '../base/make-folder';
import { writeThenRename } from '../base/write-file';
import { readHeader, type TensorToWrite, writeSafetensors } from '../formats/safetensors';
import type { Model } from '../model/model';
import { padIds, type Tokenizer } from '../text/tokenizer';
import { type DataPart, type Dataset, noData } from './data/dataset';
import { type CropKey, type EncodedImage, encodeImages } from './encode-images';

/** Samples left out, by reason, and the first few of them by name. */
export interface Skipped {
  counts: Record<string, number>;
  examples: string[];
}

/** What decides the features, besides the data. */
export interface FeatureKey extends CropKey {
  contentId: string;
  precision: 'fp32' | 'bf16';
  device: 'cpu' | 'cuda';
  tokenizer: string;
}

export interface FeatureFiles {
  parts: string[];
  /** Of class folders. */
  captions: string | undefined;
  /** Images. */
  images: number;
  skipped: Skipped;
}

export interface EncodeDatasetOptions {
  folder: string;
  key: FeatureKey;
  /** Called when something is missing. The model must have a yes tower. */
  loadFrozen: () => Promise<Model>;
  tokenizer: Tokenizer;
  signal?: AbortSignal | undefined;
  onProgress?: ((stage: 'images' | 'texts', done: number, total: number) => void) | undefined;
}

/** Texts a batch. */
const TEXTS = 128;
const EXAMPLES = 3;

/**
 * Encodes what is not in `folder` yet. A part appears there when it is whole, so an interrupted call is gone on with.
 *
 * @throws ClipnError ERR_CLIPN_TEACH_DATA when no sample is left, ERR_CLIPN_IO, those of `loadFrozen`; `signal.reason`
 */
export async function encodeDataset(dataset: Dataset, options: EncodeDatasetOptions): Promise<FeatureFiles> {
  const { folder, key, signal } = options;
  const fileOf = (content: string) => {
    // Texts are fp32 in any precision; in format 1 those of bf16 were not.
    const format = key.precision === 'bf16' ? 2 : 1;
    const text = `${JSON.stringify({ format, ...key, seed: key.augmentations > 0 ? key.seed : 0 })}\n${content}`;
    return join(folder, `${createHash('sha256').update(text).digest('hex').slice(0, 32)}.safetensors`);
  };
  await makeFolder(folder).catch((cause: Error) => {
    throw new ClipnError('ERR_CLIPN_IO', `cannot make the folder ${folder}: ${cause.message}`, { cause });
  });
  let captions: string | undefined;
  if (dataset.classes) {
    captions = fileOf(`captions ${JSON.stringify(dataset.classes)}`);
    if (!(await readAbout(captions))) await writeCaptions(captions, dataset, options);
  }
  const total = dataset.parts.reduce((sum, part) => sum + (part.images ?? Number.NaN), 0) || 0;
  const parts: string[] = [];
  const skipped: Skipped = { counts: {}, examples: [] };
  let images = 0;
  for (const [number, part] of dataset.parts.entries()) {
    signal?.throwIfAborted();
    const file = fileOf(`${dataset.kind} ${key.augmentations > 0 ? number : ''} ${part.fingerprint}`);
    let about = await readAbout(file);
    if (!about) {
      await writePart(file, part, number, dataset.classes !== undefined, options, (encoded) =>
        options.onProgress?.('images', images + encoded, total),
      );
      about = (await readAbout(file))!;
    }
    images += about.images;
    addSkipped(skipped, about.skipped);
    parts.push(file);
  }
  if (images === 0) {
    const found = Object.keys(skipped.counts).length > 0;
    throw noData(found ? `none of the samples can be used: ${describeSkipped(skipped)}` : 'the data holds no samples');
  }
  return { parts, captions, images, skipped };
}

export function describeSkipped({ counts, examples }: Skipped): string {
  const reasons = Object.entries(counts).map(([reason, count]) => `${count} × ${reason}`);
  return `${reasons.join(', ')}; for example ${examples.join('; ')}`;
}

function addSkipped(all: Skipped, more: Skipped): void {
  for (const [reason, count] of Object.entries(more.counts)) all.counts[reason] = (all.counts[reason] ?? 0) + count;
  all.examples.push(...more.examples.slice(0, EXAMPLES - all.examples.length));
}

/** What a file says of itself; undefined when it is missing or damaged, which is no loss: it is made again. */
async function readAbout(path: string): Promise<{ images: number; skipped: Skipped } | undefined> {
  const file = await open(path, 'r').catch(() => undefined);
  try {
    if (!file) return undefined;
    const { metadata } = await readHeader(file, (await file.stat()).size, (what) => new Error(what));
    return { images: Number(metadata['images']), skipped: JSON.parse(String(metadata['skipped'])) as Skipped };
  } catch {
    return undefined;
  } finally {
    await file?.close();
  }
}

async function writePart(
  file: string,
  part: DataPart,
  number: number,
  hasClasses: boolean,
  options: EncodeDatasetOptions,
  onImages: (encoded: number) => void,
): Promise<void> {
  const { tokenizer, signal, key } = options;
  const skipped: Skipped = { counts: {}, examples: [] };
  const model = await options.loadFrozen();
  const dim = model.info.embedDim;
  const views = Math.max(1, key.augmentations);
  const encoded: EncodedImage[] = [];
  for await (const result of encodeImages(part, number, model, key, signal)) {
    if ('broken' in result)
      addSkipped(skipped, { counts: { [result.broken]: result.samples }, examples: [result.name] });
    else encoded.push(result);
    onImages(encoded.length);
  }
  const data = new Float32Array(encoded.length * views * dim);
  encoded.forEach(({ features }, i) => {
    data.set(features, i * views * dim);
  });
  const image: TensorToWrite = { dtype: 'F32', shape: [encoded.length, views, dim], data };
  let tensors: Record<string, TensorToWrite>;
  if (hasClasses) {
    const classes = Int32Array.from(encoded, ({ source }) => source.class!);
    tensors = { image, class: { dtype: 'I32', shape: [classes.length], data: classes } };
  } else {
    const rows: number[][] = [];
    const sampleImage: number[] = [];
    encoded.forEach(({ source }, index) => {
      for (const caption of source.captions) {
        const ids = tokenized(tokenizer, caption);
        if (ids) {
          rows.push(ids);
          sampleImage.push(index);
        } else addSkipped(skipped, { counts: { 'caption with a special token': 1 }, examples: [source.name] });
      }
    });
    tensors = {
      image,
      sample_image: { dtype: 'I32', shape: [rows.length], data: Int32Array.from(sampleImage) },
      ...(await textTensors(model, rows, signal)),
    };
  }
  await writeThenRename(file, (temporary) =>
    writeSafetensors(temporary, tensors, {
      part: part.name,
      images: String(encoded.length),
      skipped: JSON.stringify(skipped),
    }),
  );
}

function tokenized(tokenizer: Tokenizer, caption: string): number[] | undefined {
  try {
    return tokenizer.encode(caption).ids;
  } catch (error) {
    if (error instanceof ClipnError && error.code === 'ERR_CLIPN_LABELS') return undefined;
    throw error;
  }
}

/** `ids` [n, L], padded with 0, and `yes` [n, D] of token rows. */
async function textTensors(
  model: Model,
  rows: readonly (readonly number[])[],
  signal: AbortSignal | undefined,
  onDone?: (count: number) => void,
) {
  const towers = model.towers!;
  const { dim, contextLength } = towers;
  const length = rows.reduce((most, row) => Math.max(most, row.length), 1);
  const ids = new Int32Array(rows.length * length);
  rows.forEach((row, i) => {
    ids.set(row, i * length);
  });
  const yes = new Float32Array(rows.length * dim);
  // Texts of a length go together: less padding is computed.
  const order = rows.map((_, i) => i).sort((a, b) => rows[a]!.length - rows[b]!.length);
  for (let first = 0; first < order.length; first += TEXTS) {
    signal?.throwIfAborted();
    const chunk = order.slice(first, first + TEXTS);
    const padded = padIds(
      chunk.map((i) => rows[i]!),
      contextLength,
    );
    const features = await towers.encodeText('yes', padded.ids, chunk.length, padded.l, signal);
    chunk.forEach((i, j) => {
      yes.set(features.subarray(j * dim, (j + 1) * dim), i * dim);
    });
    onDone?.(first + chunk.length);
  }
  return {
    ids: { dtype: 'I32', shape: [rows.length, length], data: ids },
    yes: { dtype: 'F32', shape: [rows.length, dim], data: yes },
  } as const;
}

async function writeCaptions(file: string, dataset: Dataset, options: EncodeDatasetOptions): Promise<void> {
  const { tokenizer, signal, onProgress, loadFrozen } = options;
  const rows = dataset.classes!.flatMap(({ captions }) => captions.map((caption) => tokenizer.encode(caption).ids));
  const model = await loadFrozen();
  const tensors = await textTensors(model, rows, signal, (done) => onProgress?.('texts', done, rows.length));
  await writeThenRename(file, (temporary) =>
    writeSafetensors(temporary, tensors, { part: 'captions of all classes', images: '0', skipped: '{}' }),
  );
}
