/**
 * The scores of an evaluation, in the order of its tables. Most are read off the core's fused pass and stand here; one that
 * computes something of its own is a file beside this one.
 */
import { glMcm } from './gl-mcm';
import { negLabel } from './neg-label';
import { ole } from './ole';
import type { Scorer } from './scorer';

export type { Need, ScoreBlock, Scorer } from './scorer';

/**
 * CTW, "competing to win" (CLIPN, ICCV 2023; spec 3): ctw = p_yes,ĵ = σ(a_ĵ − b_ĵ), ĵ = argmax_j a_j. In [0, 1].
 * Higher = more in-distribution. In fp32 it is 1 from a gap of 17 on: `gap` ranks the same without ties.
 */
const ctw: Scorer = {
  name: 'ctw',
  formula: 'p_yes of the top label: σ(a_ĵ − b_ĵ), ĵ = argmax a',
  source: 'CLIPN (ICCV 2023), competing-to-win',
  needs: ['no tower'],
  read: ({ core }) => core.ctw,
};

/**
 * ATD, "agreeing to differ" (CLIPN, ICCV 2023; spec 3): atd = Σ_j p_j · p_yes,j = 1 − p(C+1), p = softmax(a). In [0, 1].
 * Higher = more in-distribution.
 */
const atd: Scorer = {
  name: 'atd',
  formula: 'Σ_j p_j · σ(a_j − b_j), p = softmax(a)',
  source: 'CLIPN (ICCV 2023), agreeing-to-differ',
  needs: ['no tower'],
  read: ({ core }) => core.atd,
};

/**
 * Gap: a_ĵ − b_ĵ, the log-odds of CTW. It ranks as CTW but does not saturate, so that it has no ties. A logit difference.
 * Higher = more in-distribution.
 */
const gap: Scorer = {
  name: 'gap',
  formula: 'a_ĵ − b_ĵ, ĵ = argmax a (log-odds of ctw)',
  source: 'The log-odds of CTW (CLIPN, ICCV 2023)',
  needs: ['no tower'],
  read: ({ core }) => core.gap,
};

/**
 * MSP, maximum softmax probability (Hendrycks and Gimpel, ICLR 2017), of the logits at scale s: max_j p_j. In [1/C, 1].
 * Higher = more in-distribution. Not MCM: that takes the softmax of the bare cosines.
 */
const msp: Scorer = {
  name: 'msp',
  formula: 'max_j softmax(a)_j, a = s · cosine',
  source: 'Hendrycks and Gimpel (ICLR 2017)',
  needs: [],
  read: ({ core }) => core.msp,
};

/** MaxLogit (Hendrycks et al., ICML 2022): max_j a_j, which ranks as the largest cosine. Higher = more in-distribution. */
const maxLogit: Scorer = {
  name: 'maxLogit',
  formula: 'max_j a_j',
  source: 'Hendrycks et al. (ICML 2022)',
  needs: [],
  read: ({ core }) => core.maxLogit,
};

/**
 * Energy (Liu et al., NeurIPS 2020), sign turned: log Σ_j exp(a_j), no temperature beyond s (spec 3). The paper's energy is
 * its negative. Higher = more in-distribution.
 */
const energy: Scorer = {
  name: 'energy',
  formula: 'log Σ_j exp(a_j)',
  source: 'Liu et al. (NeurIPS 2020), negated',
  needs: [],
  read: ({ core }) => core.energy,
};

/**
 * MCM, maximum concept matching (Ming et al., NeurIPS 2022): max_j softmax(cosines / T)_j with T = 1 on the bare cosines
 * (spec 3). In [1/C, 1], and for many labels close to 1/C. Higher = more in-distribution.
 */
const mcm: Scorer = {
  name: 'mcm',
  formula: 'max_j softmax(cosines)_j, T = 1',
  source: 'Ming et al. (NeurIPS 2022)',
  needs: [],
  read: ({ core }) => core.mcm,
};

/** @param lambda of GL-MCM; 1 (the paper's) when absent */
export function builtInScorers(lambda?: number): Scorer[] {
  return [ctw, atd, gap, msp, maxLogit, energy, mcm, glMcm(lambda), negLabel, ole];
}
