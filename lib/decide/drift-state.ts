/** The state of a drift monitor as plain JSON, and its check when it comes back from a file. */
import { isRecord } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { isSha256 } from '../base/json-hash';
import { BETS, BINS, type Jumper, LARGEST_SEED } from './martingale';

/** Images no longer look like those of the calibration. */
export interface DriftAlarm {
  /** Which of the two watches raised it. */
  by: 'martingale' | 'cusum';
  /** Images observed when it was raised, this one included. */
  images: number;
  /** Its name, where it has one. */
  image?: string;
  /** The martingale, or the CUSUM's sum. */
  value: number;
  /** What it had to reach. */
  threshold: number;
}

/** What a monitor needs to go on, as plain JSON. Made by `monitor.state()`, not by hand: it is checked. */
export interface DriftState {
  /** Version of this format. */
  formatVersion: 1;
  /** Of the calibration: SHA-256 of its score's name, `out` and scores. */
  calibration: string;
  /** As given to `createDriftMonitor`, or their defaults; `rateToDetect` is null without a CUSUM, `rate` then of no use. */
  options: {
    villeThreshold: number;
    seed: number;
    rate: number;
    rateToDetect: number | null;
    ert: number;
  };
  /** Images observed. */
  images: number;
  /** How many of them were `out`. */
  out: number;
  /** Images that could not be read. */
  failures: number;
  /** Observed scores, rounded: how many lie in each bin, in rising order. */
  counts: [bin: number, count: number][];
  /** The martingale. */
  jumper: Jumper;
  /** The CUSUM's sum. */
  cusum: number;
  /** Those raised so far. */
  alarms: DriftAlarm[];
}

type Fields = Record<string, unknown>;
type Check = readonly [valid: (value: unknown) => boolean, expected: string];

const isCount = (v: unknown): v is number => Number.isSafeInteger(v) && (v as number) >= 0;
const isNumber = (v: unknown): v is number => typeof v === 'number' && Number.isFinite(v);
const isShare = (v: unknown) => isNumber(v) && v > 0 && v < 1;

/** Each [bin, count], bins rising. */
function areCounts(value: unknown): value is DriftState['counts'] {
  if (!Array.isArray(value)) return false;
  let last = -1;
  return Array.from<unknown>(value).every((pair) => {
    if (!Array.isArray(pair) || pair.length !== 2) return false;
    const [bin, count]: unknown[] = pair;
    const fits = isCount(bin) && bin > last && bin < BINS && isCount(count) && count > 0;
    last = bin as number;
    return fits;
  });
}

function areShares(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== BETS.length) return false;
  const shares = Array.from<unknown>(value);
  return shares.every((v) => isNumber(v) && v >= 0) && Math.abs(shares.reduce<number>((a, b) => a + +b!, 0) - 1) < 1e-9;
}

const COUNT: Check = [isCount, 'a whole number from 0 up'];
const NUMBER: Check = [isNumber, 'a number'];

const STATE: Record<Exclude<keyof DriftState, 'formatVersion'>, Check> = {
  calibration: [isSha256, 'a SHA-256'],
  options: [isRecord, 'an object'],
  images: COUNT,
  out: COUNT,
  failures: COUNT,
  counts: [areCounts, 'pairs of bin and count, bins rising'],
  jumper: [isRecord, 'an object'],
  cusum: COUNT,
  alarms: [Array.isArray, 'a list'],
};
const OPTIONS: Record<keyof DriftState['options'], Check> = {
  villeThreshold: [(v) => isNumber(v) && v > 1 && v <= 1e100, 'a number above 1 and at most 1e100'],
  seed: [(v) => isCount(v) && v <= LARGEST_SEED, `a whole number from 0 to ${LARGEST_SEED}`],
  rate: [(v) => isShare(v) || v === 1, 'a number above 0 and at most 1'],
  rateToDetect: [(v) => v === null || isShare(v), 'null or a number between 0 and 1'],
  ert: [(v) => isNumber(v) && v >= 1, 'a number of at least 1'],
};
const JUMPER: Record<keyof Jumper, Check> = {
  logM: NUMBER,
  shares: [areShares, `${BETS.length} shares that sum to 1`],
};
const ALARM: Record<Exclude<keyof DriftAlarm, 'image'>, Check> = {
  by: [(v) => v === 'martingale' || v === 'cusum', "'martingale' or 'cusum'"],
  images: COUNT,
  value: NUMBER,
  threshold: NUMBER,
};

/**
 * Checks every field of a state: there may be no other.
 *
 * @throws ERR_CLIPN_DRIFT_STATE naming the field
 */
export function parseDriftState(value: unknown): DriftState {
  const refuse = (what: string): never => {
    throw new ClipnError('ERR_CLIPN_DRIFT_STATE', `the state of the monitor: ${what}`);
  };
  const check = (of: unknown, checks: Record<string, Check>, prefix: string, more: readonly string[] = []): Fields => {
    if (!isRecord(of)) return refuse(`${prefix || 'it'} is not an object`);
    for (const [key, [valid, expected]] of Object.entries(checks)) {
      if (!valid(of[key])) refuse(`${prefix}${key} must be ${expected}`);
    }
    const unknown = Object.keys(of).find((key) => !(key in checks) && !more.includes(key));
    return unknown === undefined ? of : refuse(`${prefix}${unknown} is unknown`);
  };
  if (!isRecord(value)) return refuse('it is not an object');
  if (value['formatVersion'] !== 1) refuse('formatVersion must be 1');
  check(value, STATE, '', ['formatVersion']);
  check(value['options'], OPTIONS, 'options.');
  check(value['jumper'], JUMPER, 'jumper.');
  const state = value as unknown as DriftState;
  for (const [i, alarm] of Array.from<unknown>(state.alarms).entries()) {
    const { image } = check(alarm, ALARM, `alarms[${i}].`, ['image']);
    if (image !== undefined && typeof image !== 'string') refuse(`alarms[${i}].image must be a string`);
  }
  if (new Set(state.alarms.map(({ by }) => by)).size < state.alarms.length) refuse('alarms holds one kind twice');
  if (state.counts.reduce((sum, [, count]) => sum + count, 0) !== state.images) refuse('counts must sum to images');
  if (state.out > state.images) refuse('out must not exceed images');
  return state;
}
