/** Images worth looking at, with their top labels and a thumbnail. */
import { join } from 'node:path';
import { thumbnail } from '../images/thumbnail';
import { scoreOn } from '../scores/score';
import type { Example } from './result';
import type { ScorePass } from './score-pass';
import type { IdAndOod, Readable } from './sets';
import type { Pick } from './summary';

/** Labels in the top list of an example. */
const TOP = 3;

export async function examplesOf(
  picks: readonly Pick[],
  [id, ...ood]: IdAndOod<Readable>,
  truth: Int32Array,
  { store, bank, lane, scale, signal }: ScorePass,
): Promise<Example[]> {
  if (picks.length === 0) return [];
  const readableOf = (pick: Pick) => (pick.set === -1 ? id : ood[pick.set]!);
  const rows = picks.map((pick) => readableOf(pick).rows[pick.i]!);
  const features = new Float32Array(picks.length * bank.dim);
  await store.read(rows, features, null);
  const topK = Math.min(TOP, bank.labels.length);
  const { topIndex, topP, topPYes } = await scoreOn(lane, features, bank, { topK, scale, signal });
  const top = (at: number) => ({
    label: bank.labels[topIndex[at]!]!,
    p: topP[at]!,
    pYes: bank.no === null ? null : topPYes[at]!,
  });
  const example = async (pick: Pick, k: number): Promise<Example> => {
    const { set, kept } = readableOf(pick);
    const image = set.images[kept[pick.i]!]!;
    return {
      set: set.name,
      image,
      truth: pick.set === -1 ? (bank.labels[truth[pick.i]!] ?? null) : null,
      score: pick.value,
      top: Array.from({ length: topK }, (_, j) => top(k * topK + j)),
      thumbnail: await thumbnail(join(set.folder, image)),
    };
  };
  return await Promise.all(picks.map(example));
}
