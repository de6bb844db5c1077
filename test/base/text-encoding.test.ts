import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { linesOf, textOf } from '../../lib/base/text-encoding';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-text-'));
after(() => rmSync(folder, { recursive: true }));

const file = (name: string, bytes: Buffer) => {
  writeFileSync(path.join(folder, name), bytes);
  return path.join(folder, name);
};

async function all(texts: AsyncIterable<string>): Promise<string[]> {
  const found: string[] = [];
  for await (const text of texts) found.push(text);
  return found;
}

test('a file that is read in pieces gives its lines, whatever a piece ends in', async () => {
  // Characters of two and four bytes, at odd places: pieces of 2^20 bytes end within them.
  const lines = Array.from({ length: 60_000 }, (_, i) => `${i}${'é'.repeat(i % 7)}𝄞鳥${'x'.repeat(20)}`);
  const text = lines.join('\n');
  for (const [name, bytes] of [
    ['8.txt', Buffer.from(text)],
    ['8-bom.txt', Buffer.from(`\ufeff${text}\n`)],
    ['16le.txt', Buffer.from(`\ufeff${text}`, 'utf16le')],
    ['16be.txt', Buffer.from(`\ufeff${text}\n`, 'utf16le').swap16()],
  ] as const) {
    assert.ok(bytes.length > 2 ** 21, name);
    assert.deepEqual(await all(linesOf(file(name, bytes))), lines, name);
  }
});

test('what ends within a character, or is no text, is refused', async () => {
  await assert.rejects(all(textOf(file('cut', Buffer.from('é').subarray(0, 1)))), TypeError);
  await assert.rejects(all(textOf(file('latin', Buffer.from('Hündin', 'latin1')))), TypeError);
  assert.deepEqual(await all(textOf(file('empty', Buffer.alloc(0)))), []);
});
