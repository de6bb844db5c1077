/** `fetch model` and hub names on the command line, against a hub on the loopback. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { clipRepository } from '../support/hub-clip';
import { COMMIT, type HubServer, serveHub } from '../support/hub-server';
import { keepLibtorch, runCli } from '../support/run-cli';
import { closeServers } from '../support/wheel-server';

const root = mkdtempSync(path.join(tmpdir(), 'clipn-fetch-command-'));
const templates = path.join(root, 'templates.txt');
let hub: HubServer;

before(async () => {
  writeFileSync(templates, '{}\n');
  hub = await serveHub({ 'seeded/tiny-clip': await clipRepository({ license: 'mit' }) });
  keepLibtorch();
  Object.assign(process.env, { HF_ENDPOINT: hub.endpoint, HF_HOME: root });
});
after(() => {
  closeServers();
  rmSync(root, { recursive: true });
});

const cli = (...args: string[]) => runCli(args, path.join(root, 'cache'));
const bank = path.join(root, 'bank.bin');
const labels = (model: string) =>
  cli('labels', bank, '--model', model, '--labels', 'bad,fog', '--templates', templates);

describe('fetch model', () => {
  test('says size and licence, then the name that --model takes from then on; again it is at once there', async () => {
    const missing = await labels('seeded/tiny-clip');
    assert.equal(missing.code, 1);
    assert.match(missing.err, /ERR_CLIPN_MODEL_NOT_FOUND: .*\n.*`npx clipn-native fetch model seeded\/tiny-clip`/);

    const { code, out, err } = await cli('fetch', 'model', 'seeded/tiny-clip');
    assert.equal(code, 0, err);
    assert.match(err, /^seeded\/tiny-clip \(c0ffee0000\), licence mit: 1\.0 MB to download/);
    assert.match(
      out,
      /fp32, .* licence mit\n.*tiny-clip@c0ffee0*\.fp32\.pt\nUse it by its name: --model seeded\/tiny-clip\n$/,
    );
    const again = await cli('fetch', 'model', 'seeded/tiny-clip');
    assert.match(again.out, /: already there\n/);
    const encoded = await labels(`seeded/tiny-clip@${COMMIT}`);
    assert.equal(encoded.code, 0, encoded.err);
    const { out: json } = await cli('fetch', 'model', 'seeded/tiny-clip', '--json');
    assert.deepEqual([JSON.parse(json).commit, JSON.parse(json).alreadyThere], [COMMIT, true]);
  });

  test('tells wrong usage', async () => {
    for (const [args, message] of [
      [['model'], /give the name of a model/],
      [['seeded/tiny-clip'], /not seeded\/tiny-clip; did you mean: fetch model seeded\/tiny-clip/],
      [['model', 'a/b', 'c'], /unexpected argument c/],
      [['libtorch', 'a'], /unexpected argument a/],
      [['model', 'a/b', '--variant', 'cpu'], /--variant is not for fetch model/],
      [['--revision', 'v2'], /--revision is not for fetch libtorch/],
    ] as const) {
      const { code, err } = await cli('fetch', ...args);
      assert.equal(code, 2);
      assert.match(err, message);
    }
  });
});

test('export takes a hub name, and says size and licence too', async () => {
  const { code, out, err } = await cli('export', 'seeded/tiny-clip', path.join(root, 'out.pt'));
  assert.equal(code, 0, err);
  assert.match(err, /licence mit/);
  assert.match(out, /plain CLIP, image tower 2 × 64/);
});
