/** The threshold that costs least, when known OOD images are given. Pure. docs/calibration.md */
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { ascending, ranksOf } from './conformal';

/** What mistakes cost, in any unit, and how often OOD images come. */
export interface Cost {
  /** Of an OOD image that is accepted. */
  falseAccept: number;
  /** Of an ID image that is not. */
  falseReject: number;
  /** Share of OOD images among those to come, between 0 and 1. */
  oodShare: number;
}

const COST: OptionNames<Cost> = { falseAccept: true, falseReject: true, oodShare: true };

/** What `costThreshold` found. */
export interface CostThreshold {
  /** Accepted is a score of at least this. */
  threshold: number;
  /** Expected cost of an image, by the shares of the given images that the threshold accepts. */
  cost: number;
  /** Share of the ID images given that it accepts. */
  idAccepted: number;
  /** Share of the OOD images given that it accepts. */
  oodAccepted: number;
}

/** @throws ERR_CLIPN_INVALID_ARG */
export function assertCost(cost: Cost): void {
  assertOptionNames('cost', cost, COST);
  const { falseAccept, falseReject, oodShare } = cost;
  for (const [name, value] of Object.entries({ falseAccept, falseReject })) {
    if (typeof value === 'number' && value > 0 && value < Number.POSITIVE_INFINITY) continue;
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${name} must be a number above 0, not ${value}`);
  }
  if (typeof oodShare === 'number' && oodShare > 0 && oodShare < 1) return;
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `oodShare must lie between 0 and 1, not be ${oodShare}`);
}

/**
 * The ID score from which on accepting costs least: oodShare · falseAccept · (OOD accepted) + (1 − oodShare) · falseReject ·
 * (ID not accepted). Of equal costs the lowest threshold. It promises nothing for new images. O(n log n).
 *
 * @throws ERR_CLIPN_TOO_FEW_IMAGES without ID or OOD scores, ERR_CLIPN_SCORES for one that is not finite,
 *   ERR_CLIPN_INVALID_ARG for a cost that is none, or where rejecting every image costs less than any threshold
 */
export function costThreshold(idScores: ArrayLike<number>, oodScores: ArrayLike<number>, given: Cost): CostThreshold {
  assertArguments({ idScores: ['numbers', idScores], oodScores: ['numbers', oodScores], cost: ['record', given] });
  assertCost(given);
  const { falseAccept, falseReject, oodShare } = given;
  const [id, ood] = [ascending(idScores), ascending(oodScores)];
  if (id.length === 0 || ood.length === 0) {
    throw new ClipnError(
      'ERR_CLIPN_TOO_FEW_IMAGES',
      `a threshold by cost needs in-distribution and OOD images; there are ${id.length} and ${ood.length}`,
      { hint: 'Give images of both that can be read.' },
    );
  }
  let best: CostThreshold | undefined;
  for (let k = 0; k < id.length; k++) {
    if (k > 0 && id[k] === id[k - 1]) continue;
    const threshold = id[k]!;
    const idAccepted = 1 - k / id.length;
    const oodAccepted = 1 - ranksOf(ood, threshold).below / ood.length;
    const cost = oodShare * falseAccept * oodAccepted + (1 - oodShare) * falseReject * (1 - idAccepted);
    if (best === undefined || cost < best.cost) best = { threshold, cost, idAccepted, oodAccepted };
  }
  if (best!.cost > (1 - oodShare) * falseReject) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', 'at these costs it is cheapest to reject every image', {
      hint: 'Look at the costs and at oodShare. If they are right, this model and these labels do not pay.',
    });
  }
  return best!;
}
