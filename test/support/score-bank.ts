/** For tests of scores: banks of given rows, numbers near others. */
import assert from 'node:assert/strict';
import type { LabelBank } from '../../lib/labels/bank';

/** A bank of given rows. */
export function bankOf(yes: number[][], no: number[][] | null): LabelBank {
  return {
    labels: yes.map((_, i) => `class ${i}`),
    dim: yes[0]!.length,
    yes: Float32Array.from(yes.flat()),
    no: no && Float32Array.from(no.flat()),
    templates: { name: 'none', sha256: '', count: 0, lines: [] },
    model: { contentId: '' },
    truncated: [],
    warnings: [],
  };
}

/** Asserts that every number is as expected, to an absolute tolerance. */
export function near(found: ArrayLike<number>, expected: number[], tolerance: number, what: string): void {
  assert.equal(found.length, expected.length, what);
  expected.forEach((value, i) => {
    assert.ok(Math.abs(found[i]! - value) <= tolerance, `${what}[${i}]: ${found[i]} is not ${value}`);
  });
}
