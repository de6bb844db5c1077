/**
 * ATD, "agreeing to differ" (CLIPN, ICCV 2023; spec 3): atd = Σ_j p_j · p_yes,j = 1 − p(C+1), p = softmax(a). In [0, 1].
 * Higher = more in-distribution.
 */
import type { Scorer } from './scorer';

export const atd: Scorer = {
  name: 'atd',
  formula: 'Σ_j p_j · σ(a_j − b_j), p = softmax(a)',
  source: 'CLIPN (ICCV 2023), agreeing-to-differ; spec 3',
  needs: ['no tower'],
  read: ({ core }) => core.atd,
};
