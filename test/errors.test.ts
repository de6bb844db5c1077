import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ERROR_HINTS } from '../lib/errors';

const read = (file: string) => readFileSync(path.join(__dirname, '..', file), 'utf8');

test('every code has its heading in docs/errors.md, and every heading its code', () => {
  const headings = [...read('docs/errors.md').matchAll(/^### (\S+)$/gm)].map(([, code]) => code);
  assert.deepEqual(headings.sort(), Object.keys(ERROR_HINTS).sort());
});

test('every code that the addon can give is one of the table', () => {
  const native = readdirSync(path.join(__dirname, '../binding')).map((file) => read(`binding/${file}`));
  for (const [code] of native.join().matchAll(/ERR_CLIPN_[A-Z_]+/g)) {
    if (code !== 'ERR_CLIPN_') assert.ok(code in ERROR_HINTS, code);
  }
});
