/** Checks of what callers pass, in JavaScript too: a wrong type is told by name at the entrance, before any work. */
import { ClipnError } from './errors';
import { suggestion } from './wording';

/** A value in a message: short, and safe for symbols, functions and objects without a prototype. */
export function shown(value: unknown): string {
  if (value === null || typeof value !== 'object') {
    const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
    return text.length > 40 ? `${text.slice(0, 40)}…` : text;
  }
  return Array.isArray(value) ? 'an array' : 'an object';
}

/** @throws ERR_CLIPN_INVALID_ARG unless it is absent or Node's own AbortSignal: others may throw where none is expected */
export function assertSignal(signal: unknown): asserts signal is AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `signal must be an AbortSignal, not ${shown(signal)}`, {
    hint: 'Pass the `signal` of a `new AbortController()`.',
  });
}

/** An object that is no array. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const hasItems = (value: unknown) =>
  typeof value === 'object' && value !== null && (Symbol.iterator in value || Symbol.asyncIterator in value);

const isBank = (value: unknown) =>
  isRecord(value) && Array.isArray(value['labels']) && value['yes'] instanceof Float32Array;

type Kind = readonly [fits: (value: unknown) => boolean, expected: string];

/** What an argument of a public function may be. */
const KINDS = {
  text: [(v) => typeof v === 'string' && v !== '', 'a string that is not empty'],
  number: [(v) => typeof v === 'number', 'a number'],
  flag: [(v) => typeof v === 'boolean', 'true or false'],
  numbers: [
    (v) => Array.isArray(v) || (ArrayBuffer.isView(v) && !(v instanceof DataView)),
    'an array of numbers or a typed array',
  ],
  list: [(v) => Array.isArray(v), 'an array'],
  items: [hasItems, 'an array, iterable or async iterable'],
  record: [isRecord, 'an object'],
  options: [(v) => v === undefined || isRecord(v), 'an object of options'],
  model: [(v) => isRecord(v) && typeof v['createDetector'] === 'function', 'a model of `loadModel`'],
  detector: [(v) => isRecord(v) && typeof v['stream'] === 'function', 'a detector'],
  result: [
    (v) => isRecord(v) && ['id', 'ood', 'scores', 'provenance'].every((name) => isRecord(v[name])),
    'a result of `evaluate`',
  ],
  bank: [isBank, 'a label bank'],
  classes: [(v) => Array.isArray(v) || isBank(v), 'an array of class names or a label bank'],
} as const satisfies Record<string, Kind>;

/** Each option of T by its name: a record, so that the compiler finds one that is missing, and one too many. */
export type OptionNames<T> = Record<keyof T, true>;

/** @throws ERR_CLIPN_INVALID_ARG for an option that there is not: misspelt, it would be ignored */
export function assertOptionNames(of: string, options: unknown, names: Record<string, true>): void {
  if (!isRecord(options)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${of} must be an object of options, not ${shown(options)}`);
  }
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(names, name)) continue;
    const known = Object.keys(names);
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${of} has no option ${shown(name)}.${suggestion(name, known)}`, {
      hint: `It has ${known.join(', ')}.`,
    });
  }
}

/** Of options the ones with these names: what a function hands on to another. */
export function optionsNamed<T extends object>(names: OptionNames<T>, options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([name]) => Object.hasOwn(names, name))) as T;
}

/**
 * Checks the arguments of a public function, by their names; of options the `signal`, too.
 *
 * @throws ERR_CLIPN_INVALID_ARG naming the first that does not fit
 */
export function assertArguments(given: Record<string, readonly [kind: keyof typeof KINDS, value: unknown]>): void {
  for (const [name, [kind, value]] of Object.entries(given)) {
    const [fits, expected] = KINDS[kind];
    if (!fits(value)) {
      throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${name} must be ${expected}, not ${shown(value)}`);
    }
    if (kind === 'options') assertSignal((value as { signal?: unknown } | undefined)?.signal);
  }
}
