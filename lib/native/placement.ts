/** Where and in which arithmetic a model runs, or is taught, from what was asked for and what this machine has. */
import { ClipnError } from '../base/errors';
import { cudaUnavailable, openCuda } from './cuda';
import type { Engine } from './engine';

export type Device = 'auto' | 'cpu' | 'cuda';
export type Precision = 'fp32' | 'bf16' | 'fp16';

export interface Placement {
  device: 'cpu' | 'cuda';
  precision: Precision;
  /** Why `auto` did not take CUDA; else null. */
  reason: string | null;
}

/** @throws ERR_CLIPN_CUDA_UNAVAILABLE (device `cuda`), ERR_CLIPN_INVALID_ARG (fp16 on a CPU) */
export async function choosePlacement(
  engine: Engine,
  device: Device,
  precision: Precision | 'auto',
): Promise<Placement> {
  const cuda = device === 'cpu' ? null : await openCuda(engine);
  if (cuda !== null && !cuda.usable && device === 'cuda') throw cudaUnavailable(cuda);
  if (cuda?.usable) {
    const best = Number(cuda.device?.capability) >= 8 ? 'bf16' : 'fp16';
    return { device: 'cuda', precision: precision === 'auto' ? best : precision, reason: null };
  }
  if (precision === 'fp16') {
    const why = cuda === null ? '' : `, and ${cuda.reason}`;
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `precision fp16 needs CUDA${why}; on a CPU use fp32 or bf16`);
  }
  const best = engine.core.cpuBf16 ? 'bf16' : 'fp32';
  return { device: 'cpu', precision: precision === 'auto' ? best : precision, reason: cuda?.reason ?? null };
}
