/** Calibrations: thresholds on one score, fitted by `calibrate` or written by hand, and their files. docs/calibration.md */

import { writeFile } from 'node:fs/promises';
import { assertArguments, isRecord } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { isSha256, jsonHash } from '../base/json-hash';
import { readText } from '../base/list-file';
import { parseJson } from '../base/parse-json';
import { writeThenRename } from '../base/write-file';
import type { FirstPrecision } from '../native/placement';
import { DECIDING_SCORES, type DecidingScore, needsNegatives, type Scores } from '../scores/names';
import { pValueOf } from './conformal';
import { assertCost, type Cost } from './cost';
import type { FittedFor } from './fitted-for';

/** `score >= in` is in, `score < out` is out, between the two a person should look. */
interface Thresholds {
  /** The score that is compared. */
  score: DecidingScore;
  /** `in` from this on. */
  in: number;
  /** `out` below this; the same as `in` without a `review` between. */
  out: number;
}

/** Thresholds chosen by hand. The file is this object as JSON. */
export interface HandCalibration extends Thresholds {
  /** Tells the kinds of files apart. */
  formatVersion: 1;
  /** When given, the model the thresholds were chosen for; another one is refused. */
  contentId?: string;
  /** As `contentId`, for the templates: their SHA-256. */
  templates?: string;
}

/** Thresholds fitted by `calibrate`. The file is this object as JSON, and its `sha256`. */
export interface FittedCalibration extends Thresholds {
  /** Tells the kinds of files apart. */
  formatVersion: 3;
  /** Share of ID images that are not `out`; absent where `cost` chose the threshold. */
  target?: number;
  /** How sure the target is, over draws of the images; absent where it is kept on average. */
  confidence?: number;
  /** Share of ID images whose verdict is `review`; absent without. */
  review?: number;
  /** What chose the threshold instead of a target. */
  cost?: Cost;
  /** ID images it was fitted on. */
  images: number;
  /** Scores of ID images, ascending, less the offsets if there are any: what ranks and p-values count. */
  scores: number[];
  /** With a threshold for each class: [C], taken from the score of an image whose top label it is, in order of the labels. */
  offsets?: number[];
  /**
   * Of a guarded model: how far its first tower was from fp32 on these images and the OOD images given
   * (docs/precision.md).
   */
  guard?: FittedGuard;
  /** ISO 8601. */
  created: string;
  /** What it was fitted for; anything else is refused. */
  fittedFor: FittedFor;
}

/** Margins measured on the images of a calibration. */
export interface FittedGuard {
  /** The arithmetic that was compared with fp32. */
  first: FirstPrecision;
  /** Images that were compared. */
  images: number;
  /** Of the calibration's score, at least 0: a share in log-odds, else in the score's unit. */
  score: number;
  /** Of the border to another label, a length between unit features, at least 0. */
  label: number;
}

/** As `calibrate` wrote it in earlier versions: one threshold, without the scores, so that there are no p-values. */
export interface EarlierCalibration extends Thresholds {
  /** Tells the kinds of files apart. */
  formatVersion: 2;
  /** Share of ID images that are not `out`. */
  target: number;
  /** ID images it was fitted on. */
  images: number;
  /** ISO 8601. */
  created: string;
  /** What it was fitted for; anything else is refused. */
  fittedFor: FittedFor;
}

/** What `createDetector` takes: of `calibrate`, or by hand. docs/calibration.md */
export type Calibration = HandCalibration | EarlierCalibration | FittedCalibration;

const EDITED =
  'The file is damaged or was edited, and what it promises holds for the fitted threshold alone: calibrate again. ' +
  'Thresholds by hand stand in a file of formatVersion 1 without sha256 (docs/calibration.md).';

type Check = readonly [valid: (value: unknown) => boolean, expected: string];

const HASH: Check = [isSha256, 'a SHA-256'];
const TEXT: Check = [(v) => typeof v === 'string' && v !== '', 'a string'];
const NUMBER: Check = [(v) => Number.isFinite(v), 'a number'];

const THRESHOLDS: Record<keyof Thresholds, Check> = {
  score: [(v) => DECIDING_SCORES.includes(v as DecidingScore), `one of ${DECIDING_SCORES.join(', ')}`],
  in: NUMBER,
  out: NUMBER,
};
const OPTIONAL: Record<'contentId' | 'templates', Check> = { contentId: TEXT, templates: TEXT };
const SHARE: Check = [(v) => typeof v === 'number' && v > 0 && v < 1, 'a number between 0 and 1'];
const EARLIER: Record<'target' | 'images' | 'created', Check> = {
  target: SHARE,
  images: [(v) => Number.isSafeInteger(v) && (v as number) > 0, 'a whole number of at least 1'],
  created: [(v) => typeof v === 'string' && !Number.isNaN(Date.parse(v)), 'a date'],
};
const isNumbers = (v: unknown) => Array.isArray(v) && v.length > 0 && v.every(Number.isFinite);
const isAscending = (v: readonly number[]) => v.every((score, i) => i === 0 || v[i - 1]! <= score);
const FITTED: Record<'images' | 'created' | 'scores', Check> = {
  images: EARLIER.images,
  created: EARLIER.created,
  scores: [(v) => isNumbers(v) && isAscending(v as number[]), 'ascending numbers'],
};
const FITTED_OPTIONAL: Record<'target' | 'confidence' | 'review' | 'cost' | 'offsets' | 'guard', Check> = {
  target: SHARE,
  confidence: SHARE,
  review: SHARE,
  cost: [isCost, 'falseAccept, falseReject and oodShare'],
  offsets: [isNumbers, 'numbers'],
  guard: [isGuard, "first 'int8' or 'bf16', images, and score and label of at least 0"],
};
const FITTED_FOR: Record<Exclude<keyof FittedFor, 'negatives'>, Check> = {
  contentId: HASH,
  scale: NUMBER,
  preprocessing: HASH,
  exif: [(v) => typeof v === 'boolean', 'true or false'],
  precision: TEXT,
  labels: HASH,
  templates: HASH,
};

type Fitted = FittedCalibration | EarlierCalibration;

function isGuard(value: unknown): boolean {
  if (!isRecord(value) || Object.keys(value).sort().join() !== 'first,images,label,score') return false;
  const isMargin = (margin: unknown) => Number.isFinite(margin) && (margin as number) >= 0;
  const { first, images, score, label } = value;
  return (first === 'int8' || first === 'bf16') && EARLIER.images[0](images) && isMargin(score) && isMargin(label);
}

function isCost(value: unknown): boolean {
  try {
    assertCost(value as Cost);
    return Object.keys(value as Cost).length === 3;
  } catch {
    return false;
  }
}

/** SHA-256 of a fitted calibration: of its JSON without white space, keys of all objects in alphabetical order. */
function fittedHash(calibration: Fitted): string {
  const sorted = (of: object): object =>
    Object.fromEntries(
      Object.entries(of)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => [key, isRecord(value) ? sorted(value) : value]),
    );
  return jsonHash(sorted(calibration));
}

/**
 * Checks every field of a calibration; those of `calibrate` may have no other, and must be as `saveCalibration` wrote them.
 * `sha256`, which it adds and older files lack, is no part of the result.
 *
 * @param name what messages call it
 * @throws ERR_CLIPN_CALIBRATION naming the field
 */
export function parseCalibration(value: unknown, name: string): Calibration {
  const refuse = (what: string, hint?: string): never => {
    throw new ClipnError('ERR_CLIPN_CALIBRATION', `${name}: ${what}`, { ...(hint && { hint }), details: { name } });
  };
  const record = (of: unknown, what: string): Record<string, unknown> =>
    isRecord(of) ? { ...of } : refuse(`${what} is not an object`);
  const check = (of: Record<string, unknown>, checks: Record<string, Check>, prefix = '') => {
    for (const [key, [valid, expected]] of Object.entries(checks)) {
      if (!valid(of[key])) refuse(`${prefix}${key} must be ${expected}`);
    }
  };
  const only = (of: Record<string, unknown>, keys: readonly string[], prefix = '') => {
    const unknown = Object.keys(of).find((key) => !keys.includes(key));
    if (unknown !== undefined) refuse(`${prefix}${unknown} is unknown`);
  };

  const { sha256, ...root } = record(value, 'it');
  if (![1, 2, 3].includes(root['formatVersion'] as number)) refuse('formatVersion must be 1, 2 or 3');
  check(root, THRESHOLDS);
  if ((root['out'] as number) > (root['in'] as number)) refuse('out must not exceed in');
  if (root['formatVersion'] === 1) {
    check(root, given(root, OPTIONAL));
    if (sha256 !== undefined) refuse('sha256 belongs to a fitted calibration', EDITED);
    only(root, ['formatVersion', ...Object.keys(THRESHOLDS), ...Object.keys(OPTIONAL)]);
    return root as unknown as HandCalibration;
  }
  const required = root['formatVersion'] === 2 ? EARLIER : FITTED;
  const optional: Record<string, Check> = root['formatVersion'] === 2 ? {} : FITTED_OPTIONAL;
  check(root, required);
  check(root, given(root, optional));
  if (root['formatVersion'] === 3) assertPromise(root, refuse);
  // The promise of the target holds for one threshold.
  if (root['review'] === undefined && root['in'] !== root['out']) {
    refuse('in and out must be equal where there is no review');
  }
  const fittedFor = record(root['fittedFor'], 'fittedFor');
  const provenance = needsNegatives(root['score'] as string) ? { ...FITTED_FOR, negatives: HASH } : FITTED_FOR;
  check(fittedFor, provenance, 'fittedFor.');
  only(fittedFor, Object.keys(provenance), 'fittedFor.');
  const named = [THRESHOLDS, required, optional].flatMap(Object.keys);
  only(root, ['formatVersion', ...named, 'fittedFor']);
  const fitted = root as unknown as Fitted;
  if (sha256 !== undefined && sha256 !== fittedHash(fitted)) {
    refuse('it is not as `calibrate` wrote it: sha256 is that of something else', EDITED);
  }
  return fitted;
}

/** The checks of fields that are there. */
function given(root: Record<string, unknown>, checks: Record<string, Check>): Record<string, Check> {
  return Object.fromEntries(Object.entries(checks).filter(([key]) => root[key] !== undefined));
}

function assertPromise(root: Record<string, unknown>, refuse: (what: string) => void): void {
  const { images, scores, offsets } = root as { images: number; scores: number[]; offsets?: number[] };
  // With offsets half of the images gave these.
  if (scores.length !== (offsets ? Math.ceil(images / 2) : images)) refuse('images is not the number of scores');
  if ((root['target'] === undefined) === (root['cost'] === undefined)) refuse('it must have either target or cost');
  if (root['confidence'] !== undefined && root['target'] === undefined) refuse('confidence is that of a target');
}

/**
 * Reads and checks a calibration file.
 *
 * @throws ERR_CLIPN_CALIBRATION naming the field, ERR_CLIPN_IO when the file cannot be read
 */
export async function readCalibration(path: string): Promise<Calibration> {
  assertArguments({ path: ['text', path] });
  const text = await readText(path, 'ERR_CLIPN_CALIBRATION', 'ERR_CLIPN_IO');
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_CALIBRATION', `${path}: not JSON`, { cause, details: { path } });
  }
  const calibration = parseCalibration(value, path);
  if (calibration.formatVersion === 3 && (value as { sha256?: unknown }).sha256 === undefined) {
    throw new ClipnError('ERR_CLIPN_CALIBRATION', `${path}: sha256 is missing`, { hint: EDITED, details: { path } });
  }
  return calibration;
}

/**
 * Writes a calibration that `readCalibration` reads; the file appears under its name when it is whole.
 *
 * @throws ERR_CLIPN_CALIBRATION for one that could not be read again, ERR_CLIPN_IO
 */
export async function saveCalibration(calibration: Calibration, path: string): Promise<void> {
  assertArguments({ calibration: ['record', calibration], path: ['text', path] });
  const checked = parseCalibration(calibration, 'the calibration');
  const content = checked.formatVersion !== 1 ? { ...checked, sha256: fittedHash(checked) } : checked;
  const text = `${JSON.stringify(content, null, 2)}\n`;
  await writeThenRename(path, (temporary) => writeFile(temporary, text));
}

/** What is taken from the score of an image whose nearest label is `top`; 0 where classes have no thresholds of their own. */
export function offsetOf(calibration: Calibration, top: number): number {
  return calibration.formatVersion === 3 ? (calibration.offsets?.[top] ?? 0) : 0;
}

/**
 * The number that a calibration compares with its thresholds: the score, less the offset of the top label if it has any.
 * NaN when the image has no such score.
 *
 * @param top index of the nearest label
 */
export function calibratedScore(calibration: Calibration, scores: Partial<Scores>, top: number): number {
  return (scores[calibration.score] ?? Number.NaN) - offsetOf(calibration, top);
}

/** The p-value of "this image is ID" (`pValueOf`); undefined when the calibration holds no scores. */
export function calibratedPValue(calibration: Calibration, scores: Partial<Scores>, top: number): number | undefined {
  if (calibration.formatVersion !== 3) return undefined;
  return pValueOf(calibration.scores, calibratedScore(calibration, scores, top));
}

const NAMES: Record<keyof FittedFor, string> = {
  contentId: 'model',
  scale: 'scale',
  preprocessing: 'way of preprocessing',
  exif: 'EXIF orientation',
  precision: 'precision',
  labels: 'list of labels',
  templates: 'template set',
  negatives: 'list of negatives',
};

/**
 * @param labels C
 * @throws ERR_CLIPN_CALIBRATION naming everything that differs
 */
export function assertCalibrationFits(calibration: Calibration, used: FittedFor, labels: number): void {
  if (calibration.formatVersion === 3 && calibration.offsets && calibration.offsets.length !== labels) {
    const found = calibration.offsets.length;
    throw new ClipnError('ERR_CLIPN_CALIBRATION', `the calibration has offsets of ${found} classes, not of ${labels}`);
  }
  const fitted: Partial<FittedFor> = calibration.formatVersion === 1 ? calibration : calibration.fittedFor;
  const keys = Object.keys(NAMES) as (keyof FittedFor)[];
  const different = keys.filter((key) => fitted[key] !== undefined && fitted[key] !== used[key]);
  if (different.length === 0) return;
  const list = different.map((key) => `${NAMES[key]} (there ${short(fitted[key])}, here ${short(used[key])})`);
  throw new ClipnError('ERR_CLIPN_CALIBRATION', `the calibration was made for another ${list.join(', another ')}`, {
    ...(different.join() === 'exif' && {
      hint: 'Turn images here as there: `exif`, on the command line --exif of eval and --no-exif of check.',
    }),
    details: Object.fromEntries(different.map((key) => [key, { calibration: fitted[key], used: used[key] }])),
  });
}

function short(value: string | number | boolean | undefined): string {
  if (value === undefined) return 'none';
  if (typeof value === 'boolean') return value ? 'applied' : 'ignored';
  return typeof value === 'string' && value.length === 64 ? `${value.slice(0, 8)}…` : String(value);
}
