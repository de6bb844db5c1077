/**
 * measure/: How fast a model runs on this computer.
 *
 * `bench`: how fast a model runs here: image tower, the bare linears of that tower, JPEG files to verdicts, scores, calls.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { performance } from 'node:perf_hooks';
import { ClipnError } from '../base/errors';
import { packageVersion } from '../base/version';
import { readCpu } from '../doctor/cpu';
import { loadModel } from '../model/load';
import type { Model } from '../model/model';
import type { LoadModelOptions } from '../model/options';
import type { NativeLane } from '../native/addon';
import { openEngine } from '../native/engine';
import { scoreOn } from '../scores/score';
import { noisePixels, syntheticBank, unitRows } from './synthetic';
import { inTurns, type Times, timesOf } from './timing';

export interface BenchOptions extends Omit<LoadModelOptions, 'threads' | 'batch' | 'queue'> {
  /** Path of the model file. */
  model: string;
  /** Photos for `endToEnd`, at least one. */
  images: readonly string[];
  /** Images per call of the tower. Default 8. */
  batch?: number | undefined;
  /** Threads of the model's lane. Default: one per physical core. */
  threads?: number | undefined;
  /** Time to measure for, after warm-up. Default 10; at least three rounds. */
  seconds?: number | undefined;
  /** Rounds, instead of `seconds`. */
  repeat?: number | undefined;
  onProgress?: ((text: string) => void) | undefined;
}

/** A rate, and the calls it comes from. */
export interface Rate {
  imagesPerSecond: number;
  /** Images of one call. */
  images: number;
  /** Milliseconds of one call. */
  ms: Times;
  /** What one call does. */
  what: string;
}

/** A rate that this model or machine cannot give. */
export interface NoRate {
  imagesPerSecond: null;
  why: string;
}

export interface BenchMachine {
  cpu: string | null;
  physicalCores: number;
  logicalCores: number;
  memoryBytes: number;
  platform: string;
  /** CPU features that decide speed. */
  isa: string[];
}

export interface BenchResult {
  versions: { 'clipn-native': string; node: string; libtorch: string };
  machine: BenchMachine & { cpuTarget: string; cpuCapability: string };
  model: { path: string; contentId: string; imageSize: number; embedDim: number };
  device: string;
  precision: string;
  batch: number;
  threads: number;
  /** Rounds of all contenders in turn. */
  rounds: number;
  tower: Rate;
  /** The linears of all image blocks and nothing else: what the tower would reach if all the rest were free. */
  gemmBound: Rate | NoRate;
  endToEnd: Rate;
  /** The rate is that of a batch; `cases` holds larger ones too. */
  score: Rate & { cases: { n: number; c: number; d: number; imagesPerSecond: number; ms: Times }[] };
  /** Microseconds: a synchronous call into the addon, and the smallest task through the lane and back. */
  overhead: { callMicroseconds: Times; taskMicroseconds: Times };
  /** Milliseconds: opening libtorch and the core, then loading the model. */
  load: { engineMs: number; modelMs: number };
  rss: { loadedBytes: number; peakBytes: number };
}

/** Classes of the synthetic label bank. */
const CLASSES = 1000;
/** Photos of one end-to-end call: enough that decoding runs ahead of the tower. */
const PHOTOS = 32;

/**
 * Measures one model on this machine. Contenders take turns; every figure is the median over all calls.
 *
 * @throws what `loadModel` throws; ERR_CLIPN_INVALID_ARG for a count below 1; ERR_CLIPN_IMAGE_* for an unreadable photo
 */
export async function benchModel(options: BenchOptions): Promise<BenchResult> {
  const { model: path, images, batch = 8, seconds = 10, repeat, onProgress, signal, ...load } = options;
  const machine = describeMachine();
  const { threads = Math.min(machine.physicalCores, availableParallelism()) } = load;
  checkCounts({ batch, threads, ...(repeat !== undefined && { repeat }), images: images.length });
  if (!(seconds > 0)) throw new ClipnError('ERR_CLIPN_INVALID_ARG', `seconds must be positive, not ${seconds}`);

  if (load.precision === 'guarded') {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', 'bench measures one tower, and a guarded model has two', {
      hint: 'Measure fp32, and bf16 or int8; how many images take both depends on photos and labels (docs/precision.md).',
    });
  }
  onProgress?.('loading');
  const start = performance.now();
  const engine = await openEngine(load.libtorch);
  const engineMs = performance.now() - start;
  await using model = await loadModel(path, { ...load, threads, batch: { max: batch }, signal });
  const modelMs = performance.now() - start - engineMs;
  const loadedBytes = process.memoryUsage.rss();

  const { embedDim: d, imageSize: side, contentId, precision, device } = model.info;
  const bank = syntheticBank(CLASSES, d, { contentId });
  const detector = await model.createDetector(bank);
  const photos = Array.from({ length: PHOTOS }, (_, i) => images[i % images.length]!);
  const pixels = noisePixels(batch, side);
  const rows = { batch: unitRows(batch, d), many: unitRows(1024, d) };
  const linears = await linearsOf(model, batch);

  const contenders = {
    tower: () => model.encodePixels(pixels, false, signal),
    ...(linears.run && { gemmBound: linears.run }),
    endToEnd: async () => {
      for (const result of await detector.check(photos, { signal })) if ('error' in result) throw result.error;
    },
    score: () => scoreOn(model.lane, rows.batch, bank, {}),
    scoreMany: () => scoreOn(model.lane, rows.many, bank, {}),
  };
  let rounds = 0;
  const onRound = () => {
    onProgress?.(`measuring, round ${++rounds}`);
  };
  const times = await inTurns(contenders, { repeat, seconds, signal, onRound });
  const overhead = await callOverhead(() => engine.addon.describeCore(), model.lane, d);

  const rate = (what: string, count: number, ms: Times): Rate => ({ ...rateOf(count, ms), what });
  const scores = rate(`scores and top 5 of N = ${batch} unit rows, C = ${CLASSES}`, batch, times.score!);
  const cases = [
    { n: batch, c: CLASSES, d, ...perSecond(batch, times.score!) },
    { n: 1024, c: CLASSES, d, ...perSecond(1024, times.scoreMany!) },
  ];
  return {
    versions: {
      'clipn-native': packageVersion(),
      node: process.versions.node,
      libtorch: `${engine.libtorch.version}+${engine.libtorch.flavour}`,
    },
    machine: { ...machine, cpuTarget: engine.core.cpuTarget, cpuCapability: engine.core.cpuCapability },
    model: { path, contentId, imageSize: side, embedDim: d },
    device,
    precision,
    batch,
    threads,
    rounds,
    tower: rate(
      `${batch} images of ${side} × ${side} RGB bytes: normalise, image tower, unit features`,
      batch,
      times.tower!,
    ),
    gemmBound: times.gemmBound
      ? rate(`the linears of all image blocks for ${batch} images, nothing else`, batch, times.gemmBound)
      : { imagesPerSecond: null, why: linears.why ?? 'not measured' },
    endToEnd: rate(
      `${PHOTOS} image files: read, decode, resize, tower, scores, verdicts; ${CLASSES} labels`,
      PHOTOS,
      times.endToEnd!,
    ),
    score: { ...scores, cases },
    overhead,
    load: { engineMs, modelMs },
    rss: { loadedBytes, peakBytes: 1024 * process.resourceUsage().maxRSS },
  };
}

function checkCounts(counts: Record<string, number>): void {
  for (const [name, value] of Object.entries(counts)) {
    if (!Number.isInteger(value) || value < 1) {
      throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${name} must be a whole number of at least 1, not ${value}`);
    }
  }
}

const perSecond = (count: number, ms: Times) => ({ imagesPerSecond: (1000 * count) / ms.median, ms });
const rateOf = (count: number, ms: Times) => ({ ...perSecond(count, ms), images: count });

/** The bare linears, or why this model's tower has none to run alone. */
async function linearsOf(model: Model, n: number): Promise<{ run?: () => Promise<void>; why?: string }> {
  try {
    await model.runImageLinears(n);
    return { run: () => model.runImageLinears(n) };
  } catch (error) {
    if (error instanceof ClipnError && error.code === 'ERR_CLIPN_MODEL_CONTRACT') return { why: error.message };
    throw error;
  }
}

async function callOverhead(call: () => unknown, lane: NativeLane, d: number): Promise<BenchResult['overhead']> {
  const bank = syntheticBank(1, d, { contentId: '' });
  const row = unitRows(1, d);
  const calls: number[] = [];
  const tasks: number[] = [];
  for (let i = 0; i < 1000; i++) {
    const start = performance.now();
    call();
    const middle = performance.now();
    await scoreOn(lane, row, bank, { topK: 0 });
    calls.push(1000 * (middle - start));
    tasks.push(1000 * (performance.now() - middle));
  }
  return { callMicroseconds: timesOf(calls), taskMicroseconds: timesOf(tasks) };
}

/** What decides speed on this computer. */
export function describeMachine(): BenchMachine {
  const { model, features } = readCpu();
  return {
    cpu: model,
    physicalCores: physicalCores(),
    logicalCores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${process.platform}-${process.arch}`,
    isa: features,
  };
}

/** Two hyperthreads of a core share its multipliers: counted once where the system tells. */
function physicalCores(): number {
  const text = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  const cores = text.split('\n\n').flatMap((cpu) => {
    const id = (key: string) => new RegExp(`^${key}\\s*:\\s*(\\d+)$`, 'm').exec(cpu)?.[1];
    return id('core id') === undefined ? [] : [`${id('physical id')}/${id('core id')}`];
  });
  return new Set(cores).size || availableParallelism();
}
