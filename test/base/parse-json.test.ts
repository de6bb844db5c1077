import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { parseJson } from '../../lib/base/parse-json';
import { readOpenClipConfig } from '../../lib/weights/openclip-config';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-json-'));
after(() => rmSync(folder, { recursive: true }));

const lists = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

test('JSON is read 100 deep, and refused beyond', () => {
  assert.deepEqual(parseJson('{"a": [1, {"b": null}], "c": "[[["}'), { a: [1, { b: null }], c: '[[[' });
  assert.ok(parseJson(lists(100)));
  assert.throws(() => parseJson(lists(101)), SyntaxError);
  assert.throws(() => parseJson(`{"a": 1, "b": {"c": ${lists(100_000)}}}`), SyntaxError);
  assert.throws(() => parseJson('{"a"'), SyntaxError);
});

test('a value nested so deep that it cannot be put into the message ends in a code', async () => {
  const config = path.join(folder, 'config.json');
  writeFileSync(config, `{"vision_cfg": {"pool_type": ${lists(20_000)}}, "text_cfg": {}}`);
  await assert.rejects(readOpenClipConfig(config), { name: 'ClipnError', code: 'ERR_CLIPN_INVALID_ARG' });
});
