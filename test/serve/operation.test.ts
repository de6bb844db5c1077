/** What whoever runs the server relies on: keys, other origins, readiness, the drain, metrics, the log, drift. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { FittedCalibration } from '../../lib';
import { writeCalibration } from '../support/serve-calibration';
import {
  ask,
  form,
  photo,
  post,
  postJson,
  type ServeProcess,
  SMALL,
  serveProgram,
  startServer,
} from '../support/serve-process';

const KEY = 'a-key-that-nobody-guesses';
const OTHER = 'another-key-of-some-length';

describe('a server with API keys, for pages of one origin', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-serve-'));
  let server: ServeProcess;
  before(async () => {
    const file = path.join(folder, 'keys');
    writeFileSync(file, `# who\n${KEY}\n\n${OTHER}\n`);
    server = await startServer([
      '--api-keys-file',
      file,
      '--cors-origin',
      'https://shop.example',
      '--rate-limit',
      '60',
    ]);
  });
  after(async () => {
    await server.end();
    rmSync(folder, { recursive: true });
  });
  const get = (at: string, headers: Record<string, string> = {}) => ask(`${server.url}${at}`, { headers });
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

  test('answers who has one, and nobody else', async () => {
    for (const key of [KEY, OTHER]) assert.equal((await get('/v1/model', bearer(key))).status, 200);
    const wrong: Record<string, string>[] = [
      {},
      bearer(`${KEY}x`),
      bearer(''),
      { authorization: KEY },
      bearer('# who'),
    ];
    for (const headers of wrong) {
      for (const at of ['/v1/model', '/v1/labels', '/metrics', '/openapi.json', '/v2/models/clipn', '/nothing']) {
        const { status, body, headers: told } = await get(at, headers);
        assert.deepEqual([status, body['code']], [401, 'ERR_SERVE_API_KEY'], at);
        assert.match(told.get('www-authenticate')!, /^Bearer/);
      }
      assert.equal((await post(`${server.url}/v1/check`, photo('cat'), headers)).status, 401);
    }
    assert.equal((await post(`${server.url}/v1/check`, photo('cat'), bearer(KEY))).status, 200);
  });

  test('health and the page are open, for who asks them has no key', async () => {
    for (const at of ['/v2/health/live', '/v2/health/ready', '/']) assert.equal((await get(at)).status, 200, at);
  });

  test('a page of the origin may ask, one of another may not', async () => {
    const from = async (origin: string) => {
      const { headers } = await ask(`${server.url}/v1/check`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
      });
      return headers.get('access-control-allow-origin');
    };
    assert.equal(await from('https://shop.example'), 'https://shop.example');
    assert.equal(await from('https://evil.example'), null);
    const { status, headers } = await get('/v1/model', { origin: 'https://shop.example' });
    assert.deepEqual([status, headers.get('access-control-allow-origin')], [401, 'https://shop.example']);
  });

  test('a client that asks too often is told when to ask again', async () => {
    let answer = await get('/v1/model', bearer(KEY));
    for (let i = 0; i < 100 && answer.status === 200; i++) answer = await get('/v1/model', bearer(KEY));
    assert.deepEqual([answer.status, answer.body['code']], [429, 'ERR_SERVE_RATE_LIMIT']);
    assert.ok(Number(answer.headers.get('retry-after')) >= 1);
    assert.equal((await get('/v2/health/ready')).status, 200);
  });
});

describe('a server that is told to end', () => {
  test('says so to who asks whether it is ready, answers what it took, and ends', async () => {
    const server = await startServer(['--drain-delay', '4']);
    const { url, log } = server;
    const body = photo('boats');
    const slow = request(`${url}/v1/check`, {
      method: 'POST',
      headers: { 'content-type': 'image/jpeg' },
      agent: false,
    });
    slow.write(body.subarray(0, 1000));
    await once(slow, 'socket');
    const under = Array.from({ length: 30 }, () => post(`${url}/v1/check`, body));
    await wait(50);
    const ended = server.end();
    let ready = await ask(`${url}/v2/health/ready`);
    for (; ready.status === 200; await wait(20)) ready = await ask(`${url}/v2/health/ready`);
    assert.deepEqual([ready.status, ready.body['code']], [503, 'ERR_SERVE_DRAINING']);
    assert.equal(ready.headers.get('connection'), 'close');
    assert.equal((await ask(`${url}/v2/health/live`)).status, 200);
    assert.equal((await post(`${url}/v1/check`, body)).status, 200);
    // Nothing new is heard any more; what was begun before is.
    while (await fetch(url).catch(() => undefined)) await wait(100);
    const answered = once(slow, 'response');
    slow.end(body.subarray(1000));
    const [response] = await answered;
    assert.equal(response.statusCode, 200);
    assert.equal(JSON.parse(await text(response)).results[0].label, 'ferry');
    assert.deepEqual(new Set((await Promise.all(under)).map(({ status }) => status)), new Set([200]));
    assert.deepEqual(await ended, [0, null]);
    assert.ok(log.some(({ msg }) => msg === 'draining'));
    assert.equal(server.said(), '');
  });

  test('refuses what is too large so that a client who still sends hears it', async () => {
    const server = await startServer(['--drain-delay', '5', '--max-body', '1000']);
    const ended = server.end();
    while ((await ask(`${server.url}/v2/health/ready`)).status === 200) await wait(20);
    for (let i = 0; i < 5; i++) {
      const headers = { 'content-type': 'image/jpeg', 'content-length': 8e6 };
      const call = request(`${server.url}/v1/check`, { method: 'POST', agent: false, headers });
      const answered = once(call, 'response');
      for (let sent = 0; sent < 8; sent++) call.write(Buffer.alloc(1e6));
      call.end();
      const [response] = await answered;
      assert.equal(response.statusCode, 413);
      response.resume();
    }
    assert.deepEqual(await ended, [0, null]);
  });

  test('waits for no more of a client who keeps the connection of the last answer', async () => {
    const server = await startServer();
    const agent = new Agent({ keepAlive: true });
    const headers = { 'content-type': 'image/jpeg' };
    const call = request(`${server.url}/v1/check`, { method: 'POST', agent, headers });
    call.write(photo('cat').subarray(0, 1000));
    await once(call, 'socket');
    // Until the server has its head.
    while (!/^clipn_admitted_images 1$/m.test(String((await ask(`${server.url}/metrics`)).body['text'])))
      await wait(20);
    const ended = server.end('SIGINT');
    while (await fetch(server.url).catch(() => undefined)) await wait(50);
    await wait(500);
    const answered = once(call, 'response');
    call.end(photo('cat').subarray(1000));
    const [response] = await answered;
    assert.equal(response.statusCode, 200);
    assert.notEqual(await text(response), '');
    const end = await Promise.race([ended, wait(20_000, 'still running', { ref: false })]);
    agent.destroy();
    server.child.kill('SIGKILL');
    assert.deepEqual(end, [0, null]);
  });

  test('ends at once by a second signal, of the other kind as well', async () => {
    const server = await startServer(['--drain-delay', '60']);
    const ended = server.end('SIGTERM');
    while ((await ask(`${server.url}/v2/health/ready`)).status === 200) await wait(20);
    server.child.kill('SIGINT');
    assert.deepEqual(await ended, [null, 'SIGINT']);
  });

  test('by Ctrl-C ends at once when nothing is under way', async () => {
    const server = await startServer(['--drain-delay', '60']);
    assert.equal((await post(`${server.url}/v1/check`, photo('cat'))).status, 200);
    const before = performance.now();
    assert.deepEqual(await server.end('SIGINT'), [0, null]);
    assert.ok(performance.now() - before < 20_000);
  });

  test('loses no request of clients that keep their connections and ask whether it is ready', async () => {
    const server = await startServer(['--drain-delay', '3']);
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    const outcomes: (number | string)[] = [];
    let isReady = true;
    const client = async () => {
      while (isReady) {
        const call = request(`${server.url}/v1/check`, {
          method: 'POST',
          agent,
          headers: { 'content-type': 'image/jpeg' },
        });
        call.end(photo('cat'));
        const outcome = await once(call, 'response').then(
          async ([response]) => (await text(response)) && response.statusCode,
          (error: NodeJS.ErrnoException) => error.code,
        );
        outcomes.push(outcome);
      }
    };
    const balancer = async () => {
      for (; isReady; await wait(100)) isReady = (await ask(`${server.url}/v2/health/ready`)).status === 200;
    };
    const all = [balancer(), ...Array.from({ length: 8 }, client)];
    // On a busy machine it takes a while until all of them are at work.
    for (let waited = 0; outcomes.length < 20 && waited < 30_000; waited += 100) await wait(100);
    assert.deepEqual(await server.end(), [0, null]);
    await Promise.all(all);
    agent.destroy();
    assert.ok(outcomes.length > 20);
    assert.deepEqual(
      outcomes.filter((outcome) => outcome !== 200),
      [],
    );
  });
});

describe('a server with a calibration', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-serve-'));
  let server: ServeProcess;
  let calibration: FittedCalibration;
  before(async () => {
    const file = path.join(folder, 'calibration.json');
    calibration = await writeCalibration(file);
    server = await startServer(['--calibration', file]);
  });
  after(async () => {
    await server.end();
    rmSync(folder, { recursive: true });
  });

  test('decides by it, and tells how', async () => {
    const { body } = await ask(`${server.url}/v1/model`);
    assert.deepEqual(body['decides'], { rule: 'calibrated', score: 'atd', threshold: calibration.in, outBelow: null });
    assert.equal(body['drift'], true);
    const checked = await post(`${server.url}/v1/check`, photo('boats'));
    const [answer] = checked.body['results'] as { rule: string; pValue: number }[];
    assert.equal(answer!.rule, 'calibrated');
    assert.ok(answer!.pValue > 0 && answer!.pValue <= 1);
  });

  test('a list of labels of a client has no part in it', async () => {
    const { body } = await postJson(`${server.url}/v1/labels`, { labels: ['owl', 'fox'] });
    assert.deepEqual(body['decides'], { rule: 'atd', score: 'atd', threshold: null, outBelow: null });
    const before = (await ask(`${server.url}/v1/drift`)).body['standing'];
    await post(`${server.url}/v1/check?labels=${body['id']}`, photo('cat'));
    assert.deepEqual((await ask(`${server.url}/v1/drift`)).body['standing'], before);
  });

  test('notices drift, in its answers, its metrics and its log', async () => {
    const upload = () =>
      form(Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`${i}`, photo(['gravel', 'cat'][i % 2]!)])));
    for (let i = 0; i < 6; i++) await ask(`${server.url}/v1/check`, { method: 'POST', body: upload() });
    const { standing, points } = (await ask(`${server.url}/v1/drift`)).body as {
      standing: { images: number; out: number; alarms: { by: string }[]; logMartingale: number };
      points: { images: number; logMartingale: number; out: number }[];
    };
    assert.ok(standing.images >= 60 && standing.out >= 50, JSON.stringify(standing));
    assert.deepEqual(
      standing.alarms.map(({ by }) => by),
      ['martingale'],
    );
    assert.deepEqual(
      points.map(({ images }) => images),
      Array.from({ length: standing.images }, (_, i) => i + 1),
    );
    assert.equal(points.at(-1)!.logMartingale, standing.logMartingale);
    const metrics = String((await ask(`${server.url}/metrics`)).body['text']);
    assert.match(metrics, /^clipn_drift_alarms 1$/m);
    assert.match(metrics, /^clipn_images_total\{verdict="out",labels="own"\} \d+$/m);
    assert.match(
      metrics,
      /^clipn_http_request_duration_seconds_count\{method="POST",route="\/v1\/check",status="200"\} \d+$/m,
    );
    assert.equal(server.log.filter(({ msg }) => msg === 'the images have drifted').length, 1);
  });

  test('its log has a line for each request, and no name of a file', async () => {
    const before = server.log.length;
    await ask(`${server.url}/v1/check?region=0,0,50,50`, {
      method: 'POST',
      body: form({ 'secret.jpg': photo('cat') }),
    });
    await wait(200);
    // The line of the request before may have come just now.
    const lines = server.log.slice(before).filter(({ route }) => route !== '/metrics');
    assert.deepEqual(
      lines.map(({ msg, method, route, status }) => [msg, method, route, status]),
      [['answered', 'POST', '/v1/check', 200]],
    );
    assert.doesNotMatch(JSON.stringify(lines), /secret|region/);
  });
});

test('a guarded server says in its log when it is plain fp32, for its machine has no first tower', async () => {
  const server = await startServer(['--device', 'cpu', '--precision', 'guarded']);
  const { precision } = (await ask(`${server.url}/v1/model`)).body;
  const said = server.log.filter(({ msg }) => msg.startsWith('guarded is plain fp32 here: this CPU'));
  assert.equal(said.length, precision === 'fp32' ? 1 : 0);
  await server.end();
});

describe('the command line of the server', () => {
  const run = promisify(execFile);
  const fails = async (args: string[], env: NodeJS.ProcessEnv = {}) => {
    const all = [serveProgram(), '--model', SMALL, ...args];
    const failed = await run(process.execPath, all, { env: { ...process.env, ...env } }).catch((error) => error);
    return { code: failed.code as number, said: failed.stderr as string };
  };

  test('says what is wrong with its flags', async () => {
    const labels = ['--labels', 'a,b'];
    const cases: [string[], NodeJS.ProcessEnv, RegExp][] = [
      [[], {}, /--labels, --labels-file and --bank/],
      [[...labels, '--port', '99999'], {}, /65535/],
      [[...labels, '--deadline', 'soon'], {}, /number/],
      [[...labels, '--name', 'a/b'], {}, /letters/],
      [[...labels, '--log-level', 'loud'], {}, /loud/],
      [[...labels, '--api-keys-file', '/nowhere/keys'], {}, /\/nowhere\/keys/],
      [labels, { CLIPN_SERVE_API_KEYS: 'short' }, /16/],
      [labels, { CLIPN_SERVE_API_KEYS: ' ,' }, /no API key/],
    ];
    await Promise.all(
      cases.map(async ([args, env, about]) => {
        const { code, said } = await fails(args, env);
        assert.equal(code, 2, said);
        assert.match(said, /ERR_SERVE_USAGE/);
        assert.match(said, about);
      }),
    );
  });

  test('says what it needs and what it does not know', async () => {
    const said = async (args: string[]) => {
      const failed = await run(process.execPath, [serveProgram(), ...args]).catch((error) => error);
      return [failed.code, failed.stderr];
    };
    const [code, missing] = await said([]);
    assert.equal(code, 2);
    assert.match(missing, /required option '--model <m>'/);
    const [wrong, word] = await said(['serve']);
    assert.equal(wrong, 2);
    assert.match(word, /unknown command 'serve'/);
    const [unknown, about] = await said(['--model', SMALL, '--labels', 'a,b', '--colour']);
    assert.equal(unknown, 2);
    assert.match(about, /unknown option '--colour'/);
  });

  test('says that its port is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const { code, said } = await fails(['--labels', 'a,b', '--port', String(port)]);
    taken.close();
    assert.equal(code, 1);
    assert.match(said, /ERR_SERVE_LISTEN.*EADDRINUSE/s);
  });
});
