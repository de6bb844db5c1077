/**
 * A Bernoulli CUSUM: counts images that are `out` against the rate expected of them, and never falls below zero. Pure.
 * Reynolds and Stoumbos, "A CUSUM chart for monitoring a proportion when inspecting continuously" (1999).
 */
import { ClipnError } from '../base/errors';

export interface CusumOptions {
  /** Share of `out` while nothing changed, in (0, 1). */
  rate: number;
  /** Share of `out` to detect fastest, above `rate`. */
  rateToDetect: number;
  /** Wanted expected run time: images until a false alarm, on average, at `rate`. */
  ert: number;
}

/**
 * The sum moves over whole numbers, so that its run time is known exactly: up by `up` for an image that is `out`, down by
 * `down`, to zero at least, for every other, and an alarm from `threshold` on.
 */
export interface Cusum {
  up: number;
  down: number;
  threshold: number;
  /** Expected images until an alarm, from zero: at `rate`, which is at least the wanted, and at `rateToDetect`. */
  ert: number;
  delay: number;
}

/** The step, down / (up + down), may miss the best one by this part of its distance to either rate. */
const STEP_TOLERANCE = 0.05;
/** Below, 1 − rate loses its digits. */
const LEAST_RATE = 1e-9;
/** Multiplications for one run time, and numbers of its band; a design takes some twenty of them, so seconds in all. */
const MOST_WORK = 1e8;
const MOST_NUMBERS = 2.5e7;

/**
 * The likelihood ratio of the two rates says how far up and down to go: γ = r1 / r2 of the way down for an image that is
 * not `out`, r1 = log((1 − rate) / (1 − rateToDetect)), r2 = r1 + log(rateToDetect / rate). The nearest simple fraction
 * stands for γ, and the least threshold is taken whose run time reaches `ert`.
 *
 * @throws ERR_CLIPN_INVALID_ARG for rates that are none, or too close to each other; for an `ert` outside [1, 1e9]
 */
export function designCusum({ rate, rateToDetect, ert }: CusumOptions): Cusum {
  if (!(rate >= LEAST_RATE && rate < 1)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `rate must be at least ${LEAST_RATE} and below 1, not ${rate}`);
  }
  if (!(rateToDetect > rate && rateToDetect < 1)) {
    const message = `rateToDetect must lie between the rate of \`out\`, ${rate}, and 1, not be ${rateToDetect}`;
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', message);
  }
  if (!(ert >= 1 && ert <= 1e9)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `ert must lie between 1 and 1e9 images, not be ${ert}`);
  }
  const [down, up] = steps(rate, rateToDetect);
  const runTime = (threshold: number) => {
    if (threshold * up * down > MOST_WORK || threshold * (up + down) > MOST_NUMBERS) tooClose(rate, rateToDetect);
    return expectedRunTime({ up, down, threshold }, rate);
  };
  let high = up;
  while (runTime(high) < ert) high *= 2;
  let low = high === up ? 0 : high / 2;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (runTime(middle) < ert) low = middle;
    else high = middle;
  }
  const chart = { up, down, threshold: high };
  return { ...chart, ert: runTime(high), delay: expectedRunTime(chart, rateToDetect) };
}

/** The simplest fraction close enough to γ, as the steps down and up. */
function steps(rate: number, rateToDetect: number): [down: number, up: number] {
  const r1 = Math.log((1 - rate) / (1 - rateToDetect));
  const gamma = r1 / (r1 + Math.log(rateToDetect / rate));
  const tolerance = STEP_TOLERANCE * Math.min(gamma - rate, rateToDetect - gamma);
  for (let whole = 2; whole <= 10_000; whole++) {
    const down = Math.round(gamma * whole);
    if (Math.abs(down / whole - gamma) <= tolerance) return [down, whole - down];
  }
  return tooClose(rate, rateToDetect);
}

function tooClose(rate: number, rateToDetect: number): never {
  throw new ClipnError(
    'ERR_CLIPN_INVALID_ARG',
    `rateToDetect ${rateToDetect} is so close to the rate of \`out\`, ${rate}, or both so small, that telling them apart takes forever`,
    { hint: 'Give a rate to detect that lies further above, or a smaller `ert`.' },
  );
}

/** The sum after one more image; an alarm when it is at least `threshold`. */
export function addToCusum({ up, down }: Pick<Cusum, 'up' | 'down'>, sum: number, out: boolean): number {
  return out ? sum + up : Math.max(0, sum - down);
}

/**
 * Expected images until the sum, from zero, reaches the threshold when images are `out` with probability `rate`. Exact: with
 * E_i that of sum i, E_i = 1 + rate · E_(i + up) + (1 − rate) · E_max(0, i − down), and 0 from the threshold on. The matrix
 * of these equations has a band of `down` entries below the diagonal and `up` above, and is solved by elimination.
 */
export function expectedRunTime({ up, down, threshold }: Omit<Cusum, 'ert' | 'delay'>, rate: number): number {
  const width = down + 1 + up;
  const band = new Float64Array(threshold * width);
  const right = new Float64Array(threshold).fill(1);
  /** Where the entry of this row and column lies. */
  const at = (row: number, column: number) => row * width + column - row + down;
  for (let i = 0; i < threshold; i++) {
    band[at(i, i)]! += 1;
    band[at(i, Math.max(0, i - down))]! -= 1 - rate;
    if (i + up < threshold) band[at(i, i + up)]! -= rate;
  }
  for (let i = 0; i < threshold; i++) {
    const lastColumn = Math.min(threshold - 1, i + up);
    for (let row = i + 1; row <= Math.min(threshold - 1, i + down); row++) {
      const factor = band[at(row, i)]! / band[at(i, i)]!;
      if (factor === 0) continue;
      for (let column = i; column <= lastColumn; column++) band[at(row, column)]! -= factor * band[at(i, column)]!;
      right[row]! -= factor * right[i]!;
    }
  }
  for (let i = threshold - 1; i >= 0; i--) {
    let value = right[i]!;
    for (let column = i + 1; column <= Math.min(threshold - 1, i + up); column++) {
      value -= band[at(i, column)]! * right[column]!;
    }
    right[i] = value / band[at(i, i)]!;
  }
  return right[0]!;
}
