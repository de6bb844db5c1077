/** Whether this process can compute on a GPU, and which piece is missing when it cannot. */
import { ClipnError } from '../base/errors';
import { cudaPlugin } from '../libtorch/find';
import type { NativeCuda } from './addon';
import type { Engine } from './engine';

/** Driver, GPU and what of this package and libtorch belongs to them. */
export interface CudaInfo {
  /** Whether a model can be loaded there. */
  usable: boolean;
  /** The first piece that is missing, hardware first; null when usable. */
  missing: 'driver' | 'device' | 'architecture' | 'libtorch' | 'plugin' | null;
  /** What was found instead, in words; '' when usable. */
  reason: string;
  /** CUDA version that the driver supports, e.g. '13.0'; null without a driver. */
  driver: string | null;
  /** The GPU that would be used; null when there is none. */
  device: { name: string; capability: string; memory: number } | null;
  /** Path of the plugin for the libtorch in use; null when this build has none. */
  plugin: string | null;
}

const opened = new WeakMap<Engine, Promise<CudaInfo>>();

/** Looks for all pieces and opens the plugin when none is missing. Once per process, but for a failure: that is looked at anew. */
export async function openCuda(engine: Engine): Promise<CudaInfo> {
  const known = await opened.get(engine)?.catch(() => undefined);
  if (known?.usable) return known;
  const looking = look(engine);
  opened.set(engine, looking);
  return await looking;
}

async function look({ addon, libtorch }: Engine): Promise<CudaInfo> {
  const plugin = cudaPlugin(libtorch.core);
  const gpu = await addon.openCuda('');
  const missing = missingPiece(gpu, libtorch, plugin);
  if (missing !== null) return describe(gpu, plugin, missing);
  const loaded = await addon.openCuda(plugin!);
  return describe(loaded, plugin, loaded.missing === null ? null : { missing: loaded.missing, reason: loaded.reason });
}

type Missing = { missing: NonNullable<CudaInfo['missing']>; reason: string };

function missingPiece(
  gpu: NativeCuda,
  libtorch: { dir: string; version: string; flavour: string },
  plugin: string | null,
): Missing | null {
  if (gpu.missing !== null) return { missing: gpu.missing, reason: gpu.reason };
  const { dir, version, flavour } = libtorch;
  if (!flavour.startsWith('cu')) {
    return { missing: 'libtorch', reason: `libtorch ${version}+${flavour} at ${dir} is no CUDA build` };
  }
  // A driver runs every CUDA of its own major version.
  const major = Number(/^cu(\d+)\d$/.exec(flavour)?.[1] ?? 0);
  if (gpu.driver < major * 1000) {
    return {
      missing: 'driver',
      reason: `the NVIDIA driver supports CUDA ${cudaVersion(gpu.driver)}, and libtorch ${version}+${flavour} needs ${major}.0`,
    };
  }
  if (plugin === null) {
    return { missing: 'plugin', reason: `this build of clipn-native has no CUDA plugin for libtorch ${version}` };
  }
  return null;
}

function describe(gpu: NativeCuda, plugin: string | null, lacking: Missing | null): CudaInfo {
  const { name, capability, memory } = gpu;
  return {
    usable: lacking === null,
    missing: lacking?.missing ?? null,
    reason: lacking?.reason ?? '',
    driver: gpu.driver > 0 ? cudaVersion(gpu.driver) : null,
    device: capability > 0 ? { name, capability: `${Math.floor(capability / 10)}.${capability % 10}`, memory } : null,
    plugin,
  };
}

/** 13010 → '13.1'. */
function cudaVersion(number: number): string {
  return `${Math.floor(number / 1000)}.${Math.floor((number % 1000) / 10)}`;
}

const REMEDIES: Record<NonNullable<CudaInfo['missing']>, string> = {
  driver: 'Install NVIDIA’s driver (580 or newer for cu130)',
  device: 'Make a GPU visible to this process (CUDA_VISIBLE_DEVICES, the container’s --gpus)',
  architecture: 'Use a GPU of compute capability 7.5 or newer that the plugin was built for',
  libtorch: 'Run `npx clipn-native fetch --variant cu130`, or name a CUDA libtorch with CLIPN_LIBTORCH',
  plugin: 'Build it in a clone: `CLIPN_LIBTORCH=DIR npm run build`, with nvcc 13 at hand (docs/cuda.md)',
};

/** What to do about the missing piece; '' when usable. */
export function cudaRemedy({ missing }: CudaInfo): string {
  return missing === null ? '' : REMEDIES[missing];
}

/** The error of a strict `device: 'cuda'`. */
export function cudaUnavailable(info: CudaInfo): ClipnError {
  return new ClipnError('ERR_CLIPN_CUDA_UNAVAILABLE', `CUDA was asked for, but ${info.reason}.`, {
    hint: `${cudaRemedy(info)}; or use device 'cpu', or 'auto'.`,
    details: { cuda: info },
  });
}
