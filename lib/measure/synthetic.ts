/** Made-up inputs for measurements, the same everywhere: pixels, unit rows, a label bank. Their values do not change the work. */
import type { LabelBank } from '../labels/bank';
import type { NativeImage } from '../native/addon';

/** Numbers in [0, 1). */
function noise(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state / 2 ** 32;
  };
}

/** Decoded images of noise. */
export function noisePixels(n: number, width: number, height = width): NativeImage[] {
  const next = noise();
  return Array.from({ length: n }, () => {
    const data = new Uint8Array(width * height * 3);
    for (let i = 0; i < data.length; i++) data[i] = 256 * next();
    return { data, width, height, channels: 3 as const };
  });
}

/** float [n, d] of unit rows in random directions. */
export function unitRows(n: number, d: number): Float32Array {
  const next = noise();
  const rows = new Float32Array(n * d);
  for (let i = 0; i < n * d; i += d) {
    let squares = 0;
    for (let j = i; j < i + d; j++) {
      rows[j] = next() - 0.5;
      squares += rows[j]! ** 2;
    }
    for (let j = i; j < i + d; j++) rows[j]! /= Math.sqrt(squares);
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
