/**
 * Random choices of a training run as functions of what they are for: nothing is carried from step to step, so a resumed
 * run draws what an uninterrupted one would. test/reference/teach_reference.py has the same function.
 */

/** What is drawn; the first word of every draw. */
export const DRAW = { order: 1, caption: 2, prompt: 3, view: 4, crop: 5 } as const;

/** 32 bits that depend on every word (each a whole number, taken modulo 2^32). The mixer is Wellons' lowbias32. */
export function bits(...words: readonly number[]): number {
  let x = 0;
  for (const word of words) {
    x = (x ^ word) + 0x9e3779b9;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    x ^= x >>> 16;
  }
  return x >>> 0;
}

/** A whole number in 0 … n - 1, n up to 2^21; a number's share is off by at most n / 2^32. */
export function below(n: number, ...words: readonly number[]): number {
  return Math.floor((bits(...words) * n) / 2 ** 32);
}

/** A number in [0, 1). */
export function unit(...words: readonly number[]): number {
  return bits(...words) / 2 ** 32;
}

/** The order of `n` samples in an epoch (from 0): Fisher and Yates' shuffle. */
export function shuffled(n: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor((bits(DRAW.order, seed, epoch, i) * (i + 1)) / 2 ** 32);
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
  return order;
}
