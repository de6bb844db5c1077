/**
 * teach/: Captions to a no tower.
 *
 * Teaches a CLIP to say no (spec 5): data to cached features to steps of the no tower to checkpoints and a model file.
 */

import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { assertArguments } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { loadModel } from '../model/load';
import type { Model } from '../model/model';
import type { NativeLane } from '../native/addon';
import { openEngine } from '../native/engine';
import { runTask, withLane } from '../native/lane';
import { choosePlacement } from '../native/placement';
import { readCheckpoint } from '../weights/checkpoint';
import { exportSource } from '../weights/export';
import { weightsPath } from '../weights/hub-cache';
import { type Source, withSource } from '../weights/source';
import { type Base, openBase } from './base-checkpoint';
import type { Dataset } from './data/dataset';
import { openDataset } from './data/open';
import { describeSkipped, encodeDataset, type FeatureFiles } from './encode-dataset';
import { FeatureReader } from './feature-reader';
import { ADAMW, checkTeachOptions, TEACH_DEFAULTS, type TeachOptions, type TeachStep } from './options';
import { MODEL_FILE, RunFolder } from './run-folder';
import { learningRate, Sampler } from './sampler';
import { TRAINED_ARRAYS, writeTrainingFile } from './training-file';

export type { TeachNegatives, TeachOptions, TeachProgress, TeachStep } from './options';

/** What `teach` made. */
export interface TeachResult {
  /** Steps in all, those of interrupted calls included. */
  steps: number;
  /** Steps in an epoch. */
  stepsPerEpoch: number;
  /** Samples: pairs of image and caption, of class folders images. */
  samples: number;
  /** Images that were encoded. */
  images: number;
  /** Where it was computed. */
  device: 'cpu' | 'cuda';
  /** In which arithmetic. */
  precision: 'fp32' | 'bf16';
  /** Samples left out, by reason. */
  skipped: Record<string, number>;
  /** The last epoch's checkpoint, in the published layout. */
  checkpoint: string;
  /** The model file made of it. */
  model: string;
  /** Every step, those of interrupted calls included. */
  log: TeachStep[];
}

type Settings = Required<Omit<TeachOptions, OptionalName>> & Pick<TeachOptions, OptionalName>;
type OptionalName = Exclude<keyof TeachOptions, keyof typeof TEACH_DEFAULTS>;

/**
 * Trains the no tower of `base` on the images and captions of `data` and leaves checkpoints and `model.pt` in `out`.
 * Called again with the same arguments it goes on where it stopped, to the same weights; when it was done, it returns
 * at once. Aborted, it saves its state after the step that is running and rejects with `signal.reason`.
 *
 * @param base weights of a CLIP or, to go on with it, of a CLIPN: a file, folder or hub name that `exportModel` takes
 * @param data .tar shards, a table, a folder of images with texts, or of class folders (docs/teach.md)
 * @throws ClipnError ERR_CLIPN_TEACH_DATA, ERR_CLIPN_TEACH_DIVERGED (a loss or gradient is not finite; the last good
 *   state is kept), ERR_CLIPN_INVALID_ARG, ERR_CLIPN_IO, ERR_CLIPN_CUDA_UNAVAILABLE, and those of `exportModel`
 */
export async function teach(base: string, data: string, out: string, options: TeachOptions = {}): Promise<TeachResult> {
  assertArguments({ base: ['text', base], data: ['text', data], out: ['text', out], options: ['options', options] });
  checkTeachOptions(options);
  const settings: Settings = { ...TEACH_DEFAULTS, ...withoutUndefined(options) };
  const { config, key, signal, onFetch } = settings;
  signal?.throwIfAborted();
  const weights = await weightsPath(base, { signal, onProgress: onFetch });
  return await RunFolder.within(out, async () => {
    // What of the base has to be written anew lies in the folder as long as the run lasts.
    const model = path.join(out, MODEL_FILE);
    return await withSource(weights, model, { config, key, signal }, async (source) => {
      const start = await openBase(source, settings);
      if (start.network.kind === 'clipn') {
        settings.onWarning?.(
          `${base} is a CLIPN: training goes on from its no tower, not from a copy of its yes tower`,
        );
      }
      return await teachFrom(start, data, out, settings);
    });
  });
}

async function teachFrom(start: Base, data: string, out: string, settings: Settings): Promise<TeachResult> {
  const dataset = await openDataset(data, settings);
  for (const warning of dataset.warnings) settings.onWarning?.(warning);
  // Where it can be told before hours of encoding.
  refuseFewer(
    dataset.parts.reduce((sum, { samples }) => sum + (samples ?? Infinity), 0),
    settings.batch,
    data,
  );
  const where = await whereToTeach(settings);
  const folder = await RunFolder.open(out, runSettings(start, dataset, settings, where));
  await folder.removeLeftovers(start.checkpoint.path);
  const features = await cachedFeatures(start, dataset, folder, settings, where);
  if (Object.keys(features.skipped.counts).length > 0) {
    settings.onWarning?.(`samples left out: ${describeSkipped(features.skipped)}`);
  }
  const store = await FeatureReader.open(
    features,
    dataset.classes?.map(({ captions }) => captions.length),
  );
  try {
    const { contextLength } = start.network.architecture;
    const sampler = new Sampler(store, { ...settings, contextLength, prompts: promptsOf(start) });
    refuseFewer(store.samples, settings.batch, data);
    const steps = settings.steps ?? settings.epochs * sampler.stepsPerEpoch;
    const run = { start, folder, sampler, steps, settings, where };
    await withLane((lane) => trainOn(lane, run));
    const checkpoint = folder.epoch(Math.ceil(steps / sampler.stepsPerEpoch));
    await exportResult(checkpoint, start.source, folder, { ...settings, act: start.activation });
    return {
      steps,
      stepsPerEpoch: sampler.stepsPerEpoch,
      samples: store.samples,
      images: features.images,
      ...where,
      skipped: features.skipped.counts,
      checkpoint,
      model: folder.model,
      log: await folder.steps(),
    };
  } finally {
    store.close();
  }
}

function refuseFewer(samples: number, batch: number, data: string): void {
  if (samples >= batch) return;
  const message = `a batch of ${batch} needs as many samples; ${data} has ${samples}`;
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', message, { hint: `Let \`batch\` (--batch) be ${samples} or less.` });
}

function withoutUndefined(options: TeachOptions): TeachOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

interface Where {
  device: 'cpu' | 'cuda';
  precision: 'fp32' | 'bf16';
}

async function whereToTeach({ device, precision, libtorch }: Settings): Promise<Where> {
  const placement = await choosePlacement(await openEngine(libtorch), device, precision);
  // What `auto` gives on a GPU without bf16: fp16 would need a scaled loss.
  return { device: placement.device, precision: placement.precision === 'bf16' ? 'bf16' : 'fp32' };
}

function promptsOf({ trained }: Base): number {
  return trained.find(({ name }) => name === 'prompt_no')!.shape[0]!;
}

/** Everything that decides the weights a run ends with. */
function runSettings(start: Base, dataset: Dataset, settings: Settings, { device, precision }: Where) {
  const hash = createHash('sha256').update(JSON.stringify(dataset.classes ?? null));
  for (const { fingerprint } of dataset.parts) hash.update(fingerprint);
  const { batch, lr, seed, negatives, augmentations, steps, epochs } = settings;
  return {
    base: `${start.frozenId} ${start.startId}`,
    data: hash.digest('hex'),
    batch,
    lr,
    seed,
    negatives,
    augmentations,
    precision,
    device,
    ...(steps === undefined ? { epochs } : { steps }),
  };
}

async function cachedFeatures(
  start: Base,
  dataset: Dataset,
  folder: RunFolder,
  settings: Settings,
  { device, precision }: Where,
): Promise<FeatureFiles> {
  const { signal, onProgress, augmentations, seed, tokenizer, act } = settings;
  const temporary = folder.in('frozen.pt');
  let model: Model | undefined;
  const loadFrozen = async () => {
    if (!model) {
      // The frozen towers run as they will after the training: as a model file.
      await exportSource(start.source, 'base', temporary, { tokenizer, act, ...(signal && { signal }) });
      model = await loadModel(temporary, { device, precision, libtorch: settings.libtorch, signal });
    }
    return model;
  };
  try {
    return await encodeDataset(dataset, {
      folder: settings.features ?? folder.in('features'),
      key: {
        contentId: start.frozenId,
        precision,
        device,
        tokenizer: start.tokenizer.sha256,
        augmentations,
        seed,
      },
      loadFrozen,
      tokenizer: start.tokenizer,
      signal,
      onProgress: (stage, done, total) => onProgress?.({ stage, done, total }),
    });
  } finally {
    await model?.close();
    await rm(temporary, { force: true });
  }
}

interface Run {
  start: Base;
  folder: RunFolder;
  sampler: Sampler;
  /** In all. */
  steps: number;
  settings: Settings;
  where: Where;
}

async function trainOn(lane: NativeLane, run: Run): Promise<void> {
  const { start, folder, sampler, steps, settings, where } = run;
  const { signal, saveEvery, microBatch } = settings;
  const { addon } = await openEngine();
  const latest = await folder.latest(signal);
  const first = latest?.step ?? 0;
  if (first >= steps) return;
  const tensors = latest?.tensors ?? start.start;
  const wanted = start.trained.flatMap(({ name }) => [name, `exp_avg:${name}`, `exp_avg_sq:${name}`]);
  const teacher = await runTask(lane, signal, () =>
    lane.openTeacher({
      checkpoint: latest?.path ?? start.checkpoint.path,
      tensors: wanted.flatMap((name) => {
        const entry = tensors.get(name);
        return entry
          ? [{ name, dtype: entry.dtype, shape: entry.shape, stride: entry.stride, offset: entry.offset }]
          : [];
      }),
      architecture: { ...start.network.architecture, quickGelu: start.activation === 'quickgelu' },
      ...where,
      prompts: promptsOf(start),
      microBatch,
      stepsTaken: first,
      scale: start.scale,
      ...ADAMW,
    }),
  );
  const save = async (path: string, step: number) =>
    await writeTrainingFile(path, start.checkpoint, {
      step,
      epoch: Math.ceil(step / sampler.stepsPerEpoch),
      lr: learningRate(Math.max(0, step - 1), steps, settings.lr),
      activation: start.activation,
      trained: start.trained,
      read: (part, name, count) =>
        runTask(lane, undefined, () => lane.readTeacher(teacher, TRAINED_ARRAYS[part], name, count)),
    });
  try {
    let batch = sampler.batch(first);
    for (let step = first; step < steps; step++) {
      const lr = learningRate(step, steps, settings.lr);
      const current = batch;
      const running = runTask(lane, undefined, () => lane.teach(teacher, { ...current, learningRate: lr }));
      running.catch(() => undefined); // awaited below, after the next batch is read
      if (step + 1 < steps) batch = sampler.batch(step + 1);
      const { finite, yes, no, text, total } = await running;
      if (!finite) {
        if (step > first) await save(folder.state, step);
        throw diverged(step, { yes, no, text }, step > first ? folder.state : latest?.path);
      }
      const done = step + 1;
      const line = { step: done, lossYes: yes, lossNo: no, lossText: text, total, lr };
      await folder.append(line);
      settings.onStep?.(line);
      settings.onProgress?.({ stage: 'steps', done, total: steps });
      if (done % sampler.stepsPerEpoch === 0 || done === steps) {
        await save(folder.epoch(Math.ceil(done / sampler.stepsPerEpoch)), done);
        await folder.removeState();
      } else if (done % saveEvery === 0 || signal?.aborted) await save(folder.state, done);
      signal?.throwIfAborted();
    }
  } finally {
    addon.closeTeacher(teacher);
  }
}

function diverged(step: number, losses: Record<string, number>, state: string | undefined): ClipnError {
  const values = Object.entries(losses).map(([name, value]) => `${name} ${value}`);
  const kept = state ? `the weights before it are in ${state}` : 'no step was taken before it';
  return new ClipnError(
    'ERR_CLIPN_TEACH_DIVERGED',
    `step ${step + 1}: a loss or a gradient is not finite (${values.join(', ')}); ${kept}`,
    { details: { step: step + 1, losses, state } },
  );
}

/** The model file of an epoch's checkpoint; what the base's config says holds for it too. */
async function exportResult(file: string, base: Source, folder: RunFolder, settings: Settings): Promise<void> {
  const { tokenizer, act, dtype, signal, onProgress } = settings;
  const checkpoint = await readCheckpoint(file, { signal });
  const source: Source = { ...base, checkpoint, files: [file], layout: 'openclip' };
  await exportSource(source, path.basename(file), folder.model, {
    tokenizer,
    act,
    dtype,
    ...(signal && { signal }),
    onProgress: ({ done, total }) => onProgress?.({ stage: 'export', done, total }),
  });
}
