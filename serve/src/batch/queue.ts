/** The queue of a batch in Redis: which shards are to be done. What was done says the batch's folder alone. */
import type { Queue } from 'bullmq';
import { ServeError } from '../errors';
import type { Manifest } from './manifest';

/** All that Redis knows of a shard: the list stays in the folder. */
export interface ShardJob {
  shard: number;
}

export type ShardQueue = Queue<ShardJob>;

export const DEFAULT_REDIS = 'redis://127.0.0.1:6379';

export const queueName = ({ id }: Manifest): string => `clipn-${id}`;
const jobId = (shard: number): string => `shard-${shard}`;

/** Tries of a shard whose objects or folder cannot be had, 2, 4, … 512 s apart: 17 minutes in all. */
export const ATTEMPTS = 10;
const BACK_OFF = { type: 'exponential', delay: 2000, jitter: 0.5 };
/** Shards that go to Redis in one request. */
const AT_ONCE = 1000;
/** A Redis that does not answer is asked again after 0.1, 0.2, … 2 s. */
const LONGEST_WAIT_MS = 2000;

export interface RedisAddress {
  host?: string;
  port?: number;
  path?: string;
  username?: string;
  password?: string;
  db?: number;
  tls?: object;
}

/** `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, or the path of a socket. @throws ERR_SERVE_USAGE */
export function parseRedis(address: string): RedisAddress {
  if (address.startsWith('/')) return { path: address };
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw new ServeError('ERR_SERVE_USAGE', 'the address of Redis is none: redis://HOST:PORT');
  }
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    throw new ServeError(
      'ERR_SERVE_USAGE',
      `the address of Redis begins with redis:// or rediss://, not ${url.protocol}`,
    );
  }
  const { username, password, hostname, port, pathname } = url;
  return {
    host: hostname,
    port: port === '' ? 6379 : Number(port),
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
    ...(pathname.length > 1 && { db: Number(pathname.slice(1)) }),
    ...(url.protocol === 'rediss:' && { tls: {} }),
  };
}

/** For messages: without user and password. */
export const redisName = ({ path, host, port }: RedisAddress): string => path ?? `${host}:${port}`;

export const connectionOf = (redis: RedisAddress) => ({
  ...redis,
  retryStrategy: (times: number) => Math.min(LONGEST_WAIT_MS, 100 * times),
});

/** Of a worker: it waits for Redis as long as it takes. */
export function openQueue(manifest: Manifest, redis: RedisAddress): ShardQueue {
  const bullmq = require('bullmq') as typeof import('bullmq'); // 300 modules, which no other verb needs
  const queue: ShardQueue = new bullmq.Queue<ShardJob>(queueName(manifest), { connection: connectionOf(redis) });
  // Told by who asks, each time it asks.
  queue.on('error', () => undefined);
  return queue;
}

/** Time in which a Redis that is there has answered. */
const ANSWER_MS = 10_000;

/** Lends a queue to `use`, for somebody who sits before the screen. @throws ERR_SERVE_REDIS when Redis does not answer */
export async function withQueue<T>(
  manifest: Manifest,
  redis: RedisAddress,
  use: (queue: ShardQueue) => Promise<T>,
): Promise<T> {
  let last = 'no answer';
  const queue = openQueue(manifest, redis);
  queue.on('error', ({ message, code }: NodeJS.ErrnoException) => {
    last = message || code || last;
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new ServeError('ERR_SERVE_REDIS', `Redis at ${redisName(redis)} cannot be reached: ${last}`));
    }, ANSWER_MS);
  });
  try {
    await Promise.race([queue.waitUntilReady(), late]);
    return await use(queue);
  } finally {
    clearTimeout(timer);
    await queue.close().catch(() => undefined);
  }
}

/** Adds shards; one that is in the queue, in whatever state, stays as it is. */
export async function addShards(queue: ShardQueue, shards: readonly number[]): Promise<void> {
  for (let at = 0; at < shards.length; at += AT_ONCE) {
    await queue.addBulk(
      shards.slice(at, at + AT_ONCE).map((shard) => ({
        name: 'shard',
        data: { shard },
        opts: { jobId: jobId(shard), attempts: ATTEMPTS, backoff: BACK_OFF, removeOnComplete: true },
      })),
    );
  }
}

/** Takes shards that failed for good out of the queue, so that they can be added again; returns how many there were. */
export async function forgetFailed(queue: ShardQueue): Promise<number> {
  const failed = await queue.getFailed();
  for (const job of failed) await job.remove();
  return failed.length;
}

export interface QueueCounts {
  /** Not begun, or waiting for the next try. */
  waiting: number;
  running: number;
  failed: number;
}

export async function countsOf(queue: ShardQueue): Promise<QueueCounts> {
  const counts = await queue.getJobCounts('wait', 'active', 'delayed', 'prioritized', 'failed');
  const sum = (...states: string[]) => states.reduce((total, state) => total + (counts[state] ?? 0), 0);
  return { waiting: sum('wait', 'delayed', 'prioritized'), running: sum('active'), failed: sum('failed') };
}
