/** The worst mistakes of an evaluation: which images they are, with their top labels and a thumbnail. */
import { join } from 'node:path';
import { thumbnail } from '../images/thumbnail';
import { scoreOn } from '../scores/score';
import type { Example } from './result';
import type { ScorePass } from './score-pass';
import type { IdAndOod, ReadableSet } from './sets';

/** An image among the worst mistakes. */
export interface WorstImage {
  /** -1 for the ID set, else the number of the OOD set. */
  set: number;
  /** Image of that set. */
  i: number;
  value: number;
}

/** The most confident OOD images and the least confident ID images; equal ones in the order of the sets. */
export function worstImages(
  id: Float64Array,
  ood: readonly Float64Array[],
  count: number,
): { falseAccepts: WorstImage[]; falseRejects: WorstImage[] } {
  return {
    falseAccepts: extremes(
      ood.map((values, set) => ({ set, values })),
      count,
      (a, b) => b.value - a.value,
    ),
    falseRejects: extremes([{ set: -1, values: id }], count, (a, b) => a.value - b.value),
  };
}

/** The first `count` of a stable sort, holding no more than twice that: `best` begins with the best so far, in order. */
function extremes(
  sets: readonly { set: number; values: Float64Array }[],
  count: number,
  order: (a: WorstImage, b: WorstImage) => number,
): WorstImage[] {
  if (count === 0) return [];
  let best: WorstImage[] = [];
  for (const { set, values } of sets) {
    for (const [i, value] of values.entries()) {
      const candidate = { set, i, value };
      if (best.length >= count && order(best[count - 1]!, candidate) <= 0) continue;
      best.push(candidate);
      if (best.length >= 2 * count || best.length <= count) best = best.sort(order).slice(0, count);
    }
  }
  return best.sort(order).slice(0, count);
}

/** Labels in the top list of an example. */
const TOP = 3;

export async function examplesOf(
  chosen: readonly WorstImage[],
  [id, ...ood]: IdAndOod<ReadableSet>,
  truth: Int32Array,
  { store, bank, lane, scale, signal }: ScorePass,
): Promise<Example[]> {
  if (chosen.length === 0) return [];
  const readableOf = (worst: WorstImage) => (worst.set === -1 ? id : ood[worst.set]!);
  const rows = chosen.map((worst) => readableOf(worst).rows[worst.i]!);
  const features = new Float32Array(chosen.length * bank.dim);
  await store.read(rows, features, null);
  const topK = Math.min(TOP, bank.labels.length);
  const { topIndex, topP, topPYes } = await scoreOn(lane, features, bank, { topK, scale, signal });
  const top = (at: number) => ({
    label: bank.labels[topIndex[at]!]!,
    p: topP[at]!,
    pYes: bank.no === null ? null : topPYes[at]!,
  });
  const example = async (worst: WorstImage, k: number): Promise<Example> => {
    const { set, kept } = readableOf(worst);
    const image = set.images[kept[worst.i]!]!;
    return {
      set: set.name,
      image,
      truth: worst.set === -1 ? (bank.labels[truth[worst.i]!] ?? null) : null,
      score: worst.value,
      top: Array.from({ length: topK }, (_, j) => top(k * topK + j)),
      thumbnail: await thumbnail(join(set.folder, image)),
    };
  };
  return await Promise.all(chosen.map(example));
}
