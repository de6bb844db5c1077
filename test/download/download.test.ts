import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { proxyFor } from '../../lib/download/proxy';
import { type FetchOptions, fetchLibtorch } from '../../lib/libtorch/fetch';
import type { Machine } from '../../lib/libtorch/machine';
import { builtLibrary } from '../support/built';
import { fakeMachine } from '../support/fake-libtorch';
import {
  type Answer,
  closeServers,
  ETAG,
  sendWheel,
  serve,
  wheel,
  wheelSha256,
  wholeWheel,
} from '../support/wheel-server';

let root: string;
let machine: Machine;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'clipn-download-'));
  machine = fakeMachine(root);
});
afterEach(() => {
  closeServers();
  rmSync(root, { recursive: true, force: true });
});

const cache = () => join(root, 'cache/libtorch');
const cached = () => readdirSync(cache()).sort();
const fetched = (options: FetchOptions) => fetchLibtorch(options, machine);

/** Sends half of what was announced and hangs up. */
function breakOff(response: ServerResponse, headers: Record<string, string> = { etag: ETAG }): void {
  response.writeHead(200, { ...headers, 'content-length': wheel.length });
  response.write(wheel.subarray(0, wheel.length / 2), () => response.destroy());
}

/** Leaves half of the wheel of this URL in the cache, as an interrupted download does. */
function leavePart(url: string): void {
  mkdirSync(join(cache(), '.download'), { recursive: true });
  writeFileSync(join(cache(), '.download/torch.whl'), wheel.subarray(0, wheel.length / 2));
  writeFileSync(join(cache(), '.download/.source.json'), JSON.stringify({ url, validator: ETAG }));
}

/** Runs fetchLibtorch in a process that kills itself (SIGKILL) at the first progress for which `when` is true. */
async function killed(from: string, when: string): Promise<void> {
  const program = `require(${JSON.stringify(builtLibrary())}).fetchLibtorch({ from: ${JSON.stringify(from)}, onProgress: ({ phase, done, total }) => {
    if (${when}) process.kill(process.pid, 'SIGKILL');
  } })`;
  const env = { ...process.env, CLIPN_CACHE_DIR: join(root, 'cache') };
  const child = spawn(process.execPath, ['-e', program], { env, stdio: 'inherit' });
  const signal = await new Promise((resolve) => child.once('exit', (_, name) => resolve(name)));
  assert.equal(signal, 'SIGKILL');
}

describe('a download', () => {
  it('that breaks off is gone on with, by a range of the same file', async () => {
    const { base, requests } = await serve((request, response, count) =>
      count === 1 ? breakOff(response) : sendWheel(request, response),
    );
    const { version } = await fetched({ from: `${base}/torch.whl`, sha256: wheelSha256 });
    assert.equal(version, '2.13.0');
    assert.equal(requests.length, 2);
    const first = Number(/^bytes=(\d+)-$/.exec(requests[1]!.headers.range!)![1]);
    assert.ok(first > 0 && first <= wheel.length / 2, `${first}`);
    assert.equal(requests[1]!.headers['if-range'], ETAG);
    assert.deepEqual(cached(), ['2.13.0+cpu']);
  });

  it('that keeps breaking off is given up with the bytes that came, which the next call goes on with', async () => {
    let broken = true;
    const { base, requests } = await serve((request, response) =>
      broken ? breakOff(response) : sendWheel(request, response),
    );
    await assert.rejects(fetched({ from: `${base}/torch.whl` }), {
      code: 'ERR_CLIPN_FETCH',
      message: new RegExp(`it ended after \\d+ of ${wheel.length} bytes`),
      hint: /again: it goes on/,
    });
    assert.deepEqual(cached(), ['.download']);
    broken = false;
    await fetched({ from: `${base}/torch.whl`, sha256: wheelSha256 });
    assert.match(requests.at(-1)!.headers.range!, /^bytes=[1-9]/);
    assert.deepEqual(cached(), ['2.13.0+cpu']);
  });

  it('killed half-way (SIGKILL) is gone on with by another process', async () => {
    const { base, requests } = await serve((request, response, count) => {
      if (count > 1) return sendWheel(request, response);
      response.writeHead(200, { etag: ETAG, 'content-length': wheel.length });
      response.write(wheel.subarray(0, wheel.length / 2));
      setTimeout(() => response.write(wheel.subarray(wheel.length / 2, wheel.length - 9)), 300);
    });
    await killed(`${base}/torch.whl`, `phase === 'download' && done > ${wheel.length / 2}`);
    assert.ok(cached().includes('.download') && cached().includes('.lock'), String(cached()));
    await fetched({ from: `${base}/torch.whl`, sha256: wheelSha256 });
    assert.match(requests[1]!.headers.range!, /^bytes=[1-9]/);
    assert.deepEqual(cached(), ['2.13.0+cpu']);
  });

  it('killed while it was being unpacked (SIGKILL) is not downloaded again', async () => {
    const { base, requests } = await serve(wholeWheel);
    await killed(`${base}/torch.whl`, `phase === 'unpack' && done > 1e5`);
    assert.ok(!cached().includes('2.13.0+cpu'), String(cached()));
    await fetched({ from: `${base}/torch.whl`, sha256: wheelSha256 });
    assert.equal(requests[1]!.headers.range, `bytes=${wheel.length}-`);
    assert.deepEqual(cached(), ['2.13.0+cpu']);
  });

  it('starts anew when the server has another file by now, and when it ignores ranges', async () => {
    for (const [name, answer] of [
      ['another file', (request, response) => sendWheel(request, response, { etag: '"two"' })],
      [
        'another file, If-Range ignored',
        (_, response, count) => {
          const headers = { etag: '"two"', 'content-range': `bytes 9-${wheel.length - 1}/${wheel.length}` };
          if (count === 1) response.writeHead(206, headers).end(wheel.subarray(9));
          else response.writeHead(200, { etag: '"two"' }).end(wheel);
        },
      ],
      [
        'a shorter file',
        (request, response, count) => {
          if (count === 1) response.writeHead(416, { 'content-range': 'bytes */5' }).end();
          else sendWheel(request, response);
        },
      ],
      ['ranges ignored', (_, response) => response.end(wheel)],
    ] as [string, Answer][]) {
      rmSync(cache(), { recursive: true, force: true });
      const { base, requests } = await serve(answer);
      leavePart(`${base}/torch.whl`);
      await fetched({ from: `${base}/torch.whl`, sha256: wheelSha256 });
      assert.match(requests[0]!.headers.range!, /^bytes=/, name);
    }
  });

  it('starts anew when what lies there is of another URL, or of a server that names no version of its files', async () => {
    const { base, requests } = await serve((_, response, count) =>
      count === 2 ? breakOff(response, { etag: 'W/"weak"' }) : response.end(wheel),
    );
    leavePart(`${base}/other/torch.whl`);
    await fetched({ from: `${base}/torch.whl`, sha256: wheelSha256 });
    rmSync(cache(), { recursive: true });
    await fetched({ from: `${base}/torch.whl`, sha256: wheelSha256 });
    assert.deepEqual(
      requests.map(({ headers }) => headers.range),
      [undefined, undefined, undefined],
    );
  });

  it('that is refused is not kept', async () => {
    const { base } = await serve((request, response) =>
      sendWheel(request, response, { body: Buffer.from('not a zip') }),
    );
    await assert.rejects(fetched({ from: `${base}/torch.whl` }), {
      code: 'ERR_CLIPN_FETCH',
      message: /cannot be unpacked/,
    });
    assert.deepEqual(cached(), []);
  });

  it('that is aborted rejects with the signal’s reason and is kept', async () => {
    const { base } = await serve((_, response) => {
      response.writeHead(200, { etag: ETAG, 'content-length': wheel.length }).write(wheel.subarray(0, 1e5));
    });
    const stop = new AbortController();
    const reason = new Error('enough');
    const onProgress = () => void setTimeout(() => stop.abort(reason), 20);
    await assert.rejects(fetched({ from: `${base}/torch.whl`, signal: stop.signal, onProgress }), reason);
    assert.deepEqual(cached(), ['.download']);
  });

  it('sends credentials to the host they are for, not to where that redirects, and tells nobody', async () => {
    const { base: other, requests: seen } = await serve((request, response) =>
      request.url === '/torch.whl' ? sendWheel(request, response) : response.writeHead(404).end(),
    );
    const { base, requests } = await serve((request, response) =>
      response.writeHead(302, { location: other + request.url }).end(),
    );
    const named = base.replace('//', '//user:pass%40word@');
    await assert.rejects(fetched({ from: `${named}/no.whl` }), ({ message }: Error) => {
      assert.match(message, /the server answered 404/);
      return !message.includes('pass');
    });
    await fetched({ from: `${named}/torch.whl`, sha256: wheelSha256 });
    const expected = `Basic ${Buffer.from('user:pass@word').toString('base64')}`;
    assert.deepEqual(
      requests.map(({ headers }) => headers.authorization),
      [expected, expected],
    );
    assert.deepEqual(
      seen.map(({ headers }) => headers.authorization),
      [undefined, undefined],
    );
  });

  it('is refused when redirects do not end', async () => {
    const { base } = await serve((_, response) => response.writeHead(302, { location: '/again' }).end());
    await assert.rejects(fetched({ from: `${base}/torch.whl` }), { message: /redirected more than 5 times/ });
  });
});

describe('proxy variables:', () => {
  it('HTTP_PROXY takes plain http, and NO_PROXY excepts hosts from it', async () => {
    const { base: proxy, requests } = await serve(wholeWheel);
    machine.env['HTTP_PROXY'] = proxy;
    machine.env['NO_PROXY'] = 'localhost,.example.org';
    await fetched({ from: 'http://mirror.invalid/torch.whl', sha256: wheelSha256 });
    assert.deepEqual(
      requests.map(({ url, headers }) => [url, headers.host]),
      [['http://mirror.invalid/torch.whl', 'mirror.invalid']],
    );

    const { base, requests: direct } = await serve(wholeWheel);
    machine.env['NO_PROXY'] = '127.0.0.1';
    await fetched({ from: `${base}/torch.whl` });
    assert.equal(direct.length, 1);
    assert.equal(requests.length, 1);
  });

  it('HTTPS_PROXY is asked for a tunnel; its refusal is told', async () => {
    const { base, server } = await serve(() => assert.fail('not tunnelled'));
    const asked: (string | undefined)[] = [];
    server.on('connect', ({ url, headers }, socket) => {
      asked.push(url, headers['proxy-authorization']);
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    });
    machine.env['https_proxy'] = base.replace('//', '//me:secret@');
    await assert.rejects(fetched({ from: 'https://mirror.invalid/torch.whl' }), {
      code: 'ERR_CLIPN_FETCH',
      message: /403/,
    });
    assert.deepEqual(asked, ['mirror.invalid:443', `Basic ${Buffer.from('me:secret').toString('base64')}`]);
  });

  it('NO_PROXY takes hosts with their subdomains, ports and *', () => {
    for (const [noProxy, url, direct] of [
      ['example.org', 'https://example.org/', true],
      ['example.org', 'https://a.example.org/', true],
      ['.example.org', 'https://a.example.org/', true],
      ['*.example.org', 'https://a.example.org/', true],
      ['example.org', 'https://notexample.org/', false],
      ['example.org', 'https://example.org.evil.net/', false],
      ['example.org:443', 'https://example.org/', true],
      ['example.org:8443', 'https://example.org/', false],
      ['a.net, EXAMPLE.org', 'https://example.org/', true],
      ['*', 'https://example.org/', true],
      ['', 'https://example.org/', false],
    ] as const) {
      const proxy = proxyFor(new URL(url), { HTTPS_PROXY: 'proxy:3128', NO_PROXY: noProxy });
      assert.equal(proxy, direct ? null : 'http://proxy:3128', `${noProxy} ${url}`);
    }
  });

  it('a proxy of an unknown kind is refused without its password', async () => {
    machine.env['HTTP_PROXY'] = 'socks5://me:secret@127.0.0.1:1';
    await assert.rejects(fetched({ from: 'http://mirror.invalid/torch.whl' }), ({ message }: Error) => {
      assert.match(message, /The proxy socks5:\/\/127\.0\.0\.1:1 cannot be used/);
      return true;
    });
  });
});

describe('a mirror', () => {
  it('serves the published wheel by its name; pip is not asked', async () => {
    const { base, requests } = await serve(wholeWheel);
    machine.env['CLIPN_LIBTORCH_MIRROR'] = `${base}/pytorch/`;
    await fetched({ sha256: wheelSha256 });
    assert.deepEqual(
      requests.map(({ url }) => url),
      ['/pytorch/cpu/torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl'],
    );
    rmSync(cache(), { recursive: true });
    await fetched({ sha256: wheelSha256, mirror: `${base}/other` });
    assert.match(requests[1]!.url!, /^\/other\/cpu\//);
  });

  it('that is no http or https URL is refused, by option and by variable', async () => {
    const refusal = { code: 'ERR_CLIPN_INVALID_ARG', message: "mirror is 'ftp://x'." };
    await assert.rejects(fetched({ mirror: 'ftp://x' }), refusal);
    machine.env['CLIPN_LIBTORCH_MIRROR'] = 'ftp://x';
    await assert.rejects(fetched({}), refusal);
  });

  it('that serves another file under that name is refused by the published hash', async () => {
    const { base } = await serve(wholeWheel);
    await assert.rejects(fetched({ mirror: base }), { code: 'ERR_CLIPN_FETCH_HASH' });
    assert.deepEqual(cached(), []);
  });
});
