/** 95 % confidence intervals of the metrics. What each assumes and covers: docs/metrics.md. Pure. */
import { assertArguments } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { beta, uniformSource } from '../base/random';
import { binomialMass } from './binomial';
import { type Roc, twiceWins } from './roc';

/** 95 % confidence interval. */
export interface Interval {
  /** Its lower end. */
  low: number;
  /** Its upper end. */
  high: number;
}

/** The 0.975 quantile of the standard normal distribution. */
const Z = 1.959963984540054;

/**
 * Wilson's score interval of a share, e.g. of the ID accuracy.
 *
 * @throws ERR_CLIPN_INVALID_ARG unless 0 ≤ successes ≤ total and total ≥ 1
 */
export function wilsonInterval(successes: number, total: number): Interval {
  assertArguments({ successes: ['number', successes], total: ['number', total] });
  if (!(total >= 1 && successes >= 0 && successes <= total)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `there is no share of ${successes} in ${total}`);
  }
  const centre = (successes + Z ** 2 / 2) / (total + Z ** 2);
  const half = (Z / (total + Z ** 2)) * Math.sqrt((successes * (total - successes)) / total + Z ** 2 / 4);
  return {
    low: successes === 0 ? 0 : Math.max(0, centre - half),
    high: successes === total ? 1 : Math.min(1, centre + half),
  };
}

/**
 * The exact interval of a share (Clopper and Pearson, 1934): the rates at which this many successes, or more, and this many,
 * or fewer, are not rarer than `confidence` allows. It holds the true rate at least as often as `confidence` says, whatever
 * the rate. `lower` and `upper` are bounds on one side, at the full confidence; the other end is then 1 or 0.
 *
 * @param successes whole, as is `total`
 * @throws ERR_CLIPN_INVALID_ARG unless 0 ≤ successes ≤ total, total ≥ 1 and 0 < confidence < 1
 */
export function clopperPearson(
  successes: number,
  total: number,
  confidence: number,
  side: 'both' | 'lower' | 'upper' = 'both',
): Interval {
  const whole = Number.isSafeInteger(successes) && Number.isSafeInteger(total);
  if (!(whole && total >= 1 && successes >= 0 && successes <= total)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `there is no share of ${successes} in ${total}`);
  }
  if (!(confidence > 0 && confidence < 1)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `confidence must lie between 0 and 1, not be ${confidence}`);
  }
  const tail = (1 - confidence) / (side === 'both' ? 2 : 1);
  const hasLow = side !== 'upper' && successes > 0;
  const hasHigh = side !== 'lower' && successes < total;
  return {
    low: hasLow ? leastRate(total, successes, tail) : 0,
    // Failures instead of successes.
    high: hasHigh ? 1 - leastRate(total, total - successes, tail) : 1,
  };
}

/** The rate at which `least` or more successes of n have this probability, to the last bit: it rises with the rate. */
function leastRate(n: number, least: number, probability: number): number {
  let [low, high] = [0, 1];
  while (true) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return middle;
    const { first, mass } = binomialMass(n, middle, 1e-20);
    const reached = mass.reduceRight((sum, weight, i) => (first + i >= least ? sum + weight : sum), 0);
    if (reached < probability) low = middle;
    else high = middle;
  }
}

/**
 * DeLong's variance of the AUROC (DeLong, DeLong and Clarke-Pearson, 1988), exact with ties: the variances of the shares
 * of OOD scores below each ID score and of ID scores above each OOD score, ties counting half. NaN for a set of one.
 */
function delongVariance(roc: Roc): number {
  const { tp, fp, nId, nOod } = roc;
  const twice = twiceWins(roc);
  // Deviations in units of 1 / (2 nId nOod) are whole numbers: where there is no variance, it is exactly zero.
  let [ofId, ofOod] = [0, 0];
  let [tpBefore, fpBefore] = [0, 0];
  for (let k = 0; k < tp.length; k++) {
    const below = nId * (2 * nOod - fpBefore - fp[k]!) - twice;
    const above = nOod * (tpBefore + tp[k]!) - twice;
    ofId += (tp[k]! - tpBefore) * below ** 2;
    ofOod += (fp[k]! - fpBefore) * above ** 2;
    [tpBefore, fpBefore] = [tp[k]!, fp[k]!];
  }
  return (ofId / (nId * (nId - 1)) + ofOod / (nOod * (nOod - 1))) / (2 * nId * nOod) ** 2;
}

/** Of the AUROC: DeLong's variance on the logit scale; Newcombe's interval where that variance is zero or unknown. */
export function aurocInterval(roc: Roc): Interval {
  const auroc = twiceWins(roc) / (2 * roc.nId * roc.nOod);
  const variance = delongVariance(roc);
  if (!(variance > 0)) return newcombeInterval(roc, auroc);
  const logit = Math.log(auroc / (1 - auroc));
  const half = (Z * Math.sqrt(variance)) / (auroc * (1 - auroc));
  const back = (x: number) => 1 / (1 + Math.exp(-x));
  return { low: back(logit - half), high: back(logit + half) };
}

/** All θ whose Hanley-McNeil standard error puts the AUROC within Z of them (Newcombe, 2006, method 5). */
function newcombeInterval({ nId, nOod }: Roc, auroc: number): Interval {
  const others = (nId + nOod) / 2 - 1;
  const distance = (theta: number) => {
    const shape = 1 + others * ((1 - theta) / (2 - theta) + theta / (1 + theta));
    return Math.abs(auroc - theta) - Z * Math.sqrt((theta * (1 - theta) * shape) / (nId * nOod));
  };
  const edge = (outside: number) => {
    let inside = auroc;
    for (let i = 0; i < 60; i++) {
      const middle = (inside + outside) / 2;
      if (distance(middle) <= 0) inside = middle;
      else outside = middle;
    }
    return inside;
  };
  return { low: edge(0), high: edge(1) };
}

const DRAWS = 10_000;

/**
 * Of the false-positive rate at ID recall 0.95, by simulation with a fixed seed. It has two sources of doubt. Where the
 * true 95 % threshold lies among our ID scores: the number of scores above it is Binomial(nId, 0.95), whatever their
 * distribution. And the rate there: with x OOD scores above it, Beta(x + ½, nOod − x + ½) (Jeffreys). The interval holds
 * the middle 95 % of the draws, and always `estimate`.
 */
export function fprAtIdTpr95Interval(roc: Roc, estimate: number): Interval {
  const uniform = uniformSource(95);
  const rates = new Float64Array(DRAWS);
  let draw = 0;
  for (const { share, fpFrom, fpTo } of thresholdsAt95(roc)) {
    // A draw per equal part of the binomial's mass.
    for (; draw < DRAWS && (draw + 0.5) / DRAWS <= share; draw++) {
      const x = fpFrom + uniform() * (fpTo - fpFrom);
      rates[draw] = beta(x + 0.5, roc.nOod - x + 0.5, uniform);
    }
  }
  rates.sort();
  return {
    low: Math.min(estimate, rates[Math.floor(0.025 * DRAWS)]!),
    high: Math.max(estimate, rates[Math.ceil(0.975 * DRAWS) - 1]!),
  };
}

/** Where j of the ID scores lie above the true threshold: the binomial's mass up to j, and the ROC's false positives there. */
function* thresholdsAt95(roc: Roc): Generator<{ share: number; fpFrom: number; fpTo: number }> {
  const { first, mass } = binomialMass(roc.nId, 0.95);
  let share = 0;
  let k = 0;
  for (const [offset, weight] of mass.entries()) {
    const j = first + offset;
    share = offset === mass.length - 1 ? 1 : share + weight;
    while (tpAt(roc, k) < j) k++;
    const fpFrom = fpBetween(roc, k, j);
    while (k < roc.tp.length && tpAt(roc, k + 1) === j) k++;
    yield { share, fpFrom, fpTo: tpAt(roc, k) === j ? fpAt(roc, k) : fpFrom };
  }
}

/** Vertex k of the ROC; vertex 0 is (0, 0). */
const tpAt = ({ tp }: Roc, k: number) => (k === 0 ? 0 : tp[k - 1]!);
const fpAt = ({ fp }: Roc, k: number) => (k === 0 ? 0 : fp[k - 1]!);

/** False positives where the line from vertex k − 1 to vertex k has j true positives. */
function fpBetween(roc: Roc, k: number, j: number): number {
  if (k === 0) return 0;
  const part = (j - tpAt(roc, k - 1)) / (tpAt(roc, k) - tpAt(roc, k - 1));
  return fpAt(roc, k - 1) + part * (fpAt(roc, k) - fpAt(roc, k - 1));
}
