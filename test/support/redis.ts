/** A redis-server of its own for tests of queues: a socket and a folder nobody else has, started and stopped at will. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { endWithTests } from './left-running';

const MISSING = 'redis-server is not installed (Debian: apt-get install redis-server)';

const program = (process.env['PATH'] ?? '')
  .split(path.delimiter)
  .map((folder) => path.join(folder, 'redis-server'))
  .find((file) => existsSync(file));

/** Why tests with a queue are skipped; false when there is Redis, and in CI, where they must run. */
export const skipWithoutRedis = program === undefined && process.env['CI'] !== 'true' && MISSING;

export class RedisServer implements AsyncDisposable {
  /** What `--redis` takes. */
  readonly address: string;
  readonly #folder: string;
  readonly #keeps: boolean;
  #process: ChildProcess | undefined;

  /** @param keeps whether what it was told is there again after `stop` and `start` */
  private constructor({ keeps }: { keeps: boolean }) {
    // Not below the test's own folder: the path of a socket is short.
    this.#folder = mkdtempSync(path.join(tmpdir(), 'clipn-redis-'));
    this.address = path.join(this.#folder, 'redis.sock');
    this.#keeps = keeps;
  }

  static async start(options: { keeps: boolean }): Promise<RedisServer> {
    const server = new RedisServer(options);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    if (program === undefined) throw new Error(MISSING);
    mkdirSync(this.#folder, { recursive: true });
    const keep = this.#keeps ? 'yes' : 'no';
    const args = [
      '--port',
      '0',
      '--unixsocket',
      this.address,
      '--dir',
      this.#folder,
      '--save',
      '',
      '--appendonly',
      keep,
    ];
    this.#process = endWithTests(spawn(program, args, { stdio: 'ignore' }));
    while (!(await this.#answers())) {
      if (this.#process.exitCode !== null) throw new Error(`redis-server ended with ${this.#process.exitCode}`);
      await sleep(20);
    }
  }

  /** As when its machine loses power: no goodbye to anybody. */
  async stop(): Promise<void> {
    const running = this.#process;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const ended = new Promise((resolve) => running.once('close', resolve));
    running.kill('SIGKILL');
    await ended;
    rmSync(this.address, { force: true });
  }

  /** All that it holds, as text. */
  async everything(): Promise<string> {
    const redis = new Redis(this.address);
    try {
      const kept = (await redis.keys('*')).map(async (key) => [key, await redis.dumpBuffer(key)] as const);
      return (await Promise.all(kept)).map(([key, value]) => `${key} ${value.toString('latin1')}`).join('\n');
    } finally {
      redis.disconnect();
    }
  }

  async #answers(): Promise<boolean> {
    return await new Promise((resolve) => {
      const socket = connect(this.address);
      socket.once('error', () => resolve(false));
      socket.once('data', (data) => {
        socket.destroy();
        resolve(data.toString().startsWith('+PONG'));
      });
      socket.write('PING\r\n');
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
