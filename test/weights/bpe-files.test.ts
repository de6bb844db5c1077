/** vocab.json and merges.txt in place of a tokenizer.json. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { exportModel } from '../../lib';
import type { ClipnError } from '../../lib/base/errors';
import { createTokenizer } from '../../lib/text/tokenizer';
import { tokenizerOf } from '../../lib/weights/bpe-files';
import { hfFolder, hfWeights, writeHfSafetensors } from '../support/hugging-face';
import { withModel } from '../support/model-file';
import { clipTokenizer, goldenFile } from '../support/paths';
import { tinyTokenizer } from '../support/tiny-model';

interface Golden {
  tokens: string[];
  merges: string[];
  cases: { text: string; ids: number[] }[];
}
const golden = JSON.parse(readFileSync(goldenFile('bpe-files.json'), 'utf8')) as Golden;
const own = readFileSync(clipTokenizer, 'utf8');

const root = mkdtempSync(path.join(tmpdir(), 'clipn-bpe-files-'));
after(() => rmSync(root, { recursive: true }));
const files = { vocab: path.join(root, 'vocab.json'), merges: path.join(root, 'merges.txt') };

function write(vocab: object | string, merges: string): void {
  writeFileSync(files.vocab, typeof vocab === 'string' ? vocab : JSON.stringify(vocab));
  writeFileSync(files.merges, merges);
}

const idsOf = (tokens: readonly string[]) => Object.fromEntries(tokens.map((token, id) => [token, id]));
const lines = (merges: readonly string[], end = '\n') => ['#version: 0.2', ...merges, ''].join(end);

describe("ids are those of transformers' CLIPTokenizer", () => {
  for (const [what, text] of [
    ['as it writes merges', lines(golden.merges)],
    ['with the line ends of Windows and no version', golden.merges.join('\r\n')],
  ] as const) {
    test(what, async () => {
      write(idsOf(golden.tokens), text);
      const tokenizer = createTokenizer(await tokenizerOf(files, own), 77);
      for (const { text, ids } of golden.cases) assert.deepEqual(tokenizer.encode(text).ids, ids, JSON.stringify(text));
    });
  }
});

test("CLIP's own vocabulary and merges give CLIP's own tokenizer", async () => {
  const { model } = JSON.parse(own) as { model: { vocab: object; merges: string[] } };
  write(model.vocab, lines(model.merges));
  assert.equal(await tokenizerOf(files, own), own);
});

test('a folder without tokenizer.json is exported with the tokenizer that its vocabulary and merges are', async () => {
  const folder = hfFolder(path.join(root, 'folder'));
  unlinkSync(path.join(folder, 'tokenizer.json'));
  const { model } = JSON.parse(tinyTokenizer()) as { model: { vocab: object } };
  writeFileSync(path.join(folder, 'vocab.json'), JSON.stringify(model.vocab));
  await writeHfSafetensors(path.join(folder, 'model.safetensors'), hfWeights());
  const out = path.join(root, 'model.pt');
  await assert.rejects(exportModel(folder, out), { code: 'ERR_CLIPN_IO', message: /merges\.txt/ });
  writeFileSync(path.join(folder, 'merges.txt'), '#version: 0.2\n');
  await assert.rejects(exportModel(folder, path.join(folder, 'merges.txt')), { message: /overwrite .*merges\.txt/ });
  await exportModel(folder, out);
  await withModel(out, async ({ tokenizerJson }) => {
    // Letters a to s, their forms at the end of a word from 19 on, start 38, end 39.
    assert.deepEqual(createTokenizer(tokenizerJson, 12).encode('Ab c').ids, [38, 0, 20, 21, 39]);
  });
});

describe('refused, with the file and the place that is at fault:', () => {
  const { tokens, merges } = golden;
  const vocab = idsOf(tokens);
  for (const [what, written, text, message] of [
    ['a vocabulary that is no JSON', '{', lines(merges), /vocab\.json: it is not JSON/],
    ['a vocabulary that is no object', [], lines(merges), /vocab\.json: it is no JSON object/],
    ['an id that is no number', { ...vocab, a: '0' }, lines(merges), /vocab\.json: the id of "a" is "0"/],
    ['an id that two tokens have', { ...vocab, a: 1 }, lines(merges), /vocab\.json: the id of "b" is 1/],
    ['no start token', idsOf(tokens.slice(0, -2)), lines(merges), /vocab\.json: it lacks <\|startoftext\|>/],
    ['a merge of three', vocab, lines(['t h', 'a b c']), /merges\.txt: line 3 is not two tokens/],
    ['a merge of one', vocab, lines(['t ']), /merges\.txt: line 2 is not two tokens/],
    ['a merge of what there is not', vocab, lines(['x y']), /merges\.txt: line 2 has to do with "xy"/],
  ] as const) {
    test(what, async () => {
      write(written, text);
      await assert.rejects(tokenizerOf(files, own), (error: ClipnError) => {
        assert.equal(error.code, 'ERR_CLIPN_TOKENIZER', error.message);
        assert.match(error.message, message);
        return true;
      });
    });
  }
});
