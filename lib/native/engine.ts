/**
 * native/: The addon, typed: one engine a process, lanes, which device and what a GPU lacks.
 *
 * The engine: the addon, libtorch and the core, loaded once a process.
 */
import { assertArguments } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { type Libtorch, resolveLibtorch } from '../libtorch/find';
import { type Machine, thisMachine } from '../libtorch/machine';
import type { Addon, CoreInfo } from './addon';
import { addonError, fromNative } from './addon-errors';

export interface Engine {
  addon: Addon;
  libtorch: Libtorch;
  core: CoreInfo;
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

/** Absolute path of the addon that would be loaded; null where there is none. */
export function addonPath(machine: Machine): string | null {
  try {
    const { path } = require('node-gyp-build') as { path(root: string): string };
    return path(machine.packageRoot);
  } catch {
    return null; // its only failure: no binary for this platform
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
  if (libtorch !== undefined) assertArguments({ libtorch: ['text', libtorch] });
  return (await openEngine(libtorch)).core;
}
