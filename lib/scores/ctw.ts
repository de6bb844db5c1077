/**
 * CTW, "competing to win" (CLIPN, ICCV 2023; spec 3): ctw = p_yes,ĵ = σ(a_ĵ − b_ĵ), ĵ = argmax_j a_j. In [0, 1].
 * Higher = more in-distribution. In fp32 it is 1 from a gap of 17 on: `gap` ranks the same without ties.
 */
import type { Scorer } from './scorer';

export const ctw: Scorer = {
  name: 'ctw',
  formula: 'p_yes of the top label: σ(a_ĵ − b_ĵ), ĵ = argmax a',
  source: 'CLIPN (ICCV 2023), competing-to-win; spec 3',
  needs: ['no tower'],
  read: ({ core }) => core.ctw,
};
