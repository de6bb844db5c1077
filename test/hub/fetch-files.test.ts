/** Files of a snapshot: resumed, verified, kept from the wrong hands. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fetchFiles } from '../../lib/hub/fetch-files';
import { hubOf } from '../../lib/hub/hub';
import { listSnapshot } from '../../lib/hub/snapshot';
import { COMMIT, etagOf, type HubServer, type Repository, serveHub } from '../support/hub-server';
import { closeServers } from '../support/wheel-server';

/** Large enough to come in several chunks. */
const LARGE = Buffer.alloc(1 << 20, 'weights ');
const FILES = { 'config.json': Buffer.from('{}'), empty: Buffer.alloc(0), 'model.safetensors': LARGE };
const WEIGHTS = '/a/b/model.safetensors';
let root: string;
let hub: HubServer;

const serving = async (more: Omit<Repository, 'files'> = {}) => {
  hub = await serveHub({ 'a/b': { files: FILES, ...more } });
};
beforeEach(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'clipn-fetch-files-'));
  await serving();
});
afterEach(() => {
  closeServers();
  rmSync(root, { recursive: true });
});

const folder = () => path.join(root, 'snapshot');
const here = () => readdirSync(folder()).sort();

async function fetched(env: NodeJS.ProcessEnv = {}, options: Partial<Parameters<typeof fetchFiles>[4]> = {}) {
  const at = hubOf({ HF_ENDPOINT: hub.endpoint, HF_HOME: root, ...env });
  const snapshot = await listSnapshot({ ...at, offline: false }, { name: 'a/b', revision: 'main' }, undefined);
  await fetchFiles(at, snapshot, snapshot.files, folder(), { onProgress: () => {}, signal: undefined, ...options });
}

/** What an API that a file was listed by another size or hash gives. */
function answering(body: Buffer, { announced = body.length, times = Number.POSITIVE_INFINITY } = {}): void {
  hub.instead = (url, response, _, count) => {
    if (url !== WEIGHTS || count > times) return false;
    response.writeHead(200, { etag: etagOf(LARGE), 'content-length': announced });
    response.write(body, () => response.destroy());
    return true;
  };
}

describe('the files of a snapshot', () => {
  test('come by their commit, whole, and one that is there is not asked for again', async () => {
    const progress: number[] = [];
    await fetched(
      {},
      { onProgress: ({ phase, done, total }) => phase === 'download' && progress.push(done! / total!) },
    );
    assert.deepEqual(here(), Object.keys(FILES).sort());
    for (const [name, body] of Object.entries(FILES)) assert.deepEqual(readFileSync(path.join(folder(), name)), body);
    assert.deepEqual(hub.asked.slice(1, 3), [`/a/b/resolve/${COMMIT}/config.json`, `/a/b/resolve/${COMMIT}/empty`]);
    assert.deepEqual([progress.at(-1), progress.toSorted((a, b) => a - b)], [1, progress]);
    const before = hub.asked.length;
    await fetched();
    assert.equal(hub.asked.length, before + 1, 'the listing alone');
  });

  test('are gone on with where the transfer broke off, in one call and in the next', async () => {
    answering(LARGE.subarray(0, LARGE.length / 2), { announced: LARGE.length, times: 1 });
    await fetched();
    const first = Number(/^bytes=(\d+)-$/.exec(hub.cdn[1]!.headers.range!)![1]);
    assert.ok(first > 0 && first <= LARGE.length / 2, `${first}`);
    assert.deepEqual(readFileSync(path.join(folder(), 'model.safetensors')), LARGE);

    rmSync(path.join(folder(), 'model.safetensors'));
    answering(LARGE.subarray(0, LARGE.length / 2), { announced: LARGE.length });
    await assert.rejects(fetched(), {
      code: 'ERR_CLIPN_FETCH',
      message: /ended after \d+ of 1048576/,
      hint: /goes on/,
    });
    assert.ok(!here().includes('model.safetensors'), String(here()));
    hub.instead = () => false;
    await fetched();
    assert.match(hub.cdn.at(-1)!.headers.range!, /^bytes=[1-9]/);
    assert.deepEqual(here(), Object.keys(FILES).sort());
  });

  test('that are not what the hub lists never bear their name', async () => {
    const other = Buffer.from(LARGE);
    other[1000]! ^= 1;
    for (const [body, code, message] of [
      [other, 'ERR_CLIPN_FETCH_HASH', /model\.safetensors of a\/b came with SHA-256 [0-9a-f]{64}; the hub says/],
      [LARGE.subarray(1), 'ERR_CLIPN_FETCH_HASH', /came with 1048575 bytes; the hub says 1048576 bytes/],
      [Buffer.concat([LARGE, LARGE]), 'ERR_CLIPN_FETCH', /longer than 1048576 bytes/],
    ] as const) {
      hub.instead = (url, response) => {
        if (url !== WEIGHTS) return false;
        response.writeHead(200, { etag: '"x"', 'content-length': body.length }).end(body);
        return true;
      };
      await assert.rejects(fetched(), { code, message });
      assert.ok(!here().includes('model.safetensors'), String(here()));
    }
    hub.instead = (url, response) => {
      if (!url.endsWith('/config.json')) return false;
      response.end('[]');
      return true;
    };
    rmSync(folder(), { recursive: true });
    await assert.rejects(fetched(), { code: 'ERR_CLIPN_FETCH_HASH', message: /config\.json of a\/b came with git id/ });
    assert.deepEqual(here(), []);
  });

  test('without a network are refused by name', async () => {
    await fetched();
    await fetched({ HF_HUB_OFFLINE: '1' });
    writeFileSync(path.join(folder(), 'model.safetensors'), 'cut short');
    await assert.rejects(fetched({ HF_HUB_OFFLINE: '1' }), {
      code: 'ERR_CLIPN_FETCH',
      message: 'HF_HUB_OFFLINE is set, and model.safetensors of a/b did not come yet',
    });
  });

  test('that the hub lists and does not give are told', async () => {
    hub.instead = (url, response) => {
      if (!url.endsWith('/config.json')) return false;
      response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();
      return true;
    };
    await assert.rejects(fetched(), {
      code: 'ERR_CLIPN_HUB_NOT_FOUND',
      message: /config\.json of a\/b is not on http/,
    });
  });
});

describe('a token', () => {
  test('is sent to the hub and not to where that redirects', async () => {
    await serving({ gated: 'hf_right' });
    await fetched({ HF_TOKEN: 'hf_right' });
    const sent = (requests: HubServer['requests']) => new Set(requests.map(({ headers }) => headers.authorization));
    assert.deepEqual([sent(hub.requests), sent(hub.cdn)], [new Set(['Bearer hf_right']), new Set([undefined])]);
  });

  test('that is missing, and one without access, are told apart for a gated model', async () => {
    await serving({ gated: 'hf_right' });
    await assert.rejects(fetched(), {
      code: 'ERR_CLIPN_HUB_ACCESS',
      message: /a\/b is gated: .* no token was sent/,
      hint: /Ask for access at http.*\/a\/b, then set HF_TOKEN/,
    });
    await assert.rejects(fetched({ HF_TOKEN: 'hf_wrong' }), {
      code: 'ERR_CLIPN_HUB_ACCESS',
      message: /the token of HF_TOKEN has no access/,
    });
  });
});
