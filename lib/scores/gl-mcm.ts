/**
 * GL-MCM (Miyai et al., IJCV 2025): mcm + λ · max over patches r and labels j of softmax_j(⟨v_r, g_j⟩), T = 1, v_r the unit
 * feature of patch r. λ = 1, the paper's, unless another is asked for. Higher = more in-distribution.
 *
 * v_r is what the model file's `encode_image_patches` gives: the last block's output, projected as the image's own.
 * The paper takes the value path of the last block instead (each token's value through the output projection and the
 * MLP, without attention between patches), so figures are not the paper's.
 */
import type { Scorer } from './scorer';

export const GL_MCM_LAMBDA = 1;

export function glMcm(lambda = GL_MCM_LAMBDA): Scorer {
  return {
    name: 'glMcm',
    formula: `mcm + ${lambda} · max_r mcm(v_r), v_r the features of the image's patches (last block's output)`,
    source: 'Miyai et al. (IJCV 2025), with tokens in place of its value path',
    needs: ['patches'],
    read: ({ core, patchMcm }) => Float64Array.from(core.mcm, (value, i) => value + lambda * patchMcm![i]!),
  };
}
