/** `trustedSha256`: a model is loaded only if it is the one that was named, and what was hashed is what is loaded. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { loadDetector, loadModel } from '../../lib';
import { withTrustedCopy } from '../../lib/weights/trusted-copy';
import { apiModel } from '../support/api-model';
import { builtLibrary } from '../support/built';
import { outcome } from '../support/damage';
import { repository } from '../support/paths';
import { runCli } from '../support/run-cli';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-trusted-test-'));
const at = (name: string) => path.join(folder, name);
const TEMPORARY = at('tmp');
const UNTRUSTED = 'ERR_CLIPN_MODEL_UNTRUSTED';
const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');
const image = { data: new Uint8Array(75).fill(99), width: 5, height: 5, channels: 3 as const };
let model: string;
let trusted: string;

before(async () => {
  model = await apiModel();
  trusted = sha256(model);
  mkdirSync(TEMPORARY);
  process.env['TMPDIR'] = TEMPORARY;
});
after(() => rmSync(folder, { recursive: true }));

test('the file with that hash loads as without it, under its own name, and leaves nothing behind', async () => {
  await using plain = await loadModel(model);
  const expected = await plain.encodeImages([image]);
  for (const trustedSha256 of [trusted, trusted.toUpperCase()]) {
    await using named = await loadModel(model, { trustedSha256 });
    assert.deepEqual(await named.encodeImages([image]), expected);
    assert.equal(named.info.path, model);
  }
  assert.deepEqual(readdirSync(TEMPORARY), []);
});

test('a file with another hash is refused, with both hashes, by model and detector', async () => {
  const other = sha256(__filename);
  const refused = {
    code: UNTRUSTED,
    message: `${model} has the SHA-256 ${trusted}, not ${other}`,
    details: { path: model, sha256: trusted, trusted: other },
  };
  await assert.rejects(loadModel(model, { trustedSha256: other }), refused);
  await assert.rejects(loadDetector({ model, labels: ['cat'], trustedSha256: other }), refused);
  assert.deepEqual(readdirSync(TEMPORARY), []);
});

test('a changed file is refused for its hash, a missing one for being missing, and none for a hash that is no hash', async () => {
  const bytes = readFileSync(model);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(at('changed.pt'), bytes);
  assert.equal(await outcome('changed', loadModel(at('changed.pt'), { trustedSha256: trusted })), UNTRUSTED);
  // Who trusts a damaged file still does not get it, and is told by its own name.
  await assert.rejects(loadModel(at('changed.pt'), { trustedSha256: sha256(at('changed.pt')) }), (error: Error) => {
    assert.ok(error.message.startsWith(`${at('changed.pt')}: `), error.message);
    return (error as Error & { code: string }).code === 'ERR_CLIPN_MODEL_FORMAT';
  });
  const missing = loadModel(at('absent.pt'), { trustedSha256: trusted });
  assert.equal(await outcome('absent', missing), 'ERR_CLIPN_MODEL_NOT_FOUND');
  for (const bad of ['', 'abc', trusted.slice(1), `${trusted}0`, `${trusted} `, `g${trusted.slice(1)}`, 5, null]) {
    const work = loadModel(at('absent.pt'), { trustedSha256: bad as string });
    assert.equal(await outcome(String(bad), work), 'ERR_CLIPN_INVALID_ARG');
  }
});

describe('a file that is swapped after it was hashed changes nothing of what is lent:', () => {
  const swaps: Record<string, (file: string) => void> = {
    'overwritten in place': (file) => writeFileSync(file, 'other'),
    'replaced by another': (file) => {
      writeFileSync(`${file}.new`, 'other');
      renameSync(`${file}.new`, file);
    },
    removed: (file) => rmSync(file),
  };
  for (const [name, swap] of Object.entries(swaps)) {
    test(name, async () => {
      const file = at('swapped.pt');
      copyFileSync(model, file);
      const lent = await withTrustedCopy(file, trusted, undefined, async (copy) => {
        swap(file);
        return sha256(copy);
      });
      assert.equal(lent, trusted);
    });
  }
});

test('no room, no folder and an abort end in their own errors and leave nothing behind', async () => {
  process.env['TMPDIR'] = at('no-such-folder');
  try {
    const error = { code: 'ERR_CLIPN_IO', message: /no-such-folder/ };
    await assert.rejects(loadModel(model, { trustedSha256: trusted }), error);
  } finally {
    process.env['TMPDIR'] = TEMPORARY;
  }
  const controller = new AbortController();
  const loading = loadModel(model, { trustedSha256: trusted, signal: controller.signal });
  controller.abort(new Error('own reason'));
  await assert.rejects(loading, { message: 'own reason' });
  assert.deepEqual(readdirSync(TEMPORARY), []);
});

test('verbs take --trusted-sha256', async () => {
  const run = (hash: string) =>
    runCli(['labels', '--labels', 'cat', at('bank'), '--model', model, '--trusted-sha256', hash]);
  const refused = await run(sha256(__filename));
  assert.equal(refused.code, 1);
  assert.match(refused.err, /ERR_CLIPN_MODEL_UNTRUSTED/);
  const invalid = await run('abc');
  assert.equal(invalid.code, 2);
  assert.match(invalid.err, /ERR_CLIPN_INVALID_ARG: trustedSha256/);
  const taken = await run(trusted);
  assert.equal(taken.code, 0, taken.err);
});

test('the example of docs/security.md runs as it stands, and refuses another file', async () => {
  const page = readFileSync(path.join(repository, 'docs/security.md'), 'utf8');
  const [example] = [...page.matchAll(/```js\n([\s\S]*?)```/g)]
    .map(([, code]) => code!)
    .filter((code) => code.includes('trustedSha256'));
  const hash = /[0-9a-f]{64}/;
  assert.match(example!, hash);
  const library = JSON.stringify(path.join(builtLibrary(), 'index.mjs'));
  copyFileSync(model, at('vit-b16-clipn.pt'));
  const run = (trustedHash: string) => {
    writeFileSync(at('example.mjs'), example!.replace("'clipn-native'", library).replace(hash, trustedHash));
    return promisify(execFile)(process.execPath, ['example.mjs'], { cwd: folder });
  };
  await run(trusted);
  await assert.rejects(run(sha256(__filename)), { stderr: /ERR_CLIPN_MODEL_UNTRUSTED/ });
});
