/** The server stands on the public API of clipn-native alone: whoever reads it sees what his own program could do. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { repository } from '../support/paths';

const sources = path.join(repository, 'serve/src');

test('no file of serve/ imports one outside of it', () => {
  const outside: string[] = [];
  for (const file of readdirSync(sources, { recursive: true, encoding: 'utf8' })) {
    if (!/\.(ts|js)$/.test(file)) continue;
    const text = readFileSync(path.join(sources, file), 'utf8');
    for (const [, target] of text.matchAll(/(?:\bfrom|\bimport|\brequire)\s*\(?\s*'([^']+)'/g)) {
      const to = target!.startsWith('.') ? path.join(path.dirname(file), target!) : target!;
      if (to.startsWith('..') || to.startsWith('clipn-native/')) outside.push(`${file}: ${target}`);
    }
  }
  assert.deepEqual(outside, []);
});
