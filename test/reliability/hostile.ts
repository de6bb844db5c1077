/**
 * Hostile load on the server, a process of its own: `node --require tsx/cjs hostile.ts --seconds S --seed N`. Among clients
 * that mean well there are slow ones, ones that hang up, bodies that are cut, too large or of the wrong type, nonsense, and
 * floods. Prints what happened as JSON, exits 1 if `failures` in it are any.
 *
 * Every request is written as bytes on a connection of its own or on a kept one, and all bytes that come back are read: so an
 * answer too many would be seen. At the end the server is told to end under load, and must lose nothing.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { uniformSource } from '../../lib/base/random';
import { memory } from '../support/memory';
import { ask, photo, post, type ServeProcess, startServer } from '../support/serve-process';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '12' }, seed: { type: 'string', default: '1' } },
});
const [seconds, seed] = [Number(values.seconds), Number(values.seed)];
const random = uniformSource(seed);
const below = (n: number) => Math.floor(random() * n);
const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;

/** Clients of each kind, each with one request under way. */
const CLIENTS = { good: 8, kept: 4, slow: 12, leaving: 8, cut: 6, large: 4, wrong: 8, nonsense: 4 } as const;
const FLOOD = 150;
const FLOOD_EVERY_MS = 3000;
const MAX_BODY = 1_000_000;
const MAX_WAITING = 64;
const DEADLINE = 3;
/** As for the traffic of test/reliability: a run of seconds warms up throughout, so there the level has the limit. */
const SLOPE_LIMIT_MB = 4;
const LEVEL_LIMIT_MB = 900;
const HANGS_MS = 30_000;
const SAMPLE_MS = 500;

const failures = new Set<string>();
const outcomes: Record<string, number> = {};
const started = performance.now();
const elapsed = () => (performance.now() - started) / 1000;
let isOver = false;

function count(kind: string, outcome: string): void {
  const name = `${kind}: ${outcome}`;
  outcomes[name] = (outcomes[name] ?? 0) + 1;
}

/** Holds an outcome against those that are right for its kind. */
function expect(kind: string, outcome: string, right: readonly string[]): void {
  count(kind, outcome);
  if (!right.includes(outcome)) failures.add(`${kind}: ${outcome} after ${elapsed().toFixed(1)} s`);
}

function head(length: number | 'chunked', type = 'image/jpeg', path = '/v1/check'): string {
  const size = length === 'chunked' ? 'transfer-encoding: chunked' : `content-length: ${length}`;
  return `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${type}\r\n${size}\r\n`;
}

/** All answers on a connection until it ends, as `status code` or `200 verdict`. */
class Connection {
  readonly socket: Socket;
  #said = Buffer.alloc(0);
  #ended = false;
  #failed: string | undefined;
  #wake = () => {};
  /** Whether the last answer said that it is the last: what was sent behind its request is not heard. */
  isLast = false;

  constructor({ url }: ServeProcess) {
    const { port, hostname } = new URL(url);
    this.socket = connect(Number(port), hostname);
    this.socket.on('data', (chunk) => {
      this.#said = Buffer.concat([this.#said, chunk]);
      this.#wake();
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#failed = error.code ?? error.message;
    });
    this.socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  send(...parts: (string | Buffer)[]): void {
    for (const part of parts) if (this.socket.writable) this.socket.write(part);
  }

  /** The next answer, or how the connection ended without one. */
  async answer(): Promise<string> {
    for (const since = performance.now(); performance.now() - since < HANGS_MS; ) {
      const answer = this.#take();
      if (answer !== undefined) return answer;
      if (this.#ended) return this.#failed ?? 'closed';
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, 1000).unref();
      });
    }
    return 'hangs';
  }

  #take(): string | undefined {
    const end = this.#said.indexOf('\r\n\r\n');
    if (end < 0) return undefined;
    const text = this.#said.toString('latin1', 0, end);
    this.isLast = /^connection: close$/im.test(text.replaceAll('\r', ''));
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1]);
    if (this.#said.length < end + 4 + length) return undefined;
    const body = JSON.parse(this.#said.toString('utf8', end + 4, end + 4 + length)) as {
      code?: string;
      results?: { verdict: string; label: string; scores: { atd: number } }[];
    };
    this.#said = this.#said.subarray(end + 4 + length);
    const status = text.slice(9, 12);
    const [result] = body.results ?? [];
    return result ? `${status} ${result.label} ${result.scores.atd}` : `${status} ${body.code}`;
  }

  /** Ends it; an answer that nobody asked for is one too many. */
  close(): void {
    this.socket.destroy();
    if (this.#said.length > 0) failures.add(`an answer too many: ${this.#said.toString('latin1', 0, 200)}`);
  }
}

const PHOTOS = ['boats', 'cat', 'coffee', 'rocket', 'clock'];
const BUSY = '429 ERR_SERVE_BUSY';
/** On a machine that others load as well. */
const LATE = '504 ERR_SERVE_DEADLINE';
const NAMES = new Map<string, string>();

async function good(server: ServeProcess): Promise<void> {
  const name = pick(PHOTOS);
  const connection = new Connection(server);
  const body = photo(name);
  connection.send(`${head(body.length)}connection: close\r\n\r\n`, body);
  expect('good', await connection.answer(), [NAMES.get(name)!, BUSY, LATE]);
  connection.close();
}

/** Two requests at once on one connection: two answers, in their order. */
async function kept(server: ServeProcess): Promise<void> {
  const connection = new Connection(server);
  for (let i = 0; i < 3 && !isOver; i++) {
    const names = [pick(PHOTOS), pick(PHOTOS)];
    for (const name of names) connection.send(`${head(photo(name).length)}\r\n`, photo(name));
    for (const name of names) {
      if (!connection.isLast) expect('kept', await connection.answer(), [NAMES.get(name)!, BUSY, LATE]);
    }
    if (connection.isLast) break;
  }
  connection.close();
}

/** Byte by byte: done within the deadline, or told that it was too slow. */
async function slow(server: ServeProcess): Promise<void> {
  const connection = new Connection(server);
  const body = photo('cat').subarray(0, 6000);
  connection.send(`${head(body.length)}connection: close\r\n\r\n`);
  const pause = pick([20, 400]);
  const until = performance.now() + 1000 * (DEADLINE + 1);
  for (let at = 0; at < body.length && performance.now() < until && !isOver; at += 300) {
    connection.send(body.subarray(at, at + 300));
    await sleep(pause);
  }
  if (isOver) {
    connection.socket.destroy();
    return;
  }
  expect('slow', await connection.answer(), ['422 ERR_CLIPN_IMAGE_DECODE', '408 ERR_SERVE_SLOW_BODY', LATE, BUSY]);
  connection.close();
}

/** Hangs up anywhere: in the head, in the body, or while the answer is made. */
async function leaving(server: ServeProcess): Promise<void> {
  const connection = new Connection(server);
  const body = photo('boats');
  const all = Buffer.concat([Buffer.from(`${head(body.length)}\r\n`), body]);
  connection.send(all.subarray(0, pick([10, 200, all.length >> 1, all.length])));
  await sleep(below(60));
  connection.socket.destroy();
  count('leaving', 'left');
}

/** Ends its side before the body is whole. */
async function cut(server: ServeProcess): Promise<void> {
  const connection = new Connection(server);
  connection.send(`${head(photo('boats').length)}\r\n`, photo('boats').subarray(0, below(20_000)));
  connection.socket.end();
  // No whole request has come: whether the server says so or closes is its own affair.
  expect('cut', await connection.answer(), ['closed', 'ECONNRESET', '400 ERR_SERVE_REQUEST', BUSY]);
  connection.close();
}

async function large(server: ServeProcess): Promise<void> {
  const connection = new Connection(server);
  const body = Buffer.alloc(MAX_BODY + 1 + below(MAX_BODY), 7);
  const size = (bytes: Buffer) => [`${bytes.length.toString(16)}\r\n`, bytes, '\r\n'];
  if (random() < 0.5) connection.send(`${head(body.length)}\r\n`, body);
  else connection.send(`${head('chunked')}\r\n`, ...size(body.subarray(9e5)), ...size(body), '0\r\n\r\n');
  expect('large', await connection.answer(), ['413 ERR_SERVE_TOO_LARGE', BUSY]);
  connection.close();
}

async function wrong(server: ServeProcess): Promise<void> {
  const [type, body, right, path] = pick([
    ['text/plain', 'cat', '415 ERR_SERVE_MEDIA_TYPE', '/v1/check'],
    ['image/png', 'no image at all', '422 ERR_CLIPN_IMAGE_DECODE', '/v1/check'],
    ['application/json', '{"images":[', '400 ERR_SERVE_REQUEST', '/v1/check'],
    ['application/json', '{"images":[{"data":"http://localhost/"}]}', '400 ERR_SERVE_REQUEST', '/v1/check'],
    ['multipart/form-data; boundary=x', '--x\r\nnonsense', '400 ERR_SERVE_REQUEST', '/v1/check'],
    ['image/jpeg', 'x', '400 ERR_SERVE_REQUEST', '/v1/check?top=1e9'],
    ['application/json', '{"inputs":[]}', '400 ERR_SERVE_REQUEST', '/v2/models/clipn/infer'],
    ['application/json', '{}', '404 ERR_SERVE_NOT_FOUND', '/v2/models/other/infer'],
  ] as const);
  const connection = new Connection(server);
  connection.send(`${head(body.length, type, path)}\r\n`, body);
  expect('wrong', await connection.answer(), [right, BUSY]);
  connection.close();
}

async function nonsense(server: ServeProcess): Promise<void> {
  const connection = new Connection(server);
  connection.send(
    pick(['\x16\x03\x01\x02\x00', 'GET /\r\n\r\n', 'POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n', '\0'.repeat(99)]),
  );
  // Without a version it is a request of HTTP/0.9, which names no host.
  expect('nonsense', await connection.answer(), ['400 ERR_SERVE_REQUEST', '421 ERR_SERVE_HOST', 'closed']);
  connection.close();
  await sleep(20);
}

async function flood(server: ServeProcess): Promise<void> {
  const one = async () => {
    const connection = new Connection(server);
    const body = photo('cat');
    connection.send(`${head(body.length)}connection: close\r\n\r\n`, body);
    expect('flood', await connection.answer(), [NAMES.get('cat')!, BUSY, LATE]);
    connection.close();
  };
  await Promise.all(Array.from({ length: FLOOD }, one));
}

const metric = (text: string, name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);

async function main(): Promise<void> {
  const flags = ['--max-body', String(MAX_BODY), '--max-waiting', String(MAX_WAITING), '--deadline', String(DEADLINE)];
  const server = await startServer([...flags, '--drain-delay', '3']);
  for (const name of PHOTOS) {
    const { body } = await post(`${server.url}/v1/check`, photo(name));
    const [result] = body['results'] as { label: string; scores: { atd: number } }[];
    NAMES.set(name, `200 ${result!.label} ${result!.scores.atd}`);
  }
  const rss: [number, number][] = [];
  const loop: number[] = [];
  const sample = async () => {
    for (; !isOver; await sleep(SAMPLE_MS)) {
      const text = String((await ask(`${server.url}/metrics`)).body['text']);
      rss.push([elapsed(), metric(text, 'process_resident_memory_bytes')]);
      loop.push(1000 * metric(text, 'nodejs_eventloop_lag_p99_seconds'));
    }
  };
  const forever = async (client: (server: ServeProcess) => Promise<void>) => {
    while (!isOver) await client(server);
  };
  const floods = async () => {
    for (; !isOver; await sleep(FLOOD_EVERY_MS)) await flood(server);
  };
  const kinds = { good, kept, slow, leaving, cut, large, wrong, nonsense };
  const clients = Object.entries(kinds).flatMap(([kind, client]) =>
    Array.from({ length: CLIENTS[kind as keyof typeof CLIENTS] }, () => forever(client)),
  );
  const all = Promise.all([...clients, sample(), floods()]);
  await Promise.race([sleep(1000 * seconds), all]);
  // What has not ended goes on while the server is told to end: whoever asks whether it is ready stops there.
  const toldAt = elapsed();
  const ended = server.end();
  while ((await ask(`${server.url}/v2/health/ready`).catch(() => ({ status: 503 }))).status === 200) await sleep(50);
  isOver = true;
  await Promise.race([all, sleep(HANGS_MS).then(() => failures.add('a client never ended'))]);
  const [code, signal] = await ended;
  if (code !== 0) failures.add(`the server ended with ${code ?? signal}: ${server.said()}`);
  if (server.said() !== '') failures.add(`the server said: ${server.said().slice(0, 500)}`);
  const logged = server.log.filter(({ level }) => Number(level) >= 50);
  if (logged.length > 0) failures.add(`the log has errors: ${JSON.stringify(logged[0]).slice(0, 500)}`);
  const held = memory(rss);
  const warmsUp = seconds < 300;
  if (warmsUp ? held.largestMb > LEVEL_LIMIT_MB : held.slopeMbPerMinute > SLOPE_LIMIT_MB) {
    failures.add(`memory: ${JSON.stringify(held)}`);
  }
  loop.sort((a, b) => a - b);
  const loopMs = { p50OfP99: loop[loop.length >> 1], largestP99: loop.at(-1) };
  console.log(
    JSON.stringify({
      seed,
      toldAt,
      seconds: Math.round(elapsed()),
      failures: [...failures],
      rss: held,
      loopMs,
      outcomes,
    }),
  );
  process.exitCode = failures.size > 0 ? 1 : 0;
}

main();
