/** Made-up inputs for measurements, the same everywhere: pixels, unit rows, a label bank. Their values do not change the work. */
import type { LabelBank } from './label-bank';
import type { NativeImage } from './native';

/** Numbers in [0, 1) that are the same everywhere. */
function* noise(): Generator<number, never> {
  for (let state = 1; ; ) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    yield state / 2 ** 32;
  }
}

/** Images of noise that need no resize: the pixels' values do not change the tower's work. */
export function noisePixels(n: number, side: number): NativeImage[] {
  const next = noise();
  return Array.from({ length: n }, () => {
    const data = Uint8Array.from({ length: side * side * 3 }, () => Math.floor(256 * next.next().value));
    return { data, width: side, height: side, channels: 3 as const };
  });
}

/** float [n, d] of unit rows in random directions. */
export function unitRows(n: number, d: number): Float32Array {
  const next = noise();
  const rows = Float32Array.from({ length: n * d }, () => next.next().value - 0.5);
  for (let i = 0; i < n; i++) {
    const row = rows.subarray(i * d, (i + 1) * d);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0)) || 1;
    for (let j = 0; j < d; j++) row[j]! /= length;
  }
  return rows;
}

/** A label bank of c classes in random directions, for a model or for none. */
export function syntheticBank(c: number, dim: number, model: LabelBank['model']): LabelBank {
  const rows = unitRows(2 * c, dim);
  return {
    labels: Array.from({ length: c }, (_, i) => `class ${i}`),
    dim,
    yes: rows.slice(0, c * dim),
    no: rows.slice(c * dim),
    templates: { name: 'none', sha256: '', count: 0, lines: [] },
    model,
    truncated: [],
    warnings: [],
  };
}
