/** Hashes that files and caches are bound by. */
import { createHash } from 'node:crypto';

/** SHA-256, in hex, of a value's JSON: what files and caches are bound by. */
export function jsonHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}
