/** Lanes: core threads that every job of the engine runs on, and how a job is aborted. */
import { assertSignal } from '../base/arguments';
import type { NativeLane, Task } from './addon';
import { fromNative } from './addon-errors';
import { type Engine, openEngine } from './engine';

/**
 * Runs one lane task. On abort a queued task leaves the queue at once; a running one finishes and its result is dropped.
 * Either way the promise rejects with `signal.reason` without waiting.
 */
export async function runTask<T>(lane: NativeLane, signal: AbortSignal | undefined, start: () => Task<T>): Promise<T> {
  assertSignal(signal);
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
