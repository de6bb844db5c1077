import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { writeThenRename } from '../../lib/base/write-file';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-write-file-'));
after(() => rmSync(folder, { recursive: true }));

describe('a name as long as file systems allow, 255 bytes, can be written:', () => {
  for (const [what, name] of [
    ['of letters', `${'m'.repeat(252)}.pt`],
    ['of characters that take four bytes each', '🐈'.repeat(63)],
  ] as const) {
    test(what, async () => {
      const out = path.join(folder, name);
      await writeThenRename(out, (temporary) => writeFile(temporary, what));
      assert.equal(readFileSync(out, 'utf8'), what);
      rmSync(out);
      assert.deepEqual(readdirSync(folder), []);
    });
  }
});

test('what fails leaves neither the file nor its temporary', async () => {
  const out = path.join(folder, 'model.pt');
  const failing = writeThenRename(out, async (temporary) => {
    await writeFile(temporary, 'half');
    throw new Error('enough');
  });
  await assert.rejects(failing, /enough/);
  assert.deepEqual(readdirSync(folder), []);
});

test('what a killed process left is removed by the next write to the same name, from an hour on', async () => {
  const out = path.join(folder, 'bank.safetensors');
  const left = (name: string, minutes: number) => {
    const file = path.join(folder, name);
    writeFileSync(file, 'half');
    const at = Date.now() / 1000 - 60 * minutes;
    utimesSync(file, at, at);
    return name;
  };
  const id = (digit: string) => `${digit.repeat(8)}-1111-4111-8111-111111111111`;
  left(`.bank.safetensors.${id('a')}.tmp`, 61);
  const stay = [
    left(`.bank.safetensors.${id('b')}.tmp`, 59), // it may be being written
    left(`.other.safetensors.${id('c')}.tmp`, 61), // of another name
    left('.bank.safetensors.tmp', 61), // of another program
  ];
  await writeThenRename(out, (temporary) => writeFile(temporary, 'whole'));
  assert.deepEqual(readdirSync(folder).sort(), [...stay, 'bank.safetensors'].sort());
  for (const name of readdirSync(folder)) rmSync(path.join(folder, name));
});
