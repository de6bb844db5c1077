/** examples/server as a process of its own, asked over HTTP. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { installExample } from '../support/example';
import { photos, repository } from '../support/paths';

const LABELS = readFileSync(path.join(photos, 'labels.txt'), 'utf8').trim().split('\n');
const photo = (name: string) => readFileSync(path.join(photos, name));

describe('examples/server', () => {
  const { folder, remove } = installExample('server');
  let server: ChildProcess;
  let said = '';
  let url = '';

  before(async () => {
    const args = [path.join(folder, 'server.js'), path.join(repository, 'models/small/model.pt'), ...LABELS];
    server = spawn(process.execPath, args, { env: { ...process.env, PORT: '0' }, stdio: ['ignore', 'pipe', 'pipe'] });
    server.stderr!.on('data', (chunk) => {
      said += chunk;
    });
    for await (const chunk of server.stdout!) {
      const port = /port (\d+)/.exec(String(chunk))?.[1];
      if (port === undefined) continue;
      url = `http://127.0.0.1:${port}`;
      break;
    }
    assert.notEqual(url, '', said);
  });
  after(() => {
    server.kill('SIGKILL');
    remove();
  });

  const post = async (body: RequestInit['body'] | Buffer) => {
    const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
    const response = await fetch(url, init);
    return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
  };

  test('answers many at once, each with its own verdict', async () => {
    const names = ['boats.jpg', 'cat.jpg', 'boats.jpg', 'rocket.jpg'];
    const answers = await Promise.all(names.map((name) => post(photo(name))));
    assert.deepEqual(
      answers.map(({ status, answer }) => [status, answer['verdict']]),
      [
        [200, 'in'],
        [200, 'out'],
        [200, 'in'],
        [200, 'out'],
      ],
    );
    assert.equal(answers[0]!.answer['label'], 'ferry');
    assert.equal(answers[0]!.answer['score'], answers[2]!.answer['score']);
  });

  test('tells what is no image, an image that is cut short, and nothing at all', async () => {
    for (const body of ['no image', photo('cat.jpg').subarray(0, 5000), undefined]) {
      const { status, answer } = await post(body);
      assert.deepEqual([status, answer['code']], [422, 'ERR_CLIPN_IMAGE_DECODE']);
    }
  });

  test('refuses a body that is too large, also of unknown length, and hears the next one', async () => {
    const tooLarge = new Uint8Array(21e6);
    for (const body of [tooLarge, Readable.toWeb(Readable.from([tooLarge.subarray(0, 11e6), tooLarge]))]) {
      const { status, answer } = await post(body as RequestInit['body']);
      assert.deepEqual([status, answer['code']], [413, 'ERR_CLIPN_IMAGE_TOO_LARGE']);
    }
    assert.equal((await post(photo('boats.jpg'))).status, 200);
  });

  test('takes POST alone', async () => {
    assert.equal((await fetch(url)).status, 405);
  });

  test('goes on when a caller hangs up in the middle of his image', async () => {
    const call = request(url, { method: 'POST', headers: { 'content-length': 1000 } });
    call.on('error', () => {});
    call.write(photo('boats.jpg').subarray(0, 500));
    await once(call, 'socket');
    call.destroy();
    assert.equal((await post(photo('boats.jpg'))).status, 200);
  });

  test('on SIGTERM answers what it took, and ends by itself', async () => {
    const under = Promise.all(['boats.jpg', 'cat.jpg', 'coffee.jpg'].map((name) => post(photo(name))));
    const call = request(url, { method: 'POST', agent: false });
    const answered = once(call, 'response');
    call.write(photo('boats.jpg').subarray(0, 1000));
    await under;
    const ended = once(server, 'exit');
    server.kill('SIGTERM');
    call.end(photo('boats.jpg').subarray(1000));
    const [response] = await answered;
    assert.equal(response.statusCode, 200);
    response.resume();
    assert.deepEqual(await ended, [0, null]);
    assert.equal(said, '');
  });
});
