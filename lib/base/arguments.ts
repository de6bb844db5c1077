/** Checks of what callers pass, in JavaScript too: a wrong type is told by name at the entrance, before any work. */
import { ClipnError } from './errors';

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
