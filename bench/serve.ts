/**
 * The HTTP server under load beside the bare `detector.stream`: requests a second, p99, and the p99 of the server's event
 * loop, while 1, 8, 64 and 256 clients on loopback each have a request under way. JPEGs of 1024 × 768, one a request;
 * 1,000 classes. Server and stream are processes of their own and take turns; the load comes from a third, on the same
 * cores: wrk, which takes little of them (Debian: apt-get install wrk). ViT-B/16 has seeded weights, whose values do not
 * change the work. Medians of the rounds.
 *
 *   npm run bench -- serve [--rounds 5] [--seconds 15] [--model small|vit] [--json]
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs, promisify } from 'node:util';
import { loadModel, saveLabelBank } from '../lib';
import { table } from '../lib/cli/terminal';
import { syntheticBank } from '../lib/measure/synthetic';
import { makeTemplateSet } from '../lib/text/templates';
import { smallModel } from '../lib/weights/small-model';
import { CAMERA, cameraPhotos, vitB16 } from './prepare';

const CLIENTS = [1, 8, 64, 256] as const;
const CLASSES = 1000;
const SERVER = path.join(__dirname, '../serve/dist/main.js');
/** A row lasts until each client has had this many answers, if that is longer. */
const ANSWERS = 3;

interface Load {
  requestsPerSecond: number;
  p50: number;
  p99: number;
  /** Of the server's event loop, in ms. */
  loopP99: number;
  /** Requests that were not answered with 200. */
  failed: number;
}
interface Row extends Load {
  model: string;
  clients: number;
  streamPerSecond: number;
  /** Of the stream's rate. */
  share: number;
}

const modelFile = async (name: string) => (name === 'small' ? smallModel()!.model : (await vitB16()).model);

async function writeBank(model: string, file: string): Promise<void> {
  await using loaded = await loadModel(model);
  const bank = syntheticBank(CLASSES, loaded.info.embedDim, loaded.info);
  // A file must name its templates.
  const { name, templates, sha256 } = makeTemplateSet('none', ['{}']);
  await saveLabelBank({ ...bank, templates: { name, sha256, lines: templates, count: 1 } }, file);
}

/** Images a second of the stream, in a process of its own: this one, started again. */
function streamRate(model: string, bank: string, seconds: number): number {
  const flags = ['--stream', model, '--bank', bank, '--seconds', String(seconds)];
  return Number(execFileSync(process.execPath, ['--import', 'tsx', __filename, ...flags], { encoding: 'utf8' }));
}

async function runStream(path: string, bankPath: string, seconds: number): Promise<void> {
  const jpegs = await cameraPhotos();
  await using model = await loadModel(path);
  const detector = await model.createDetector(await model.loadLabelBank(bankPath));
  await detector.check(jpegs);
  const start = performance.now();
  const end = start + 1000 * seconds;
  function* source() {
    for (let i = 0; performance.now() < end; i++) yield jpegs[i % jpegs.length]!;
  }
  let done = 0;
  for await (const _ of detector.stream(source())) done++;
  console.log((1000 * done) / (performance.now() - start));
}

async function startServer(model: string, bank: string): Promise<{ url: string; child: ChildProcess }> {
  const args = [SERVER, '--model', model, '--bank', bank, '--port', '0', '--deadline', '3600', '--no-page'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the server ended')));
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const [, at] = /listening at (http:[^"]+)/.exec(line) ?? [];
      if (at !== undefined) resolve(at);
    });
  });
  return { url, child };
}

/** Delay of the event loop since the last call, p99 in ms. */
async function loopP99(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return 1000 * Number(/^nodejs_eventloop_lag_p99_seconds (\S+)$/m.exec(text)![1]);
}

/** What wrk sends, one after another, and what it tells in the end: times in µs. */
const WRK = `
local requests = {}
function init(files)
  for i, file in ipairs(files) do
    local body = assert(io.open(file, 'rb')):read('*a')
    requests[i] = wrk.format('POST', '/v1/check', { ['Content-Type'] = 'image/jpeg' }, body)
  end
end
local next = 0
function request()
  next = next % #requests + 1
  return requests[next]
end
function done(summary, latency)
  local e = summary.errors
  print(string.format('\\n{"requests":%d,"duration":%d,"p50":%d,"p99":%d,"failed":%d}', summary.requests - e.status,
    summary.duration, latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
`;

/** Script and images as files, in a folder. */
function prepareLoad(folder: string, jpegs: readonly Buffer[]): string[] {
  const script = path.join(folder, 'load.lua');
  writeFileSync(script, WRK);
  const files = jpegs.map((jpeg, i) => {
    const file = path.join(folder, `${i}.jpg`);
    writeFileSync(file, jpeg);
    return file;
  });
  return [script, ...files];
}

async function load(url: string, clients: number, seconds: number, [script, ...files]: string[]): Promise<Load> {
  await loopP99(url);
  // wrk takes 8 MB for each second of the timeout.
  const flags = ['--threads', '1', '--connections', String(clients), '--duration', `${seconds}s`, '--timeout', '60s'];
  const { stdout } = await promisify(execFile)('wrk', [...flags, '--script', script!, url, '--', ...files]);
  const said = JSON.parse(stdout.slice(stdout.lastIndexOf('\n{'))) as Record<string, number>;
  return {
    requestsPerSecond: said['requests']! / (said['duration']! / 1e6),
    ...{ p50: said['p50']! / 1000, p99: said['p99']! / 1000, loopP99: await loopP99(url), failed: said['failed']! },
  };
}

const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;

async function measure(name: string, rounds: number, seconds: number): Promise<Row[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-bench-serve-'));
  const [model, bank] = [await modelFile(name), path.join(folder, 'bank')];
  await writeBank(model, bank);
  const sent = prepareLoad(folder, await cameraPhotos());
  const { url, child } = await startServer(model, bank);
  const streams: number[] = [];
  const loads = new Map<number, Load[]>(CLIENTS.map((clients) => [clients, []]));
  try {
    await load(url, 8, Math.min(3, seconds), sent);
    for (let round = 0; round < rounds; round++) {
      const rate = streamRate(model, bank, seconds);
      streams.push(rate);
      for (const clients of CLIENTS) {
        const long = Math.max(seconds, Math.ceil((ANSWERS * clients) / rate));
        loads.get(clients)!.push(await load(url, clients, long, sent));
      }
    }
  } finally {
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    await ended;
    rmSync(folder, { recursive: true });
  }
  const streamPerSecond = median(streams);
  return CLIENTS.map((clients) => {
    const of = (field: keyof Load) => median(loads.get(clients)!.map((each) => each[field]));
    const requestsPerSecond = of('requestsPerSecond');
    const shares = loads.get(clients)!.map((each, round) => each.requestsPerSecond / streams[round]!);
    const failed = loads.get(clients)!.reduce((sum, each) => sum + each.failed, 0);
    const times = { p50: of('p50'), p99: of('p99'), loopP99: of('loopP99') };
    return { model: name, clients, streamPerSecond, requestsPerSecond, share: median(shares), ...times, failed };
  });
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      rounds: { ...text, default: '5' },
      seconds: { ...text, default: '15' },
      ...{ model: text, stream: text, bank: text, json: { type: 'boolean' } },
    },
  });
  const seconds = Number(values.seconds);
  if (values.stream !== undefined) return await runStream(values.stream, values.bank!, seconds);
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
  const rows: Row[] = [];
  for (const name of values.model === undefined ? ['small', 'vit'] : [values.model]) {
    rows.push(...(await measure(name, Number(values.rounds), seconds)));
  }
  if (values.json) {
    for (const row of rows) console.log(JSON.stringify({ benchmark: 'serve', machine, ...row }));
    return;
  }
  console.log(`${machine.cores} cores of ${machine.cpu}, photos of ${CAMERA.width} × ${CAMERA.height}\n`);
  console.log(
    table(
      ['model', 'clients', 'stream/s', 'requests/s', 'share', 'p50 ms', 'p99 ms', 'loop p99 ms', 'failed'],
      rows.map(({ model, clients, streamPerSecond, requestsPerSecond, share, p50, p99, loopP99: loop, failed }) => [
        ...[model, String(clients), streamPerSecond.toFixed(1), requestsPerSecond.toFixed(1), share.toFixed(3)],
        ...[p50.toFixed(0), p99.toFixed(0), loop.toFixed(1), String(failed)],
      ]),
      [1, 2, 3, 4, 5, 6, 7, 8],
    ),
  );
}

main();
