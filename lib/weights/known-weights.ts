/** What is known of weights in the wild (lib/data/known-weights.json): heads by a tower's shapes, activations by a file's hash. */
import { ClipnError } from '../base/errors';
import data from '../data/known-weights.json';

/** Of the MLPs: `gelu` is the exact one. */
export type Activation = 'gelu' | 'quickgelu';

/** A published file of weights. */
export interface KnownFile {
  name: string;
  activation: Activation;
}

/** @param sha256 of the whole file; of some files only its first digits were published */
export function knownFile(sha256: string): KnownFile | undefined {
  for (const { activation, sha256: names } of data.files) {
    const found = Object.entries(names).find(([digits]) => sha256.startsWith(digits));
    if (found !== undefined) return { name: found[1], activation: activation as Activation };
  }
  return undefined;
}

/** Families of CLIP that need an activation, in words. */
export function familiesWith(activation: Activation): string {
  return data.families[activation].join(', ');
}

/**
 * Width of a tower's attention heads, as towers of this width and MLP have them.
 * @throws ERR_CLIPN_CHECKPOINT_AMBIGUOUS where it is not known: a wrong one gives features without an error
 */
export function usualHeadWidth(tower: 'image' | 'text', width: number, mlp: number): number {
  const { others } = data.towers;
  if (width <= others.widest && width % others.head === 0) return others.head;
  const known = data.towers[tower].find((each) => each.width === width && each.mlp === mlp);
  if (known !== undefined) return known.head;
  const field = tower === 'image' ? 'vision_cfg.head_width' : 'text_cfg.heads';
  throw new ClipnError(
    'ERR_CLIPN_CHECKPOINT_AMBIGUOUS',
    `how many heads has this ${tower} tower, ${width} wide with an MLP of ${mlp}? Its shapes do not tell`,
    {
      hint: `Give the OpenCLIP config of this checkpoint as \`config\`, on the command line --config: ${field} tells.`,
    },
  );
}
