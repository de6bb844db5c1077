/** The typed addon: loading it, opening the engine once, and running lane tasks with an AbortSignal. */

import { ClipnError, type ClipnErrorCode, ERROR_HINTS } from '../base/errors';
import { type Libtorch, resolveLibtorch } from '../libtorch/find';
import { thisMachine } from '../libtorch/machine';
import { addonError } from '../libtorch/platform';
import type { Architecture } from '../weights/network';

/** The GPU and what keeps it from being used, as the core sees it. */
export interface NativeCuda {
  missing: 'driver' | 'device' | 'architecture' | 'plugin' | null;
  /** What was found instead of the missing piece; '' when nothing is missing. */
  reason: string;
  /** CUDA version that the driver supports, e.g. 13000; 0 without a driver. */
  driver: number;
  devices: number;
  /** Compute capability of device 0, e.g. 90; 0 without one. */
  capability: number;
  /** Bytes of device 0. */
  memory: number;
  /** Name of device 0. */
  name: string;
}

/** What the core says of itself. */
export interface CoreInfo {
  /** libtorch the core was compiled against, e.g. `2.13.0`. */
  torchVersion: string;
  /** Kernels chosen for this CPU: `base`, `avx2` or `avx512` (`CLIPN_CPU` forces one). */
  cpuTarget: string;
  /** libtorch's own choice, e.g. `AVX512`. */
  cpuCapability: string;
  /** The CPU multiplies bf16 matrices natively. */
  cpuBf16: boolean;
}

/** 8-bit samples, rows without gaps: 1 channel grey, 3 RGB, 4 RGBA (alpha ignored). */
export interface NativeImage {
  data: Uint8Array;
  width: number;
  height: number;
  channels: 1 | 3 | 4;
}

export interface NativeModel {
  handle: unknown;
  methods: number;
  clipnJson: string;
  tokenizerJson: string;
  /** Whether the towers run with weights packed for this machine. */
  rewritten: boolean;
}

export interface NativeScoreInput {
  features: Float32Array;
  yes: Float32Array;
  no: Float32Array | undefined;
  n: number;
  c: number;
  d: number;
  k: number;
  scale: number;
  logits: boolean;
  device: 'cpu' | 'cuda';
  /** Not 0: names the bank's numbers, which a GPU keeps under it. */
  bankId: number;
}

/** One entry per image in each; `top*` are [n, k], `logits*` [n, c]. Meanings: `clipn_score_output` in core.h. */
export interface NativeScores {
  ctw: Float32Array;
  atd: Float32Array;
  msp: Float32Array;
  maxLogit: Float32Array;
  energy: Float32Array;
  mcm: Float32Array;
  gap: Float32Array;
  logPOut: Float32Array;
  logQMax: Float32Array;
  topIndex: Int32Array;
  topP: Float32Array;
  topPYes: Float32Array;
  logitsYes?: Float32Array;
  logitsNo?: Float32Array;
}

export interface NativeExportOptions {
  checkpoint: string;
  target: string;
  tensors: { name: string; dtype: string; shape: number[]; stride: number[]; offset: number }[];
  architecture: Architecture;
  dtype: 'fp32' | 'fp16' | 'bf16';
  imageOnly: boolean;
  clipnJson: string;
  tokenizerJson: string;
}

/** core.h `clipn_teacher_options`. */
export interface NativeTeacherOptions {
  checkpoint: string;
  tensors: NativeExportOptions['tensors'];
  architecture: Architecture;
  precision: 'fp32' | 'bf16';
  device: 'cpu' | 'cuda';
  prompts: number;
  microBatch: number;
  stepsTaken: number;
  scale: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
}

/** core.h `clipn_teacher_batch`: features [n, d], ids [n, l], maps and groups [n]. */
export interface NativeTeacherBatch {
  n: number;
  l: number;
  d: number;
  image: Float32Array;
  yes: Float32Array;
  ids: BigInt64Array;
  maps: BigInt64Array;
  groups: BigInt64Array | undefined;
  learningRate: number;
}

/** core.h `clipn_teacher_losses`. */
export interface NativeTeacherLosses {
  finite: boolean;
  yes: number;
  no: number;
  text: number;
  total: number;
}

interface Task<T> {
  ticket: number;
  promise: Promise<T>;
}

/** One core thread with a first-in-first-out queue. Tasks run there, never on libuv's pool or the JS thread. */
export interface NativeLane {
  openModel(path: string, precision: 'fp32' | 'bf16' | 'fp16', device: 'cpu' | 'cuda'): Task<NativeModel>;
  encodeImages(
    handle: unknown,
    images: NativeImage[],
    options: {
      side: number;
      mean: readonly number[];
      std: readonly number[];
      dim: number;
      pixels: boolean;
      /** P, to get the patches' features too. */
      patches?: number;
    },
  ): Task<{ features: Float32Array; pixels?: Uint8Array; patches?: Float32Array }>;
  encodeText(
    handle: unknown,
    tower: 'yes' | 'no',
    ids: BigInt64Array,
    n: number,
    l: number,
    d: number,
  ): Task<Float32Array>;
  runImageLinears(handle: unknown, n: number): Task<void>;
  score(input: NativeScoreInput): Task<NativeScores>;
  exportModel(options: NativeExportOptions): Task<void>;
  openTeacher(options: NativeTeacherOptions): Task<unknown>;
  teach(teacher: unknown, batch: NativeTeacherBatch): Task<NativeTeacherLosses>;
  readTeacher(teacher: unknown, part: number, name: string, count: number): Task<Float32Array>;
  cancel(ticket: number): boolean;
  close(): Promise<void>;
  shutDownNow(): void;
}

interface Addon {
  openCore(preload: string[], core: string): Promise<void>;
  describeCore(): CoreInfo;
  /** Looks at the GPU; with the path of a plugin also opens it, for the whole process. */
  openCuda(plugin: string): Promise<NativeCuda>;
  closeModel(handle: unknown): void;
  closeTeacher(handle: unknown): void;
  Lane: new (threads: number) => NativeLane;
}

export interface Engine {
  addon: Addon;
  libtorch: Libtorch;
  core: CoreInfo;
}

function isCode(code: unknown): code is ClipnErrorCode {
  return typeof code === 'string' && code in ERROR_HINTS;
}

/** The addon's errors carry our codes: give them the class, the hint and the caller's stack. */
function fromNative(error: unknown): unknown {
  if (error instanceof ClipnError || !(error instanceof Error)) return error;
  const code = (error as NodeJS.ErrnoException).code;
  return isCode(code) ? new ClipnError(code, error.message, { cause: error }) : error;
}

let addon: Addon | undefined;

function loadAddon(): Addon {
  if (addon) return addon;
  const machine = thisMachine();
  try {
    const load = require('node-gyp-build') as typeof import('node-gyp-build');
    addon = load(machine.packageRoot) as Addon;
    return addon;
  } catch (cause) {
    throw addonError(cause, machine);
  }
}

let opening: Promise<Engine> | undefined;

async function open(libtorch: string | undefined): Promise<Engine> {
  const loaded = loadAddon();
  const found = resolveLibtorch(libtorch === undefined ? {} : { libtorch });
  try {
    await loaded.openCore(found.preload, found.core);
    return { addon: loaded, libtorch: found, core: loaded.describeCore() };
  } catch (error) {
    throw fromNative(error);
  }
}

/**
 * Finds libtorch, loads it and the core. Once per process: a later call with another `libtorch` is refused, since one
 * process cannot hold two.
 *
 * @throws ERR_CLIPN_PLATFORM, ERR_CLIPN_GLUE_*, ERR_CLIPN_LIBTORCH_*, ERR_CLIPN_CORE_*
 */
export async function openEngine(libtorch?: string): Promise<Engine> {
  if (!opening) {
    opening = open(libtorch);
    // A failure is not remembered: the next call looks again, e.g. after `fetch`.
    opening.catch(() => {
      opening = undefined;
    });
  }
  const engine = await opening;
  if (libtorch !== undefined && resolveLibtorch({ libtorch }).dir !== engine.libtorch.dir) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `this process already uses libtorch at ${engine.libtorch.dir}`, {
      hint: 'Pass the same libtorch everywhere, or use another process.',
      details: { loaded: engine.libtorch.dir, asked: libtorch },
    });
  }
  return engine;
}

/** What the loaded core says of itself. */
export async function describeCore(libtorch?: string): Promise<CoreInfo> {
  return (await openEngine(libtorch)).core;
}

/**
 * Runs one lane task. On abort a queued task leaves the queue at once; a running one finishes and its result is dropped.
 * Either way the promise rejects with `signal.reason` without waiting.
 */
export async function runTask<T>(lane: NativeLane, signal: AbortSignal | undefined, start: () => Task<T>): Promise<T> {
  signal?.throwIfAborted();
  let task: Task<T>;
  try {
    task = start();
  } catch (error) {
    throw fromNative(error);
  }
  return await new Promise<T>((resolve, reject) => {
    const abort = () => {
      lane.cancel(task.ticket);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', abort, { once: true });
    task.promise
      .finally(() => signal?.removeEventListener('abort', abort))
      .then(resolve, (error) => reject(fromNative(error)));
  });
}

const openLanes = new Set<NativeLane>();

/** A new lane; `threads` 0 is libtorch's own choice. It must be closed by `closeLane`. */
export function openLane({ addon: { Lane } }: Engine, threads: number): NativeLane {
  const lane = new Lane(threads);
  if (openLanes.size === 0) process.on('exit', shutDownLanes);
  openLanes.add(lane);
  return lane;
}

/** Finishes the lane's queued work and ends its thread. */
export async function closeLane(lane: NativeLane): Promise<void> {
  await lane.close();
  openLanes.delete(lane);
  if (openLanes.size === 0) process.off('exit', shutDownLanes);
}

/** process.exit() destroys libtorch's globals: no lane may be at work then. Node runs no cleanup hook before it. */
function shutDownLanes(): void {
  for (const lane of openLanes) lane.shutDownNow();
}

let shared: Promise<NativeLane> | undefined;

/** The lane for scores that belong to no model. It is kept: a new thread and its team cost more than a score. */
export function sharedLane(): Promise<NativeLane> {
  if (!shared) {
    shared = openEngine().then((engine) => openLane(engine, 0));
    shared.catch(() => {
      shared = undefined;
    });
  }
  return shared;
}

/** Runs `work` on a lane made for it, for long work that nothing else should wait for. */
export async function withLane<T>(work: (lane: NativeLane) => Promise<T>): Promise<T> {
  const lane = openLane(await openEngine(), 0);
  try {
    return await work(lane);
  } finally {
    await closeLane(lane);
  }
}

/** Writes a model file from a checkpoint's tensor table (core.h `clipn_export`). */
export async function coreExport(options: NativeExportOptions, signal?: AbortSignal): Promise<void> {
  await withLane((lane) => runTask(lane, signal, () => lane.exportModel(options)));
}
