import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { HashIndex } from '../../lib/features/hash-index';

const hash = (text: string) => createHash('sha256').update(text).digest();

test('finds each of 20,000 hashes at its row, and no other', () => {
  const index = new HashIndex();
  for (let i = 0; i < 20_000; i++) assert.equal(index.add(hash(`row ${i}`)), i);
  for (let i = 0; i < 20_000; i++) assert.equal(index.find(hash(`row ${i}`)), i);
  for (let i = 0; i < 1000; i++) assert.equal(index.find(hash(`no row ${i}`)), -1);
});

test('a hash that comes again keeps its first row, and the row count goes on', () => {
  const index = new HashIndex();
  index.add(hash('a'));
  index.add(hash('a'));
  assert.equal(index.add(hash('b')), 2);
  for (let i = 0; i < 2000; i++) index.add(hash(`more ${i}`));
  assert.deepEqual([index.find(hash('a')), index.find(hash('b'))], [0, 2]);
});

test('tells hashes apart that begin alike', () => {
  const index = new HashIndex();
  const near = (last: number) => Buffer.concat([Buffer.alloc(31, 7), Buffer.from([last])]);
  for (let i = 0; i < 256; i++) index.add(near(i));
  for (let i = 0; i < 256; i++) assert.equal(index.find(near(i)), i);
});
