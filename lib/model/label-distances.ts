/**
 * How near the yes vectors of names are, and how far they move with the template. Cosines differ between models, so lengths
 * are measured by others of the same model: the distance that is usual between names, or that to the nearest label.
 */
import type { LabelBank } from '../labels/bank';

/** Names are near below this share of the usual distance. Measured on synonyms: docs/label-lint.md */
const NEAR = 0.5;
/** A label hangs on its template from this share of the distance to the nearest label on. Measured: docs/label-lint.md */
export const MOVES = 0.2;

/** Distance of two unit rows. */
function distance(a: Float32Array, i: number, b: Float32Array, j: number, dim: number): number {
  let square = 0;
  for (let d = 0; d < dim; d++) square += (a[i * dim + d]! - b[j * dim + d]!) ** 2;
  return Math.sqrt(square);
}

/** The median distance between two names of a bank. */
export function usualDistance({ labels, yes, dim }: LabelBank): number {
  const all: number[] = [];
  for (let i = 0; i < labels.length; i++) for (let j = 0; j < i; j++) all.push(distance(yes, i, yes, j, dim));
  all.sort((a, b) => a - b);
  return all[Math.floor(all.length / 2)]!;
}

export interface NearGroup {
  /** Rows of the bank, ascending. */
  rows: number[];
  /** Smallest distance among them, as a share of the usual one. */
  value: number;
}

/** Groups of labels that hang together by being near; each label is in one group at most. */
export function nearGroups({ labels, yes, dim }: LabelBank, usual: number): NearGroup[] {
  const groupOf = labels.map((_, row): NearGroup => ({ rows: [row], value: Number.POSITIVE_INFINITY }));
  for (let i = 0; i < labels.length; i++) {
    for (let j = 0; j < i; j++) {
      const value = distance(yes, i, yes, j, dim) / usual;
      if (!(value < NEAR) || labels[i] === labels[j]) continue;
      const [one, other] = [groupOf[i]!, groupOf[j]!];
      one.value = Math.min(one.value, other.value, value);
      if (one === other) continue;
      one.rows.push(...other.rows);
      for (const row of other.rows) groupOf[row] = one;
    }
  }
  const groups = [...new Set(groupOf)].filter(({ rows }) => rows.length > 1);
  for (const { rows } of groups) rows.sort((a, b) => a - b);
  return groups.sort((a, b) => a.value - b.value);
}

/** For each label the indices of words whose rows [W, D] are near its own. */
export function nearWords({ labels, yes, dim }: LabelBank, rows: Float32Array, usual: number): number[][] {
  const words = Array.from({ length: rows.length / dim }, (_, word) => word);
  return labels.map((_, row) => words.filter((word) => distance(yes, row, rows, word, dim) / usual < NEAR));
}

/**
 * How far each label moves when it goes through a single template, as a share of the distance to the nearest other label:
 * root mean square over the templates. What all labels move alike is taken off, for it does not change which is nearest.
 *
 * @param bank of at least 2 labels
 * @param singles of the same labels, each through one template
 */
export function movements({ labels, yes, dim }: LabelBank, singles: readonly LabelBank[]): number[] {
  const count = labels.length;
  const squares = new Float64Array(count);
  for (const single of singles) {
    const common = new Float64Array(dim);
    for (let i = 0; i < yes.length; i++) common[i % dim]! += (single.yes[i]! - yes[i]!) / count;
    for (let i = 0; i < yes.length; i++) {
      squares[Math.floor(i / dim)]! += (single.yes[i]! - yes[i]! - common[i % dim]!) ** 2;
    }
  }
  return labels.map((label, i) => {
    const others = labels.map((other, j) =>
      other === label ? Number.POSITIVE_INFINITY : distance(yes, i, yes, j, dim),
    );
    return Math.sqrt(squares[i]! / singles.length) / Math.min(...others);
  });
}
