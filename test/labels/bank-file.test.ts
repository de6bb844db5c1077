import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { cacheDir } from '../../lib/base/cache-dir';
import { loadLabelBank, saveLabelBank } from '../../lib/labels/bank-file';
import { addLabels, buildLabelBank } from '../../lib/labels/build-bank';
import { withHeader } from '../support/damage';
import { animals, assertRow, DIM, expectedRow, fakeTowers, templates } from '../support/fake-towers';

const folder = mkdtempSync(join(tmpdir(), 'clipn-banks-'));
process.env['CLIPN_CACHE_DIR'] = join(folder, 'cache');
after(() => rmSync(folder, { recursive: true }));

let towers = fakeTowers();
beforeEach(() => {
  towers = fakeTowers();
  rmSync(join(folder, 'cache'), { recursive: true, force: true });
});

for (const hasNo of [true, false]) {
  test(`a saved bank loads as it was (${hasNo ? 'with' : 'without'} no rows)`, async () => {
    const labels = ['cat', 'a "quoted", naïve 犬', 'dog '.repeat(80).trim()];
    const bank = await buildLabelBank(fakeTowers({ hasNo }), labels, { templates });
    const path = join(folder, `bank-${hasNo}.safetensors`);
    await saveLabelBank(bank, path);
    assert.deepEqual(await loadLabelBank(path), bank);
  });
}

test('a saved bank can be added to without its template file', async () => {
  const path = join(folder, 'again.safetensors');
  await saveLabelBank(await buildLabelBank(towers, animals, { templates }), path);
  const more = await addLabels(towers, await loadLabelBank(path), ['horse']);
  assertRow(more.yes, 3, expectedRow('yes', 'horse', templates.templates));
});

test('saving leaves no temporary file, and a folder that cannot be made is an I/O error', async () => {
  const bank = await buildLabelBank(towers, animals, { templates });
  await saveLabelBank(bank, join(folder, 'clean/bank.safetensors'));
  assert.deepEqual(readdirSync(join(folder, 'clean')), ['bank.safetensors']);
  const blocked = join(folder, 'clean/bank.safetensors/below');
  await assert.rejects(saveLabelBank(bank, blocked), { code: 'ERR_CLIPN_IO' });
});

type Header = Record<string, Record<string, unknown>>;
/** Writes a bank whose header or data was changed. */
async function spoiltBank(change: (header: Header, data: Buffer) => void): Promise<string> {
  const path = join(folder, 'spoilt.safetensors');
  await saveLabelBank(await buildLabelBank(towers, animals, { templates }), path);
  writeFileSync(path, withHeader(readFileSync(path), change));
  return path;
}
const meta = (key: string, value: unknown) => (header: Header) => {
  header['__metadata__']![key] = value;
};
const spoilt: [string, (header: Header, data: Buffer) => void][] = [
  ['__metadata__', (header) => Reflect.deleteProperty(header, '__metadata__')],
  ['format', meta('format', 'pt')],
  ['formatVersion', meta('formatVersion', '3')],
  ['labels', meta('labels', '["cat", 3]')],
  ['labels', meta('labels', '["cat"')],
  ['templates', meta('templates', '[]')],
  ['templateSha256', meta('templateSha256', '00')],
  ['templateSet', meta('templateSet', 5)],
  ['contentId', meta('contentId', undefined)],
  ['precision', meta('precision', '')],
  ['truncated', meta('truncated', '[3]')],
  ['yes', (header) => Reflect.deleteProperty(header, 'yes')],
  ['yes', (header) => Object.assign(header['yes']!, { dtype: 'F16' })],
  ['yes', (header) => Object.assign(header['yes']!, { shape: [2, DIM] })],
  ['no', (header) => Object.assign(header['no']!, { shape: [3, DIM - 1] })],
  ['no', (header) => Object.assign(header['no']!, { data_offsets: [72, 200] })],
  ['yes', (_header, data) => data.writeFloatLE(Number.NaN, 4)],
  ['no', (_header, data) => data.fill(0, 72)],
];
for (const [index, [field, change]] of spoilt.entries()) {
  test(`a bank file with a broken field is refused and the field named: ${field} (${index})`, async () => {
    await assert.rejects(loadLabelBank(await spoiltBank(change)), {
      code: 'ERR_CLIPN_BANK_FORMAT',
      message: new RegExp(`: ${field} `),
    });
  });
}

test('a bank that an earlier version encoded in bf16 is refused: labels are encoded in fp32', async () => {
  await assert.rejects(loadLabelBank(await spoiltBank(meta('precision', 'bf16'))), {
    code: 'ERR_CLIPN_BANK_MISMATCH',
    message: /encoded in bf16/,
    hint: /Make it again/,
  });
});

test('a bank file cut anywhere is refused', async () => {
  const path = join(folder, 'cut.safetensors');
  await saveLabelBank(await buildLabelBank(towers, animals, { templates }), path);
  const bytes = readFileSync(path);
  for (const length of [0, 7, 100, bytes.length - 1]) {
    writeFileSync(path, bytes.subarray(0, length));
    await assert.rejects(loadLabelBank(path), { code: 'ERR_CLIPN_BANK_FORMAT' }, `${length} bytes`);
  }
  await assert.rejects(loadLabelBank(join(folder, 'absent')), { code: 'ERR_CLIPN_IO' });
});

test('the cache folder follows CLIPN_CACHE_DIR, then XDG_CACHE_HOME, then the home folder', () => {
  assert.equal(cacheDir({ CLIPN_CACHE_DIR: '/a', XDG_CACHE_HOME: '/x' }), '/a');
  assert.equal(cacheDir({ XDG_CACHE_HOME: '/x' }), '/x/clipn-native');
  assert.match(cacheDir({ XDG_CACHE_HOME: 'relative' }), /^\/.*\/\.cache\/clipn-native$/);
});
