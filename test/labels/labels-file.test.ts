import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadLabelsFile } from '../../lib/labels/labels-file';

const folder = mkdtempSync(join(tmpdir(), 'clipn-labels-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const sha256 = (lines: readonly string[]) => createHash('sha256').update(lines.join('\n')).digest('hex');

test("'imagenet' is the 1000 names of spec 2.1", async () => {
  const labels = await loadLabelsFile('imagenet');
  assert.equal(labels.length, 1000);
  assert.equal(sha256(labels), '571ae1c583b4be7da87519494c52bf405a46af05d5815627c7a0dee997068b60');
});

test('a file gives a name a line, blank lines skipped, or a JSON array', async () => {
  const names = ['cat', 'great white shark', 'bus'];
  assert.deepEqual(await loadLabelsFile(file('labels.txt', '\ufeffcat\r\n great white shark \n\n \nbus\n\n')), names);
  assert.deepEqual(await loadLabelsFile(file('labels.json', '["cat", "dog, wet"]')), ['cat', 'dog, wet']);
});

for (const [what, bytes] of [
  ['UTF-16 with a mark', Buffer.from('\ufeffcat\r\nkäse\r\n', 'utf16le')],
  ['UTF-16 without one', Buffer.from('cat\nkäse\n', 'utf16le')],
  ['UTF-16, big-endian', Buffer.from('\ufeffcat\nkäse\n', 'utf16le').swap16()],
] as const) {
  test(`${what} is read`, async () => {
    assert.deepEqual(await loadLabelsFile(file('utf16.txt', bytes)), ['cat', 'käse']);
  });
}

test('a name that stands twice is warned of with both lines', async () => {
  const warnings: string[] = [];
  const path = file('twice.txt', 'cat\n\ndog\nbus\ndog\n');
  assert.deepEqual(await loadLabelsFile(path, (text) => warnings.push(text)), ['cat', 'dog', 'bus', 'dog']);
  assert.deepEqual(warnings, [`${path}: "dog" stands on lines 3 and 5`]);
});

for (const [what, line] of [
  ['semicolons', 'cat;dog;bus'],
  ['tabs', 'cat\tdog'],
  ['commas', 'cat, dog, bus'],
] as const) {
  test(`a single line with ${what} is questioned, and taken from a JSON array`, async () => {
    await assert.rejects(loadLabelsFile(file('line.txt', `${line}\n`)), {
      code: 'ERR_CLIPN_LABELS',
      message: new RegExp(`single line with \\d ${what}: is it one name`),
    });
    assert.deepEqual(await loadLabelsFile(file('line.json', JSON.stringify([line]))), [line]);
  });
}

test('a single name with one comma in it is a name', async () => {
  assert.deepEqual(await loadLabelsFile(file('one.txt', 'dog, wet\n')), ['dog, wet']);
});

test('a file that is missing, no text or no list of strings is refused', async () => {
  await assert.rejects(loadLabelsFile(join(folder, 'absent')), { code: 'ERR_CLIPN_IO', message: /absent/ });
  await assert.rejects(loadLabelsFile(file('numbers.json', '[1]')), { code: 'ERR_CLIPN_LABELS' });
  await assert.rejects(loadLabelsFile(file('bytes.txt', Buffer.of(0x63, 0x61, 0xff, 0xfe))), {
    code: 'ERR_CLIPN_LABELS',
    message: /not UTF-8 or UTF-16/,
  });
});
