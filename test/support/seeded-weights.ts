/**
 * Weights by an integer formula, so that TypeScript and Python (test/reference/clipn_reference.py) make the same model
 * without a weight file. This is the one place that states it:
 *
 *   keys sorted as ASCII, t = 0-based index of the key, i = row-major index of the element
 *   x = i + 7919 t; three times { x = (1103515245 x + 12345) mod 2^31; x = x xor (x >> 15) };  s = 2 x / 2^31 - 1
 *   LayerNorm weights 1 + 0.1 s; biases 0.05 s; logit_scale ln(100)
 *   scheme 'flat' (golden/tiny-forward.json): everything else 0.25 s
 *   scheme 'fan-in' (full size, keeps activations of order 1): matrices of the blocks and the patch convolution
 *   sqrt(3 / fan_in) s with fan_in the product of all dimensions but the first, in_proj_weight 1.5 times that (with 1
 *   attention only averages and all images look alike, from 2 on it switches and magnifies rounding); everything else 0.25 s
 *
 * computed in float64, stored as float32.
 */

export type WeightScheme = 'flat' | 'fan-in';

export interface Network {
  embedDim: number;
  imageSize: number;
  patchSize: number;
  visionWidth: number;
  visionLayers: number;
  contextLength: number;
  vocabSize: number;
  textWidth: number;
  textLayers: number;
  /** Widths of the blocks' hidden layers; 4 times the tower's when absent. */
  visionMlp?: number;
  textMlp?: number;
}

const VIT_B = { embedDim: 512, imageSize: 224, visionWidth: 768, visionLayers: 12 };
const TEXT = { contextLength: 77, vocabSize: 49408, textLayers: 12 };

/** Spec 1.1, and the toy size of golden/tiny-forward.json. */
export const NETWORKS = {
  tiny: {
    embedDim: 8,
    imageSize: 32,
    patchSize: 16,
    visionWidth: 64,
    visionLayers: 2,
    contextLength: 12,
    vocabSize: 40,
    textWidth: 16,
    textLayers: 2,
  },
  'ViT-B-16': { ...VIT_B, patchSize: 16, ...TEXT, textWidth: 512 },
  'ViT-B-32': { ...VIT_B, patchSize: 32, ...TEXT, textWidth: 512 },
  'ViT-L-14': {
    embedDim: 768,
    imageSize: 224,
    visionWidth: 1024,
    visionLayers: 24,
    patchSize: 14,
    ...TEXT,
    textWidth: 768,
  },
} as const satisfies Record<string, Network>;

const PROMPTS = 16;

/** The state dict of spec 1.8: key → shape; without the "no" keys that of a plain CLIP. */
export function stateDictShapes(network: Network, kind: 'clipn' | 'clip' = 'clipn'): Map<string, number[]> {
  const { embedDim, patchSize, visionWidth, contextLength, vocabSize, textWidth } = network;
  const shapes: Record<string, number[]> = { logit_scale: [] };
  const norm = (name: string, width: number) => {
    shapes[`${name}.weight`] = [width];
    shapes[`${name}.bias`] = [width];
  };
  const linear = (weight: string, bias: string, out: number, into: number) => {
    shapes[weight] = [out, into];
    shapes[bias] = [out];
  };
  const blocks = (tower: string, layers: number, width: number, mlp = 4 * width) => {
    for (let layer = 0; layer < layers; layer++) {
      const block = `${tower}.resblocks.${layer}`;
      norm(`${block}.ln_1`, width);
      norm(`${block}.ln_2`, width);
      linear(`${block}.attn.in_proj_weight`, `${block}.attn.in_proj_bias`, 3 * width, width);
      linear(`${block}.attn.out_proj.weight`, `${block}.attn.out_proj.bias`, width, width);
      linear(`${block}.mlp.c_fc.weight`, `${block}.mlp.c_fc.bias`, mlp, width);
      linear(`${block}.mlp.c_proj.weight`, `${block}.mlp.c_proj.bias`, width, mlp);
    }
  };
  shapes['visual.class_embedding'] = [visionWidth];
  shapes['visual.positional_embedding'] = [(network.imageSize / patchSize) ** 2 + 1, visionWidth];
  shapes['visual.conv1.weight'] = [visionWidth, 3, patchSize, patchSize];
  shapes['visual.proj'] = [visionWidth, embedDim];
  norm('visual.ln_pre', visionWidth);
  norm('visual.ln_post', visionWidth);
  blocks('visual.transformer', network.visionLayers, visionWidth, network.visionMlp);
  for (const no of kind === 'clipn' ? ['', '_no'] : ['']) {
    shapes[`positional_embedding${no}`] = [contextLength, textWidth];
    shapes[`text_projection${no}`] = [textWidth, embedDim];
    shapes[`token_embedding${no}.weight`] = [vocabSize, textWidth];
    norm(`ln_final${no}`, textWidth);
    blocks(`transformer${no}`, network.textLayers, textWidth, network.textMlp);
  }
  if (kind === 'clipn') shapes['prompt_no'] = [PROMPTS, contextLength, textWidth];
  return new Map(Object.entries(shapes));
}

/** Multiplier and addend of s for one tensor. */
export function amplitude(
  key: string,
  shape: readonly number[],
  scheme: WeightScheme,
): { scale: number; shift: number } {
  if (key === 'logit_scale') return { scale: 0, shift: Math.log(100) };
  if (/(^|\.)ln_\w+\.weight$/.test(key)) return { scale: 0.1, shift: 1 };
  if (key.endsWith('bias')) return { scale: 0.05, shift: 0 };
  const isMatrix = /resblocks\..*weight$|conv1\.weight$/.test(key);
  if (scheme === 'flat' || !isMatrix) return { scale: 0.25, shift: 0 };
  const gain = key.endsWith('in_proj_weight') ? 1.5 : 1;
  return { scale: gain * Math.sqrt(3 / shape.slice(1).reduce((product, size) => product * size, 1)), shift: 0 };
}

/** Writes elements first … first + out.length of the tensor number `t` to `out`. */
export function fillSeeded(
  out: Float32Array,
  t: number,
  first: number,
  { scale, shift }: { scale: number; shift: number },
) {
  for (let j = 0; j < out.length; j++) {
    let x = first + j + 7919 * t;
    for (let round = 0; round < 3; round++) {
      x = (Math.imul(1103515245, x) + 12345) & 0x7fffffff;
      x ^= x >> 15;
    }
    out[j] = shift + scale * ((2 * x) / 2 ** 31 - 1);
  }
}
