/** Which images of a batch to call OOD, so that few of those called so are really ID: false-discovery control. Pure. */
import { assertArguments, assertOptionNames, type OptionNames, shown } from '../base/arguments';
import { ClipnError } from '../base/errors';

/** What `select` reads of an answer: the p-value of a calibrated detector, or that there is none. */
export type SelectInput = { pValue?: number } | { error: unknown };

/**
 * Procedures that keep the false discovery rate.
 *
 * - `bh`: Benjamini and Hochberg (1995); holds for conformal p-values of one calibration (Bates et al., Annals of
 *   Statistics 2023)
 * - `by`: Benjamini and Yekutieli (2001); holds whatever the p-values' dependence, and flags fewer
 */
export type SelectMethod = 'bh' | 'by';

/** Options of `select`. */
export interface SelectOptions {
  /** False discovery rate, in (0, 1): of the flagged images at most this share is ID, on average over batches. */
  alpha: number;
  /** Default `bh`. */
  method?: SelectMethod;
}

/** What `select` found. */
export interface Selection {
  /** Indices of the flagged results in their order, counted from 0. */
  flagged: number[];
  /** Flagged is whose pValue is at most this; 0 when none is. */
  cut: number;
  /** For each result the least alpha that flags it, in [0, 1]; null for an image that could not be read. */
  adjusted: (number | null)[];
  /** Results with a p-value. */
  judged: number;
  /** Images that could not be read: neither flagged nor counted among the judged. */
  failures: number;
}

/** Rounding of p-values such as 1 / 20000 must not decide where the bound is met exactly. */
const SLACK = 1 + 1e-9;

/**
 * Flags the images of a batch that are none of the classes, at a chosen false discovery rate. The null hypothesis is that an
 * image is ID: a flagged one is said to be OOD, and of the flagged at most `alpha` are ID on average, whatever the share of
 * OOD images in the batch. A single verdict promises nothing of the kind: where few images are OOD, most `out` are ID.
 *
 * @param results answers of a detector with a calibration of `calibrate`, all of the same one, as one batch
 * @throws ERR_CLIPN_CALIBRATION for a result without a p-value; ERR_CLIPN_INVALID_ARG for one outside [0, 1], an alpha that
 *   is no share, or an unknown method
 */
export function select(results: readonly SelectInput[], options: SelectOptions): Selection {
  assertArguments({ results: ['list', results], options: ['record', options] });
  assertOptionNames('select', options, IMAGES_NEEDED_OPTIONS); // what was asked of `imagesNeeded` is taken as it is
  const method = methodOf(options.method);
  const alpha = share('alpha', options.alpha);
  const values = Array.from(results, pValueOf);
  const judged = values.flatMap((p, index) => (p === null ? [] : [{ index, p }])).sort((a, b) => a.p - b.p);

  const m = judged.length;
  const factor = method === 'by' ? harmonic(m) : 1;
  const adjusted: (number | null)[] = Array(values.length).fill(null);
  let [least, cut] = [1, 0];
  for (let rank = m; rank >= 1; rank--) {
    const { index, p } = judged[rank - 1]!;
    least = Math.min(least, (p * factor * m) / rank);
    adjusted[index] = least;
    if (least <= alpha * SLACK) cut = Math.max(cut, p);
  }
  const flagged = values.flatMap((_, index) => ((adjusted[index] ?? 2) <= alpha * SLACK ? [index] : []));
  return { flagged, cut, adjusted, judged: m, failures: values.length - m };
}

/** Options of `imagesNeeded`. */
export interface ImagesNeededOptions extends SelectOptions {
  /** Images of a batch. */
  images: number;
  /** Images among them that shall be flagged, at least 1. */
  flagged: number;
}

const IMAGES_NEEDED_OPTIONS: OptionNames<ImagesNeededOptions> = {
  alpha: true,
  method: true,
  images: true,
  flagged: true,
};

/**
 * The fewest calibration images with which `select` can flag `flagged` of `images`. A p-value is at least 1 / (n + 1), so
 * that k of m can only be flagged at rate alpha when n ≥ m / (alpha · k) − 1, and by `by` (1 + ½ + … + 1/m) times as many.
 * With fewer none of them is flagged, however odd they look.
 *
 * @throws ERR_CLIPN_INVALID_ARG
 */
export function imagesNeeded(options: ImagesNeededOptions): number {
  assertArguments({ options: ['record', options] });
  assertOptionNames('imagesNeeded', options, IMAGES_NEEDED_OPTIONS);
  const { images, flagged } = options;
  const method = methodOf(options.method);
  const alpha = share('alpha', options.alpha);
  if (!(Number.isSafeInteger(images) && Number.isSafeInteger(flagged) && flagged >= 1 && flagged <= images)) {
    const given = `${shown(flagged)} of ${shown(images)}`;
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `flagged of images must be whole numbers from 1 up, not ${given}`);
  }
  const factor = method === 'by' ? harmonic(images) : 1;
  return Math.max(1, Math.ceil((factor * images) / (alpha * flagged) / SLACK) - 1);
}

function pValueOf(result: unknown, index: number): number | null {
  if (typeof result !== 'object' || result === null) {
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `result ${index} (counted from 0) is ${shown(result)}, not an answer`,
    );
  }
  if ('error' in result) return null;
  const value = (result as { pValue?: unknown }).pValue;
  if (value === undefined || value === null) {
    throw new ClipnError('ERR_CLIPN_CALIBRATION', `result ${index} (counted from 0) has no pValue`, {
      hint: 'Give the detector a calibration of `calibrate`; on the command line `check --calibration FILE`.',
      details: { index },
    });
  }
  if (!(typeof value === 'number' && value >= 0 && value <= 1)) {
    const message = `pValue of result ${index} (counted from 0) must be in [0, 1], not ${shown(value)}`;
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', message, { details: { index } });
  }
  return value;
}

function methodOf(method: unknown): SelectMethod {
  if (method === undefined || method === 'bh' || method === 'by') return method ?? 'bh';
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `method must be 'bh' or 'by', not ${shown(method)}`);
}

function share(name: string, value: unknown): number {
  if (typeof value === 'number' && value > 0 && value < 1) return value;
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${name} must lie between 0 and 1, not be ${shown(value)}`);
}

/** 1 + ½ + … + 1/m; beyond a thousand terms by Euler's and Maclaurin's sum, whose error is below 1e-14. */
function harmonic(m: number): number {
  if (m > 1000) return Math.log(m) + 0.5772156649015329 + 1 / (2 * m) - 1 / (12 * m ** 2);
  let sum = 0;
  for (let i = m; i >= 1; i--) sum += 1 / i;
  return sum;
}
