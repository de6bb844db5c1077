/** The scores of an evaluation, in the order of its tables. A new one is a file here and a line below. */
import { atd } from './atd';
import { ctw } from './ctw';
import { energy } from './energy';
import { gap } from './gap';
import { glMcm } from './gl-mcm';
import { maxLogit } from './max-logit';
import { mcm } from './mcm';
import { msp } from './msp';
import { negLabel } from './neg-label';
import type { Scorer } from './scorer';

export type { Need, ScoreBlock, Scorer } from './scorer';

/** @param lambda of GL-MCM; 1 (the paper's) when absent */
export function builtInScorers(lambda?: number): Scorer[] {
  return [ctw, atd, gap, msp, maxLogit, energy, mcm, glMcm(lambda), negLabel];
}
