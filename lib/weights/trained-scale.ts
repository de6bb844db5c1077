/** The scale that a checkpoint learnt for its cosines, read off its one number. */
import { open } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import type { Checkpoint } from './checkpoint';

/** exp(logit_scale); only recorded, but a model file must be able to say it. */
export async function readTrainedScale(checkpoint: Checkpoint): Promise<number> {
  const logScale = await readScalar(checkpoint, 'logit_scale');
  const scale = Math.exp(logScale);
  if (scale > 0 && scale < Number.POSITIVE_INFINITY) return scale;
  throw new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', `${checkpoint.name}: tensor logit_scale holds ${logScale}`);
}

async function readScalar(checkpoint: Checkpoint, key: string): Promise<number> {
  const entry = checkpoint.tensors.get(key)!;
  const file = await open(checkpoint.path, 'r');
  try {
    const bytes = Buffer.alloc(4);
    // A 16-bit float is read into the high half, which is where bfloat16 keeps what float32 does.
    if (entry.dtype === 'float32') await file.read(bytes, 0, 4, entry.offset);
    else await file.read(bytes, 2, 2, entry.offset);
    return entry.dtype === 'float16' ? halfToNumber(bytes.readUInt16LE(2)) : bytes.readFloatLE();
  } finally {
    await file.close();
  }
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
