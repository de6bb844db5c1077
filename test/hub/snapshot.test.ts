/** What is asked of the hub, as whom, and what becomes of its answers. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { hubOf } from '../../lib/hub/hub';
import { parseHubName } from '../../lib/hub/name';
import { listSnapshot } from '../../lib/hub/snapshot';
import { COMMIT, type HubServer, serveHub, sibling } from '../support/hub-server';
import { closeServers, serve } from '../support/wheel-server';

let home: string;
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'clipn-hub-'));
});
afterEach(() => {
  closeServers();
  rmSync(home, { recursive: true });
});

const HELLO = Buffer.from('hello');
const REPOSITORY = { files: { 'config.json': HELLO, 'onnx/model.bin': HELLO }, license: 'apache-2.0' };
const listed = (endpoint: string, env: NodeJS.ProcessEnv = {}, name = 'a/b', signal?: AbortSignal) =>
  listSnapshot(hubOf({ HF_HOME: home, HF_ENDPOINT: endpoint, ...env }), parseHubName(name)!, signal);
const authorizations = (hub: HubServer) => hub.requests.map(({ headers }) => headers.authorization);

describe('a listing', () => {
  test('has the commit, the licence, and size and hash of each file', async () => {
    const { endpoint } = await serveHub({ 'a/b': REPOSITORY });
    // `printf hello | git hash-object --stdin`, `printf hello | sha256sum`
    const blob = 'b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0';
    const sha256 = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824';
    assert.deepEqual(await listed(endpoint), {
      name: 'a/b',
      revision: 'main',
      commit: COMMIT,
      license: 'apache-2.0',
      files: [
        { path: 'config.json', bytes: 5, sha256: null, blob },
        { path: 'onnx/model.bin', bytes: 5, sha256, blob: null },
      ],
    });
  });

  test('is asked for by revision, at an endpoint with a path and slashes at its end', async () => {
    const hub = await serveHub({ 'a/b': { ...REPOSITORY, branch: 'refs/pr/7' } }, '/mirror/hf');
    const { revision, commit } = await listed(`${hub.endpoint}//`, {}, 'a/b@refs/pr/7');
    assert.deepEqual([revision, commit], ['refs/pr/7', COMMIT]);
    assert.deepEqual(hub.asked, ['/mirror/hf/api/models/a/b/revision/refs%2Fpr%2F7?blobs=true']);
  });

  test('takes the licence of the card, the name of one of its own, or that of the tags', async () => {
    for (const [listing, license] of [
      [{ cardData: { license: 'other', license_name: 'faipl-1.0' } }, 'faipl-1.0'],
      [{ cardData: { license: ['mit', 'apache-2.0'] } }, 'mit, apache-2.0'],
      [{ cardData: null, tags: ['clip', 'license:cc-by-nc-4.0'] }, 'cc-by-nc-4.0'],
      [{ cardData: { license: 'a\u001b[31mb' } }, 'a[31mb'],
      [{ cardData: {}, tags: 'none' }, null],
    ] as const) {
      const { endpoint } = await serveHub({ 'a/b': { ...REPOSITORY, listing } });
      assert.equal((await listed(endpoint)).license, license);
    }
  });

  test('of a repository that was renamed comes from where the hub redirects', async () => {
    const hub = await serveHub({ 'new/b': REPOSITORY });
    hub.instead = (url, response) => {
      if (!url.includes('/a/b/')) return false;
      response.writeHead(307, { location: url.replace('/a/b/', '/new/b/') }).end();
      return true;
    };
    assert.equal((await listed(hub.endpoint)).name, 'a/b');
  });
});

describe('an answer that cannot be used is refused:', () => {
  const entry = sibling('config.json', HELLO);
  for (const [what, listing, message] of [
    ['no commit', { sha: 'main' }, /names no commit/],
    ['a commit that leads elsewhere', { sha: '../..' }, /names no commit/],
    ['no files', { siblings: null }, /lists no files/],
    [
      'a file above the folder',
      { siblings: [{ ...entry, rfilename: '../config.json' }] },
      /lists a file "\.\.\/config/,
    ],
    ['a file inside and out again', { siblings: [{ ...entry, rfilename: 'a/../../b' }] }, /lists a file/],
    ['an absolute file', { siblings: [{ ...entry, rfilename: '/etc/passwd' }] }, /lists a file/],
    ['backslashes', { siblings: [{ ...entry, rfilename: '..\\b' }] }, /lists a file/],
    ['a file without a name', { siblings: [null] }, /lists a file undefined/],
    ['no size', { siblings: [{ ...entry, size: undefined }] }, /gives config\.json undefined bytes/],
    ['a negative size', { siblings: [{ ...entry, size: -1 }] }, /-1 bytes/],
    ['a size beyond all numbers', { siblings: [{ ...entry, size: 1e300 }] }, /1e\+300 bytes/],
    ['no hash', { siblings: [{ ...entry, blobId: undefined }] }, /gives no hash of config\.json/],
    ['no SHA-256', { siblings: [{ ...entry, lfs: { size: 5, sha256: null } }] }, /gives no hash of config\.json/],
  ] as const) {
    test(what, async () => {
      const { endpoint } = await serveHub({ 'a/b': { ...REPOSITORY, listing } });
      await assert.rejects(listed(endpoint), { code: 'ERR_CLIPN_FETCH', message, hint: /HF_ENDPOINT/ });
    });
  }

  test('another commit than was asked for', async () => {
    const { endpoint } = await serveHub({ 'a/b': { ...REPOSITORY, listing: { sha: 'f'.repeat(40) } } });
    await assert.rejects(listed(endpoint, {}, `a/b@${COMMIT}`), { code: 'ERR_CLIPN_FETCH', message: /commit ffff/ });
  });

  test('a page instead of JSON, and one that does not end', async () => {
    const { base } = await serve((request, response) => {
      if (request.url!.startsWith('/page')) return response.end('<html>');
      const more = () => response.write(' '.repeat(1 << 20), () => response.destroyed || more());
      more();
    });
    await assert.rejects(listed(`${base}/page`), { code: 'ERR_CLIPN_FETCH', message: /it is not JSON/ });
    await assert.rejects(listed(base), { code: 'ERR_CLIPN_FETCH', message: /longer than 67108864 bytes/ });
  });
});

describe('a name', () => {
  test('that the hub does not know and one that it does not show are the same, with and without a token', async () => {
    const { endpoint } = await serveHub({});
    for (const env of [{}, { HF_TOKEN: 'hf_x' }]) {
      await assert.rejects(listed(endpoint, env), {
        code: 'ERR_CLIPN_HUB_NOT_FOUND',
        message: `the model a/b is not on ${endpoint}, or is not shown to you`,
        hint: /HF_TOKEN/,
      });
    }
  });

  test('without this revision', async () => {
    const { endpoint } = await serveHub({ 'a/b': REPOSITORY });
    await assert.rejects(listed(endpoint, {}, 'a/b@v9'), {
      code: 'ERR_CLIPN_HUB_NOT_FOUND',
      message: /a\/b on http.* has no revision v9/,
    });
  });

  test('asked for with a token that the hub refuses', async () => {
    const { base } = await serve((_, response) => response.writeHead(401).end('Invalid credentials'));
    await assert.rejects(
      listed(base, { HF_TOKEN: 'hf_wrong' }),
      ({ code, message, hint }: { [key: string]: string }) => {
        assert.deepEqual([code, /the token of HF_TOKEN has no access/.test(message!)], ['ERR_CLIPN_HUB_ACCESS', true]);
        return !`${message}${hint}`.includes('hf_wrong');
      },
    );
  });
});

describe('a hub that is', () => {
  test('busy is asked again, as often as for a download', async () => {
    const hub = await serveHub({ 'a/b': REPOSITORY });
    hub.instead = (_, response, __, count) => {
      if (count > 2) return false;
      response.writeHead(count === 1 ? 503 : 429).end();
      return true;
    };
    assert.equal((await listed(hub.endpoint)).commit, COMMIT);
    assert.equal(hub.asked.length, 3);
  });

  test('busy for longer than is waited is told with its status', async () => {
    const hub = await serveHub({});
    hub.instead = (_, response) => {
      response.writeHead(429, { 'retry-after': '3600' }).end();
      return true;
    };
    await assert.rejects(listed(hub.endpoint), { code: 'ERR_CLIPN_FETCH', message: /answered 429/, hint: /HF_TOKEN/ });
    assert.equal(hub.asked.length, 1, 'an hour is not waited for');
    hub.instead = (_, response) => {
      response.writeHead(500).end();
      return true;
    };
    await assert.rejects(listed(hub.endpoint), { code: 'ERR_CLIPN_FETCH', message: /answered 500/ });
    assert.equal(hub.asked.length, 6);
  });

  test('not there is told with what the system said', async () => {
    const { base, server } = await serve(() => assert.fail('it is closed'));
    await new Promise((resolve) => server.close(resolve));
    await assert.rejects(listed(base), { code: 'ERR_CLIPN_FETCH', message: /ECONNREFUSED/, hint: /HTTPS_PROXY/ });
  });

  test('silent can be given up', async () => {
    const stop = new AbortController();
    const { base } = await serve(() => stop.abort(new Error('enough')));
    await assert.rejects(listed(base, {}, 'a/b', stop.signal), { message: 'enough' });
  });

  test('behind a proxy is asked through it', async () => {
    const hub = await serveHub({ 'a/b': REPOSITORY });
    const { base: proxy, requests } = await serve(async ({ url, headers }, response) => {
      const { body } = await fetch(url!.replace('http://hub.invalid', hub.endpoint), {
        headers: { accept: headers.accept! },
      });
      for await (const chunk of body!) response.write(chunk);
      response.end();
    });
    assert.equal((await listed('http://hub.invalid', { HTTP_PROXY: proxy })).commit, COMMIT);
    assert.equal(requests.length, 1);
    await assert.rejects(listed('http://hub.invalid', { HTTP_PROXY: proxy, NO_PROXY: 'hub.invalid' }), {
      code: 'ERR_CLIPN_FETCH',
    });
    assert.equal(requests.length, 1);
  });
});

describe('the token', () => {
  test('is HF_TOKEN, else the file of HF_TOKEN_PATH, of HF_HOME, of the cache folder', async () => {
    const hub = await serveHub({ 'a/b': REPOSITORY });
    const write = (file: string, token: string) => {
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, token);
      return file;
    };
    await listed(hub.endpoint);
    const own = write(path.join(home, 'own'), 'hf_own\n');
    write(path.join(home, 'token'), 'hf_home\n');
    write(path.join(home, 'xdg/huggingface/token'), 'hf_xdg');
    for (const env of [
      { HF_TOKEN: ' hf_env\n', HF_TOKEN_PATH: own },
      { HF_TOKEN_PATH: own },
      {},
      { HF_HOME: '', XDG_CACHE_HOME: path.join(home, 'xdg') },
      { HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' },
      { HF_HUB_DISABLE_IMPLICIT_TOKEN: '1', HF_TOKEN: 'hf_env' },
    ]) {
      await listed(hub.endpoint, env);
    }
    const sent = ['hf_env', 'hf_own', 'hf_home', 'hf_xdg', undefined, 'hf_env'];
    assert.deepEqual(
      authorizations(hub),
      [undefined, ...sent].map((token) => token && `Bearer ${token}`),
    );
  });

  test('that is none, and a file that cannot be read, are refused without being shown', async () => {
    await assert.rejects(
      async () => hubOf({ HF_TOKEN: 'päss wort' }),
      ({ code, message }: { [key: string]: string }) => {
        assert.equal(code, 'ERR_CLIPN_INVALID_ARG');
        return message!.includes('HF_TOKEN') && !message!.includes('wort');
      },
    );
    mkdirSync(path.join(home, 'token'));
    await assert.rejects(async () => hubOf({ HF_HOME: home }), {
      code: 'ERR_CLIPN_IO',
      message: /cannot read the token/,
    });
  });

  test('is not a password in HF_ENDPOINT, which is not shown', async () => {
    await assert.rejects(
      async () => hubOf({ HF_ENDPOINT: 'https://me:secret@hub.example/x' }),
      ({ code, message }: { [key: string]: string }) => {
        assert.equal(code, 'ERR_CLIPN_INVALID_ARG');
        return message!.includes('hub.example') && !message!.includes('secret');
      },
    );
  });

  test('goes to no address that is no http URL', async () => {
    for (const endpoint of ['ftp://hub', 'hub.example', 'file:///etc']) {
      await assert.rejects(async () => hubOf({ HF_ENDPOINT: endpoint }), {
        code: 'ERR_CLIPN_INVALID_ARG',
        message: /HF_ENDPOINT/,
      });
    }
  });
});
