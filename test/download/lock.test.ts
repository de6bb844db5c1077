import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withLock } from '../../lib/download/lock';
import { type FetchOptions, fetchLibtorch } from '../../lib/libtorch/fetch';
import type { Machine } from '../../lib/libtorch/machine';
import { fakeMachine } from '../support/fake-libtorch';
import { closeServers, sendWheel, serve, wheel, wheelSha256, wholeWheel } from '../support/wheel-server';

let root: string;
let machine: Machine;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'clipn-lock-'));
  machine = fakeMachine(root);
});
afterEach(() => {
  closeServers();
  rmSync(root, { recursive: true, force: true });
});

const cache = () => join(root, 'cache/libtorch');
const cached = () => readdirSync(cache()).sort();
const fetched = (options: FetchOptions) => fetchLibtorch(options, machine);

describe('two fetches at once', () => {
  it('download once: one waits for the other and takes its copy', async () => {
    const { base, requests } = await serve(
      (request, response) => void setTimeout(() => sendWheel(request, response), 300),
    );
    const said: string[] = [];
    const onProgress: FetchOptions['onProgress'] = ({ phase, message }) =>
      void (phase === 'wait' && said.push(message));
    const options = { sha256: wheelSha256, mirror: base, onProgress };
    const [one, two] = await Promise.all([fetched(options), fetched(options)]);
    assert.deepEqual(one, two);
    assert.equal(requests.length, 1);
    assert.deepEqual(said, [`Waiting for process ${process.pid}, which fetches libtorch`]);
    assert.deepEqual(cached(), ['2.13.0+cpu']);
  });

  it('a waiting one can be aborted; the lock stays the other’s', async () => {
    mkdirSync(cache(), { recursive: true });
    const lock = JSON.stringify({ pid: process.pid, host: hostname(), token: 'other' });
    writeFileSync(join(cache(), '.lock'), lock);
    const stop = new AbortController();
    const reason = new Error('enough');
    const onProgress = () => stop.abort(reason);
    const from = join(root, 'torch.whl');
    writeFileSync(from, wheel);
    await assert.rejects(fetched({ from, signal: stop.signal, onProgress }), reason);
    assert.equal(readFileSync(join(cache(), '.lock'), 'utf8'), lock);
  });

  it('the lock of a process that is no more is taken over by one of many, with what it left', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => child.once('exit', resolve));
    mkdirSync(join(cache(), '.fetch-abandoned'), { recursive: true });
    writeFileSync(join(cache(), '.lock'), JSON.stringify({ pid: child.pid, host: hostname(), token: 'gone' }));
    const { base, requests } = await serve(wholeWheel);
    await Promise.all([1, 2, 3, 4].map(() => fetched({ sha256: wheelSha256, mirror: base })));
    assert.equal(requests.length, 1);
    assert.deepEqual(cached(), ['2.13.0+cpu']);
  });

  it('a holder whose lock was taken over leaves it to the new one', async () => {
    const file = join(root, 'lock');
    await withLock(file, { onWait: () => assert.fail(), signal: undefined }, async () =>
      writeFileSync(file, 'another'),
    );
    assert.equal(readFileSync(file, 'utf8'), 'another');
  });
});
