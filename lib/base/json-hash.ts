/** Hashes that files and caches are bound by. */
import { createHash } from 'node:crypto';

/** SHA-256, in hex, of a value's JSON: what files and caches are bound by. */
export function jsonHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}

/** Whether it is a SHA-256 as the hashes here are written: 64 hex digits, lower case. */
export const isSha256 = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
