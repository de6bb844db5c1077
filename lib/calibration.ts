/** Calibration files: two thresholds on one score, fitted for one model and template set. */
import { readFile } from 'node:fs/promises';
import { ClipnError } from './errors';
import { DECIDING_SCORES, type DecidingScore } from './scores';

/**
 * `score >= in` is in, `score < out` is out, between the two a person should look.
 * The file is this object as JSON.
 */
export interface Calibration {
  formatVersion: 1;
  score: DecidingScore;
  in: number;
  out: number;
  /** When given, the model and templates the thresholds were fitted on; another one is refused. */
  contentId?: string;
  templates?: string;
}

function refuse(path: string, what: string): never {
  throw new ClipnError('ERR_CLIPN_CALIBRATION', `${path}: ${what}`, { details: { path } });
}

/** @throws ERR_CLIPN_CALIBRATION naming the field, ERR_CLIPN_IO when the file cannot be read */
export async function readCalibration(path: string): Promise<Calibration> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_IO', `cannot read the calibration file ${path}`, { cause, details: { path } });
  }
  let value: Partial<Calibration>;
  try {
    value = JSON.parse(text) as Partial<Calibration>;
  } catch {
    return refuse(path, 'not JSON');
  }
  if (typeof value !== 'object' || value === null) refuse(path, 'not a JSON object');
  if (value.formatVersion !== 1) refuse(path, 'formatVersion must be 1');
  if (!DECIDING_SCORES.includes(value.score as DecidingScore)) {
    refuse(path, `score must be one of ${DECIDING_SCORES.join(', ')}`);
  }
  if (!Number.isFinite(value.in)) refuse(path, 'in must be a number');
  if (!Number.isFinite(value.out)) refuse(path, 'out must be a number');
  if ((value.out as number) > (value.in as number)) refuse(path, 'out must not exceed in');
  for (const key of ['contentId', 'templates'] as const) {
    if (value[key] !== undefined && typeof value[key] !== 'string') refuse(path, `${key} must be a string`);
  }
  return value as Calibration;
}
