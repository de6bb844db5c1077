import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TextTowers } from '../../lib/labels/build-bank';
import { makeTemplateSet } from '../../lib/text/templates';
import { createTokenizer } from '../../lib/text/tokenizer';
import { clipTokenizer } from './paths';

export const DIM = 6;
export const tokenizer = createTokenizer(readFileSync(clipTokenizer, 'utf8'), 77);

/** What the fake tower makes of one text's ids up to the end token: a unit vector that differs by word and order. */
function feature(tower: string, ids: number[]): number[] {
  const raw = Array.from({ length: DIM }, (_, d) =>
    ids.reduce((sum, id, j) => sum + Math.sin(id * (d + 1) + j + (tower === 'no' ? 0.5 : 0)), tower === 'no' ? 2 : 3),
  );
  const norm = Math.hypot(...raw);
  return raw.map((value) => value / norm);
}

export interface Call {
  tower: string;
  n: number;
  l: number;
}
export function fakeTowers(changes: Partial<TextTowers> = {}): TextTowers & { calls: Call[] } {
  const calls: Call[] = [];
  return {
    contentId: 'model-a',
    contextLength: 77,
    tokenizer,
    dim: DIM,
    hasNo: true,
    encodeText: async (tower, ids, n, l) => {
      calls.push({ tower, n, l });
      const rows = Array.from({ length: n }, (_, i) => [...ids.subarray(i * l, (i + 1) * l)].map(Number));
      return Float32Array.from(rows.flatMap((row) => feature(tower, row.slice(0, row.indexOf(49407) + 1))));
    },
    ...changes,
    calls,
  };
}

/** Spec 2.1 written out once more: L2(sum over templates of the unit vectors). */
export function expectedRow(tower: string, label: string, templates: readonly string[]): number[] {
  const sum = Array<number>(DIM).fill(0);
  for (const template of templates) {
    const ids = tokenizer.encode(template.split('{}').join(label)).ids;
    feature(tower, ids).forEach((value, d) => {
      sum[d]! += value;
    });
  }
  const norm = Math.sqrt(sum.reduce((total, value) => total + value * value, 0));
  return sum.map((value) => value / norm);
}

export function assertRow(matrix: Float32Array | null, row: number, expected: number[]): void {
  assert.ok(matrix);
  expected.forEach((value, d) => {
    // fp32 features and an fp32 result: a few rounding errors of 6e-8.
    assert.ok(Math.abs(matrix[row * DIM + d]! - value) < 5e-7, `row ${row}, column ${d}`);
  });
}

export const templates = makeTemplateSet('own', [
  'a photo of a {}.',
  'the {}, seen from far away on a rainy day',
  '{}',
]);
export const animals = ['cat', 'great white shark', 'dog'];
