/**
 * Mixed traffic against one process, through the public API and the small model: `node --require tsx/cjs traffic.ts
 * --seconds S --seed N --workers W`. Prints what happened as JSON, exits 1 if `failures` in it are any,
 * and must then end by itself.
 *
 * Every request is entered into a book when it is made and struck out when its promise settles; its outcome is held
 * against what was computed for the same image alone, before the traffic began.
 */
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import sharp from 'sharp';
import type * as Library from '../../lib';
import { uniformSource } from '../../lib/base/random';
import { builtLibrary } from '../support/built';
import { memory } from '../support/memory';
import { photos, repository } from '../support/paths';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: '100' },
  },
});
const [seconds, seed, workersWanted] = [values.seconds, values.seed, values.workers].map(Number) as [
  number,
  number,
  number,
];
const { ClipnError, loadModel } = require(builtLibrary()) as typeof Library;

const SMALL = path.join(repository, 'models/small/model.pt');
const LABELS = readFileSync(path.join(photos, 'labels.txt'), 'utf8').split('\n').filter(Boolean);
/** Callers that each have a request under way. */
const CALLERS = 24;
/** Larger images are refused. */
const LIMIT_PIXELS = 2_000_000;
/**
 * Resident memory may grow by this much a minute. A run of seconds warms up from its first request to its last, the longer
 * the busier the machine, so its slope says nothing: there the level has a limit, which a run that kept its images would pass.
 */
const SLOPE_LIMIT_MB = 4;
const LEVEL_LIMIT_MB = 800;
const warmsUp = () => seconds < 300;
/** A request that takes longer hangs: everything else has ended by then. */
const HANGS_MS = 60_000;
const SAMPLE_MS = 250;

const random = uniformSource(seed);
const below = (n: number) => Math.floor(random() * n);
const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-traffic-'));

interface Valid {
  what: string;
  /** A stream is read once: each request has one of its own. */
  make(): Library.ImageInput;
}
interface Invalid extends Valid {
  code: Library.ClipnErrorCode;
}

/** Noise on a gradient, so that no two images are alike. */
async function drawn(width: number, height: number, format: 'png' | 'jpeg' | 'webp'): Promise<Buffer> {
  const data = Buffer.alloc(width * height * 3);
  for (let i = 0; i < data.length; i++) data[i] = (i / (3 * height) + 60 * random()) & 255;
  return await sharp(data, { raw: { width, height, channels: 3 } })
    .toFormat(format)
    .toBuffer();
}

async function validImages(): Promise<Valid[]> {
  const list: Valid[] = [];
  for (const name of ['astronaut', 'boats', 'cat', 'clock', 'coffee', 'rocket']) {
    const file = path.join(photos, `${name}.jpg`);
    const bytes = readFileSync(file);
    list.push({ what: `file ${name}`, make: () => file }, { what: `bytes ${name}`, make: () => bytes });
  }
  const cat = path.join(photos, 'cat.jpg');
  const catBytes = readFileSync(cat);
  const decoded = await sharp(cat).raw().toBuffer({ resolveWithObject: true });
  list.push(
    { what: 'stream', make: () => createReadStream(cat) },
    { what: 'web stream', make: () => Readable.toWeb(createReadStream(cat)) as Library.ImageInput },
    { what: 'blob', make: () => new Blob([catBytes]) },
    { what: 'response', make: () => new Response(new Uint8Array(catBytes)) },
    { what: 'pipeline', make: () => sharp(cat) },
    { what: 'output of sharp', make: () => decoded as Library.SharpOutput },
    { what: 'region of a file', make: () => ({ image: cat, region: { x: 20, y: 30, width: 200, height: 100 } }) },
    {
      what: 'region of samples',
      make: () => ({ image: decoded as Library.SharpOutput, region: { x: 0, y: 0, width: 90, height: 120 } }),
    },
  );
  const sizes = [
    [1, 1],
    [3, 200],
    [32, 32],
    [33, 31],
    [224, 224],
    [640, 480],
    [1600, 1200],
  ] as const;
  for (const [i, [width, height]] of sizes.entries()) {
    const bytes = await drawn(width, height, (['png', 'jpeg', 'webp'] as const)[i % 3]!);
    const file = path.join(folder, `drawn ${i}`);
    writeFileSync(file, bytes);
    list.push({ what: `file ${width} × ${height}`, make: () => file });
    list.push({ what: `bytes ${width} × ${height}`, make: () => bytes });
    for (const channels of [1, 3, 4] as const) {
      const data = new Uint8Array(width * height * channels).map((_, at) => (at * (7 + i)) & 255);
      list.push({ what: `raw ${width} × ${height} × ${channels}`, make: () => ({ data, width, height, channels }) });
    }
  }
  return list;
}

async function invalidImages(): Promise<Invalid[]> {
  const bytes = readFileSync(path.join(photos, 'boats.jpg'));
  const cut = bytes.subarray(0, bytes.length / 2);
  const cutFile = path.join(folder, 'cut.jpg');
  writeFileSync(cutFile, cut);
  const large = await drawn(2000, 1500, 'jpeg');
  const breaking = () =>
    Readable.from(
      (async function* () {
        yield bytes.subarray(0, 1000);
        throw new Error('the other side hung up');
      })(),
    );
  const wrong = (value: unknown) => value as Library.ImageInput;
  const region = { x: 5000, y: 0, width: 10, height: 10 };
  return [
    { what: 'cut bytes', code: 'ERR_CLIPN_IMAGE_DECODE', make: () => cut },
    { what: 'cut file', code: 'ERR_CLIPN_IMAGE_DECODE', make: () => cutFile },
    { what: 'words', code: 'ERR_CLIPN_IMAGE_DECODE', make: () => Buffer.from('no image') },
    { what: 'words in a file', code: 'ERR_CLIPN_IMAGE_DECODE', make: () => path.join(photos, 'labels.txt') },
    { what: 'no bytes', code: 'ERR_CLIPN_IMAGE_DECODE', make: () => new Uint8Array() },
    { what: 'no file', code: 'ERR_CLIPN_IMAGE_NOT_FOUND', make: () => path.join(folder, 'none.jpg') },
    { what: 'folder', code: 'ERR_CLIPN_INVALID_ARG', make: () => folder },
    { what: 'too many pixels', code: 'ERR_CLIPN_IMAGE_TOO_LARGE', make: () => large },
    { what: 'stream that breaks', code: 'ERR_CLIPN_IO', make: breaking },
    { what: 'region outside', code: 'ERR_CLIPN_INVALID_ARG', make: () => ({ image: bytes, region }) },
    { what: 'a number', code: 'ERR_CLIPN_INVALID_ARG', make: () => wrong(42) },
    { what: 'null', code: 'ERR_CLIPN_INVALID_ARG', make: () => wrong(null) },
    { what: 'an object', code: 'ERR_CLIPN_INVALID_ARG', make: () => wrong({}) },
    {
      what: 'too few samples',
      code: 'ERR_CLIPN_INVALID_ARG',
      make: () => ({ data: new Uint8Array(10), width: 8, height: 8, channels: 3 }),
    },
  ];
}

/** What an answer says of the image: without its name. */
function judged({ verdict, label, rule, scores, top }: Library.CheckResult) {
  return { verdict, label, rule, scores, top };
}

interface Asked {
  image: Valid | Invalid;
  input: Library.ImageInput;
}

const trafficReport = {
  requests: 0,
  images: 0,
  byKind: {} as Record<string, number>,
  outcomes: {} as Record<string, number>,
  wrong: [] as string[],
  workers: { started: 0, terminated: 0, ended: 0 },
  modelsReopened: 0,
};

function wrong(what: string): void {
  if (trafficReport.wrong.length < 20) trafficReport.wrong.push(what);
}

function count(table: Record<string, number>, name: string): void {
  table[name] = (table[name] ?? 0) + 1;
}

/** Requests that have not ended, by what they are. */
const book = new Map<object, string>();

/** Enters a request, and strikes it out when it ends. Rejections are outcomes here; what is no error is one too. */
async function entered<T>(kind: string, request: () => Promise<T>): Promise<{ value: T } | { reason: unknown }> {
  const id = {};
  book.set(id, kind);
  trafficReport.requests++;
  count(trafficReport.byKind, kind);
  const outcome = await request().then(
    (value) => ({ value }),
    (reason: unknown) => ({ reason }),
  );
  if (!book.delete(id)) wrong(`${kind}: ended twice`);
  return outcome;
}

async function main(): Promise<void> {
  let unhandled = 0;
  const warnings: string[] = [];
  process.on('unhandledRejection', () => unhandled++);
  process.on('warning', ({ name, message }) => {
    if (!/Experimental/.test(name)) warnings.push(`${name}: ${message}`);
  });

  const model = await loadModel(SMALL, { threads: 1 });
  const options = { labelBank: { cache: false }, limitPixels: LIMIT_PIXELS };
  const detector = await model.createDetector(LABELS, options);
  const full = await loadModel(SMALL, { threads: 1, queue: { max: 4, whenFull: 'reject' } });
  const hasty = await full.createDetector(LABELS, options);
  const [valid, invalid] = [await validImages(), await invalidImages()];

  // Each alone, before: what every answer is held against.
  const expected = new Map<object, ReturnType<typeof judged>>();
  const features = new Map<object, Float32Array>();
  for (const image of valid) {
    expected.set(image, judged(await detector.check(image.make())));
    features.set(image, await model.encodeImages([image.make()]));
  }
  const words = ['ferry', 'piano', 'koala', 'car', 'laptop', 'guitar', 'tree', 'house', 'street', 'apple'];
  const rows = new Map<string, Float32Array>();
  for (const word of words) rows.set(word, (await model.createLabelBank([word], { cache: false })).yes);

  const ask = (): Asked => {
    const image = random() < 0.75 ? pick(valid) : pick(invalid);
    return { image, input: image.make() };
  };
  /** Holds one image's outcome against what it must be. */
  const compare = (kind: string, image: Valid | Invalid, outcome: unknown, mayBe: readonly string[] = []): void => {
    trafficReport.images++;
    if (outcome instanceof Error) {
      const { code: given } = outcome as { code?: unknown };
      const code = typeof given === 'string' ? given : outcome.name; // that of an AbortError is a number
      count(trafficReport.outcomes, code);
      const right = 'code' in image ? code === image.code && outcome instanceof ClipnError : false;
      if (!right && !mayBe.includes(code)) wrong(`${kind}, ${image.what}: ${code}: ${outcome.message}`);
      return;
    }
    count(trafficReport.outcomes, 'answered');
    const answer = judged(outcome as Library.CheckResult);
    if (!isDeepStrictEqual(answer, expected.get(image))) {
      wrong(`${kind}, ${image.what}: ${JSON.stringify(answer)} is not ${JSON.stringify(expected.get(image))}`);
    }
  };
  const outcomeOf = (settled: { value: unknown } | { reason: unknown }) =>
    'value' in settled ? settled.value : settled.reason;
  const resultOf = (result: Library.CheckResult | Library.CheckFailure) => ('error' in result ? result.error : result);

  /** A signal that outlives thousands of requests, as one that a server has for its own end. */
  const forAll = new AbortController();

  const kinds: Record<string, () => Promise<void>> = {
    async single() {
      const { image, input } = ask();
      const signal = random() < 0.5 ? { signal: forAll.signal } : {};
      compare('single', image, outcomeOf(await entered('single', () => detector.check(input, signal))));
    },
    async 'single, queue that refuses'() {
      const { image, input } = ask();
      const kind = 'single, queue that refuses';
      compare(kind, image, outcomeOf(await entered(kind, () => hasty.check(input))), ['ERR_CLIPN_QUEUE_FULL']);
    },
    async 'aborted before'() {
      const { image, input } = ask();
      const signal = AbortSignal.abort();
      const outcome = outcomeOf(await entered('aborted before', () => detector.check(input, { signal })));
      if ((outcome as { name?: string }).name !== 'AbortError' && 'verdict' in (outcome as object)) {
        wrong(`aborted before, ${image.what}: answered all the same`);
      }
      compare('aborted before', image, outcome, ['AbortError']);
    },
    async 'aborted during'() {
      const { image, input } = ask();
      const controller = new AbortController();
      const settled = entered('aborted during', () => detector.check(input, { signal: controller.signal }));
      await sleep(40 * random());
      controller.abort();
      compare('aborted during', image, outcomeOf(await settled), ['AbortError']);
    },
    async 'aborted after'() {
      const { image, input } = ask();
      const controller = new AbortController();
      const { signal } = controller;
      compare(
        'aborted after',
        image,
        outcomeOf(await entered('aborted after', () => detector.check(input, { signal }))),
      );
      controller.abort();
    },
    async list() {
      const asked = Array.from({ length: 1 + below(12) }, ask);
      const settled = await entered('list', () => detector.check(asked.map(({ input }) => input)));
      if ('reason' in settled) return wrong(`list: ${settled.reason}`);
      if (settled.value.length !== asked.length)
        return wrong(`list: ${settled.value.length} of ${asked.length} answers`);
      for (const [i, result] of settled.value.entries()) compare('list', asked[i]!.image, resultOf(result));
    },
    async stream() {
      const asked: Asked[] = [];
      const source = function* () {
        const length = below(15);
        while (asked.length < length) yield asked[asked.push(ask()) - 1]!.input;
      };
      const leaves = random() < 0.3 ? below(6) : Number.POSITIVE_INFINITY;
      const settled = await entered('stream', async () => {
        let i = 0;
        for await (const result of detector.stream(source())) {
          compare('stream', asked[i]!.image, resultOf(result));
          if (++i > leaves) break;
        }
        return i;
      });
      if ('reason' in settled) wrong(`stream: ${settled.reason}`);
      else if (settled.value <= leaves && settled.value !== asked.length) wrong('stream: an image was not answered');
    },
    async features() {
      const images = Array.from({ length: 1 + below(6) }, () => pick(valid));
      const settled = await entered('features', () => model.encodeImages(images.map(({ make }) => make())));
      if ('reason' in settled) return wrong(`features: ${settled.reason}`);
      const whole = Float32Array.from(images.flatMap((image) => [...features.get(image)!]));
      if (!isDeepStrictEqual(settled.value, whole)) wrong('features: not those computed singly');
    },
    async 'label bank'() {
      const chosen = words.filter(() => random() < 0.4).concat('ferry');
      const labels = [...new Set(chosen)];
      const settled = await entered('label bank', () => model.createLabelBank(labels, { cache: random() < 0.5 }));
      if ('reason' in settled) return wrong(`label bank: ${settled.reason}`);
      const whole = Float32Array.from(labels.flatMap((label) => [...rows.get(label)!]));
      const farthest = whole.reduce((most, value, i) => Math.max(most, Math.abs(value - settled.value.yes[i]!)), 0);
      // Texts are encoded in batches whose size may change the last bits.
      if (!(farthest <= 2e-6)) wrong(`label bank: ${farthest} from the rows computed singly`);
    },
    async 'model reopened'() {
      const opened = await entered('load', () => loadModel(SMALL, { threads: 1 }));
      if ('reason' in opened) return wrong(`load: ${opened.reason}`);
      const own = opened.value;
      trafficReport.modelsReopened++;
      const beside = await own.createDetector(detector.bank, { limitPixels: LIMIT_PIXELS });
      const kind = 'of a model that closes';
      const inFlight = Array.from({ length: 6 }, async () => {
        const { image, input } = ask();
        compare(kind, image, outcomeOf(await entered(kind, () => beside.check(input))), ['ERR_CLIPN_CLOSED']);
      });
      await sleep(30 * random());
      const closed = await entered('close', () => own.close({ drain: random() < 0.5 }));
      if ('reason' in closed) wrong(`close: ${closed.reason}`);
      await Promise.all(inFlight);
      const late = outcomeOf(await entered('of a closed model', () => beside.check(pick(valid).make())));
      if ((late as { code?: string }).code !== 'ERR_CLIPN_CLOSED') wrong(`of a closed model: ${late}`);
    },
  };
  const often = ['single', 'single', 'single', 'single', 'single', 'list', 'stream', 'features', 'aborted during'];
  const seldom = Object.keys(kinds).filter((kind) => kind !== 'model reopened');

  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const rss: [second: number, bytes: number][] = [];
  const sampling = setInterval(() => rss.push([elapsed(), process.memoryUsage.rss()]), SAMPLE_MS);

  const caller = async () => {
    while (elapsed() < seconds) {
      const dice = random();
      await kinds[dice < 0.004 ? 'model reopened' : pick(dice < 0.3 ? seldom : often)]!();
    }
  };
  const workers = async () => {
    const files = valid.filter(({ make, what }) => what.startsWith('file') && typeof make() === 'string');
    while (elapsed() < seconds && trafficReport.workers.started < workersWanted) {
      await workerThread(files, expected);
      // Spread over the time that is left.
      const left = workersWanted - trafficReport.workers.started;
      await sleep(Math.max(0, Math.min(2000, (1000 * (seconds - elapsed())) / (left + 1) - 500)) * random());
    }
  };
  await Promise.all([workers(), workers(), ...Array.from({ length: CALLERS }, caller)].map(inTime));
  delay.disable();
  clearInterval(sampling);
  const { done, failed, aborted, rejected, waiting, running } = model.stats();
  forAll.abort();
  await Promise.all([model.close(), full.close()]);
  rmSync(folder, { recursive: true });
  // Whatever was to fail later has failed by now.
  await sleep(200);

  const held = memory(rss);
  const failures = [
    ...trafficReport.wrong,
    ...[...book.values()].map((kind) => `${kind}: never ended`),
    ...(unhandled > 0 ? [`${unhandled} unhandled rejections`] : []),
    ...warnings,
    ...(waiting + running > 0 ? [`${waiting + running} images are left in the queue`] : []),
    ...grown(held),
  ];
  const { wrong: _, ...told } = trafficReport;
  const milliseconds = (nanoseconds: number) => Math.round(nanoseconds / 1e4) / 100;
  console.log(
    JSON.stringify({
      seed,
      seconds: Math.round(elapsed()),
      ...told,
      queue: { done, failed, aborted, rejected, waiting, running },
      eventLoopDelayMs: { p50: milliseconds(delay.percentile(50)), p99: milliseconds(delay.percentile(99)) },
      rss: held,
      failures,
    }),
  );
  process.exitCode = failures.length > 0 ? 1 : 0;
}

function grown({ largestMb, slopeMbPerMinute }: ReturnType<typeof memory>): string[] {
  if (warmsUp()) return largestMb > LEVEL_LIMIT_MB ? [`memory reaches ${largestMb} MB`] : [];
  return slopeMbPerMinute > SLOPE_LIMIT_MB ? [`memory grows by ${slopeMbPerMinute} MB a minute`] : [];
}

/** A request that hangs would keep everything waiting: what had not ended is reported instead. */
async function inTime(work: Promise<void>): Promise<void> {
  const late = new AbortController();
  const limit = sleep(1000 * seconds + HANGS_MS, undefined, { signal: late.signal, ref: false }).catch(() => undefined);
  await Promise.race([work, limit]);
  late.abort();
}

/** A thread with a model of its own, ended at a random moment: while it loads, computes or after it has answered. */
async function workerThread(files: readonly Valid[], expected: ReadonlyMap<object, unknown>): Promise<void> {
  const images = Array.from({ length: 4 }, () => pick(files));
  const code = `
    const { workerData, parentPort } = require('node:worker_threads');
    const { loadModel } = require(workerData.library);
    (async () => {
      const model = await loadModel(workerData.model, { threads: 1 });
      const detector = await model.createDetector(workerData.labels, { labelBank: { cache: false } });
      parentPort.postMessage(await detector.check(workerData.paths));
      if (workerData.closes) await model.close();
    })();`;
  const closes = random() < 0.5;
  const paths = images.map(({ make }) => make() as string);
  const workerData = { library: builtLibrary(), model: SMALL, labels: LABELS, paths, closes };
  const worker = new Worker(code, { eval: true, workerData });
  trafficReport.workers.started++;
  const ended = new Promise<number>((resolve) => worker.once('exit', resolve));
  worker.on('error', (error) => wrong(`worker: ${error.stack}`));
  worker.once('message', (results: (Library.CheckResult | Library.CheckFailure)[]) => {
    for (const [i, result] of results.entries()) {
      const right = !('error' in result) && isDeepStrictEqual(judged(result), expected.get(images[i]!));
      if (!right) wrong(`worker, ${images[i]!.what}: ${JSON.stringify(result)}`);
    }
  });
  // At any moment, or right after its answer.
  const answered = new Promise<void>((resolve) => worker.once('message', () => resolve()));
  const moment = random() < 0.5 ? sleep(2000 * random()) : answered;
  const ownEnd = await Promise.race([
    ended.then(() => true),
    moment.then(() => sleep(100 * random())).then(() => false),
  ]);
  if (ownEnd) trafficReport.workers.ended++;
  else {
    trafficReport.workers.terminated++;
    await worker.terminate();
  }
  await ended;
}

main();
