/** The published numbers (spec 6.1), and whether an evaluation follows their protocol (spec 4.1). */
import data from '../data/published.json';
import type { EvalResult } from './result';

const COUNTS: Record<string, number> = data.protocol;
type PerSet = Partial<Record<string, number[]>>;
const ROWS: { source: string; ctw: PerSet; atd: PerSet }[] = data.rows;

/**
 * @param imagenet whether the labels are ImageNet-1k's, as CLIPN was evaluated with
 * @param images found in the ID folder and each OOD folder, by the user's name of the set
 * @returns entries of the sets that have the protocol's name (in any case) and number of images; those of the average
 *   only when there are just the protocol's four. None unless the ID folder is the validation set.
 */
export function publishedNumbers(
  imagenet: boolean,
  images: { id: number; ood: Readonly<Record<string, number>> },
): EvalResult['published'] {
  if (!imagenet || images.id !== COUNTS['id']) return [];
  const nameOf = new Map<string, string>();
  for (const [set, count] of Object.entries(images.ood)) {
    const name = Object.keys(COUNTS).find((each) => each !== 'id' && each.toLowerCase() === set.toLowerCase());
    if (name !== undefined && COUNTS[name] === count) nameOf.set(name, set);
  }
  if (nameOf.size === 4 && Object.keys(images.ood).length === 4) nameOf.set('average', 'average');
  const found: EvalResult['published'] = [];
  for (const { source, ...scores } of ROWS) {
    for (const [score, sets] of Object.entries(scores)) {
      for (const [name, [auroc, fpr95] = []] of Object.entries(sets)) {
        const set = nameOf.get(name);
        if (set === undefined || auroc === undefined || fpr95 === undefined) continue;
        // Fractions, without the digits that a division by 100 would add.
        found.push({ source, score, set, auroc: Number(`${auroc}e-2`), fpr95: Number(`${fpr95}e-2`) });
      }
    }
  }
  return found;
}
