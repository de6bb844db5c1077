/** Where and in which arithmetic a model runs, or is taught, from what was asked for and what this machine has. */
import { ClipnError } from '../base/errors';
import type { Arithmetic } from './addon';
import { cudaUnavailable, openCuda } from './cuda';
import type { Engine } from './engine';

/** `auto`: CUDA where all of it is there, else the CPU. `cuda` is strict. */
export type Device = 'auto' | 'cpu' | 'cuda';
/** `guarded`: a first tower in a faster arithmetic, and fp32 for what that cannot decide (docs/precision.md). */
export type Precision = Arithmetic | 'guarded';
/** What a guarded model encodes every image in, before fp32 is asked. */
export type FirstPrecision = 'int8' | 'bf16';

/** In which arithmetic features and fitted scores are: a guarded model's are fp32's. */
export const featurePrecision = (precision: Precision): Arithmetic => (precision === 'guarded' ? 'fp32' : precision);

export interface Placement {
  device: 'cpu' | 'cuda';
  /** Of all that is not answered by `first`. */
  precision: Arithmetic;
  /** With precision `guarded`: what this machine has for it, or null where it has neither. Else undefined. */
  first?: FirstPrecision | null;
  /** Why `auto` did not take CUDA; else null. */
  reason: string | null;
}

/**
 * @throws ERR_CLIPN_CUDA_UNAVAILABLE (device `cuda`), ERR_CLIPN_INVALID_ARG (fp16 on a CPU; int8 and guarded on a GPU, int8
 *   on a CPU without it)
 */
export async function choosePlacement(
  engine: Engine,
  device: Device,
  precision: Precision | 'auto',
): Promise<Placement> {
  const cuda = device === 'cpu' ? null : await openCuda(engine);
  if (cuda !== null && !cuda.usable && device === 'cuda') throw cudaUnavailable(cuda);
  if (cuda?.usable) {
    if (precision === 'int8' || precision === 'guarded') {
      throw new ClipnError(
        'ERR_CLIPN_INVALID_ARG',
        `precision ${precision} is for CPUs, and the model would run on a GPU`,
        {
          hint: "Pass device 'cpu', or precision 'bf16' or 'fp16'; on the command line --device and --precision.",
        },
      );
    }
    const best = Number(cuda.device?.capability) >= 8 ? 'bf16' : 'fp16';
    return { device: 'cuda', precision: precision === 'auto' ? best : precision, reason: null };
  }
  if (precision === 'fp16') {
    const why = cuda === null ? '' : `, and ${cuda.reason}`;
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `precision fp16 needs CUDA${why}; on a CPU use fp32 or bf16`);
  }
  const { cpuBf16, cpuInt8 } = engine.core;
  const reason = cuda?.reason ?? null;
  if (precision === 'guarded') {
    // Without instructions for bytes int8 gains less than encoding some images twice costs.
    const hasInt8 = cpuInt8 && engine.addon.int8Absence() === '';
    return { device: 'cpu', precision: 'fp32', first: hasInt8 ? 'int8' : cpuBf16 ? 'bf16' : null, reason };
  }
  const absence = precision === 'int8' ? engine.addon.int8Absence() : '';
  if (absence !== '') {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `precision int8: ${absence}`, {
      hint: "Use precision 'guarded', which takes the fastest that this CPU has, or 'auto' or 'fp32'.",
    });
  }
  const best = cpuBf16 ? 'bf16' : 'fp32';
  return { device: 'cpu', precision: precision === 'auto' ? best : precision, reason };
}
