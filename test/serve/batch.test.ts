/**
 * Batches on a queue: whatever dies meanwhile, each distinct image has one row, and it is what one process says.
 *
 * CLIPN_BATCH=20000 CLIPN_KILLS=12 CLIPN_SEED=N is the large form of the first test; `-1` lets Redis keep what it was told.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
// As the workers have it, not ../../lib: a process has one engine.
import { type CheckFailure, type CheckResult, ClipnError, type Detector, loadDetector, loadModel } from 'clipn-native';
import { uniformSource } from '../../lib/base/random';
import { addBatchFeatures } from '../../lib/features/batch-features';
import { FeatureStore } from '../../lib/features/store';
import { preprocessingText } from '../../lib/weights/preprocessing';
import { loadBatchDetector } from '../../serve/src/batch/batch-detector';
import { createBatch, type EnqueueOptions } from '../../serve/src/batch/enqueue';
import { readManifest } from '../../serve/src/batch/manifest';
import { addShards, countsOf, parseRedis, withQueue } from '../../serve/src/batch/queue';
import { openStorage } from '../../serve/src/batch/storage';
import { work } from '../../serve/src/batch/worker';
import { photos, repository } from '../support/paths';
import { RedisServer, skipWithoutRedis } from '../support/redis';
import { KEYS, S3Server } from '../support/s3-server';
import { runServe, startServe } from '../support/serve-cli';
import { writeSmallImages } from '../support/small-images';

const SEED = Number(process.env['CLIPN_SEED'] ?? 1);
const IMAGES = Number(process.env['CLIPN_BATCH'] ?? 150);
const KILLS = Number(process.env['CLIPN_KILLS'] ?? 1);
const WORKERS = 3;

const model = path.join(repository, 'models/small/model.pt');
const labelsFile = path.join(photos, 'labels.txt');
const labels = readFileSync(labelsFile, 'utf8').trim().split('\n');
const MODEL = ['--model', model];
const DETECTOR = [...MODEL, '--labels-file', labelsFile];

const root = mkdtempSync(path.join(tmpdir(), 'clipn-batch-'));
const at = (...names: string[]) => path.join(root, ...names);
let images: string[];
let expected: Map<string, CheckResult | CheckFailure>;

const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

before(async () => {
  if (skipWithoutRedis) return;
  images = await writeSmallImages(at('images'), IMAGES, SEED);
  // One process, one stream, the files themselves.
  await using detector = await loadDetector({ model, labels });
  expected = new Map();
  let i = 0;
  for await (const answer of detector.stream(images)) expected.set(sha256(images[i++]!), answer);
});
after(() => rmSync(root, { recursive: true }));

type Row = Record<string, unknown>;

async function rowsOf(file: string): Promise<Row[]> {
  const { asyncBufferFromFile, parquetReadObjects } = await import('hyparquet');
  return await parquetReadObjects({ file: await asyncBufferFromFile(file) });
}

/** That a row is what one process said of the image, bit for bit. */
function assertSame(row: Row, answer: CheckResult | CheckFailure | undefined): void {
  assert.ok(answer !== undefined && !('error' in answer), String(row['image']));
  const { verdict, label, rule, scores, top } = answer;
  assert.deepEqual({ verdict: row['verdict'], label: row['label'], rule: row['rule'] }, { verdict, label, rule });
  assert.deepEqual({ p: row['p'], pYes: row['pYes'] }, { p: top[0]!.p, pYes: top[0]!.pYes });
  for (const [name, score] of Object.entries(scores)) assert.equal(row[name], score, `${row['image']}: ${name}`);
}

/** That a store for this model takes the features of a batch's results, and that they are what the model says, bit for bit. */
async function assertFeatures(folder: string, files: readonly string[]): Promise<void> {
  await using loaded = await loadModel(model);
  const { contentId, embedDim: dim, config } = loaded.info;
  const preprocessing = preprocessingText(config, { exif: true });
  const identity = { contentId, precision: 'fp32', preprocessing, dim, patches: '' };
  const store = await FeatureStore.open(at('features'), identity, []);
  for (const name of readdirSync(folder)) if (/^\d/.test(name)) await addBatchFeatures(store, path.join(folder, name));
  const features = new Float32Array(files.length * dim);
  const rows = files.map((file) => store.rowOf(Buffer.from(sha256(file), 'hex')));
  await store.read(rows, features, null);
  assert.deepEqual(features, await loaded.encodeImages(files));
}

/** As `enqueue`, without a process. */
async function enqueue(folder: string, lists: string[], redis: RedisServer, options: Partial<EnqueueOptions> = {}) {
  const flags = { model, labelsFile };
  const { manifest } = await createBatch(openStorage(folder), flags, { lists, shardImages: 1024, ...options });
  await withQueue(manifest, parseRedis(redis.address), (queue) => addShards(queue, [...Array(manifest.shards).keys()]));
  return manifest;
}

interface WorkHere {
  threads?: number;
  stop?: AbortSignal;
  /** Instead of the batch's own. */
  detector?: Detector;
}

/** As `work`, without a process. */
async function workHere(folder: string, redis: { address: string }, options: WorkHere = {}): Promise<string> {
  const { threads, stop = new AbortController().signal, detector } = options;
  const storage = openStorage(folder);
  const manifest = await readManifest(storage);
  const asked = { storage, manifest, redis: parseRedis(redis.address), atOnce: 1, lockSeconds: 600, graceSeconds: 0 };
  const more = { stop, say: () => undefined };
  if (detector) return (await work({ ...asked, ...more, batch: { detector, provenance: {} } })).state;
  await using batch = await loadBatchDetector(storage, manifest, model, { threads });
  return (await work({ ...asked, ...more, batch })).state;
}

const resultsIn = (folder: string) => {
  try {
    return readdirSync(path.join(folder, 'results')).filter((name) => name.endsWith('.parquet')).length;
  } catch {
    return 0;
  }
};

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = Date.now() + 600_000; !(await condition()); await sleep(50)) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
  }
}

describe('a batch', { skip: skipWithoutRedis, concurrency: true }, () => {
  test(`of ${IMAGES} images, workers killed and Redis lost: a row each, as one process has them (seed ${SEED})`, async (t) => {
    const random = uniformSource(SEED);
    await using redis = await RedisServer.start({ keeps: SEED < 0 });
    const folder = at('killed');
    // The same bytes under two names, one image listed twice, what is no image, what is not there.
    copyFileSync(images[0]!, at('twin.png'));
    writeFileSync(at('text.png'), 'no image');
    writeFileSync(at('half.png'), readFileSync(images[1]!).subarray(0, 500));
    const poison = [at('text.png'), at('half.png'), at('absent.png')];
    const listed = [...images, at('twin.png'), images[2]!];
    poison.forEach((file, i) => {
      listed.splice(Math.floor(((i + 0.5) * listed.length) / poison.length), 0, file);
    });
    writeFileSync(at('list.txt'), listed.join('\n'));
    const env = { REDIS_URL: redis.address };
    const { shards } = await enqueue(folder, [at('list.txt')], redis, {
      shardImages: Math.max(10, Math.ceil(IMAGES / 100)),
    });

    const began = performance.now();
    const start = () => startServe(['work', folder, ...MODEL, '--lock', '2', '--threads', '1'], env);
    const workers = Array.from({ length: WORKERS }, start);
    let killed = 0;
    let restarts = 0;
    for (let i = 0; i < KILLS; i++) {
      // Moments all over the batch.
      const moment = Math.floor(((i + 0.2 + 0.6 * random()) * shards) / KILLS);
      await until(() => resultsIn(folder) >= moment, `shard ${moment}`);
      const victim = Math.floor(random() * WORKERS);
      workers[victim]!.child.kill('SIGKILL');
      if ((await workers[victim]!.ended).signal === 'SIGKILL') killed++;
      workers[victim] = start();
      if (i % 3 !== 0) continue;
      await redis.stop();
      await sleep(300 + 1000 * random());
      await redis.start();
      restarts++;
    }
    const ends = await Promise.all(workers.map(({ ended }) => ended));
    for (const { code, err } of ends) assert.equal(code, 0, err);
    assert.ok(killed > 0, 'no worker was killed');
    const seconds = (performance.now() - began) / 1000;
    t.diagnostic(`${killed} killed, ${restarts} restarts of Redis, ${shards} shards, ${seconds.toFixed(1)} s`);

    const collected = await runServe(['collect', folder]);
    assert.equal(collected.code, 0, collected.err);
    const rows = await rowsOf(path.join(folder, 'results.parquet'));
    assert.deepEqual(rows.map((row) => row['sha256']).sort(), [...expected.keys()].sort());
    for (const row of rows) assertSame(row, expected.get(String(row['sha256'])));
    const alsoOf = (file: string) => rows.find(({ image }) => image === file)?.['also'];
    assert.deepEqual([alsoOf(images[0]!), alsoOf(images[2]!)], [[at('twin.png')], null]);

    const dead = await rowsOf(path.join(folder, 'dead.parquet'));
    assert.deepEqual(Object.fromEntries(dead.map(({ image, error }) => [image, error])), {
      [at('text.png')]: 'ERR_CLIPN_IMAGE_DECODE',
      [at('half.png')]: 'ERR_CLIPN_IMAGE_DECODE',
      [at('absent.png')]: 'ERR_SERVE_OBJECT_NOT_FOUND',
    });
  });

  test('in a store that is slow and often busy: the same rows, and no key in Redis or in what is said', async () => {
    await using redis = await RedisServer.start({ keeps: false });
    await using store = await S3Server.start({ busy: 0.2, delayMs: 3, page: 7 });
    const some = images.slice(0, 30);
    for (const file of some) store.objects.set(`photos/in/${path.basename(file)}`, readFileSync(file));
    store.objects.set('photos/in/a note.txt', Buffer.from('left alone'));
    store.objects.set('photos/in/forbidden.png', Buffer.from(''));
    const env = { ...store.environment, REDIS_URL: redis.address };
    const said: string[] = [];
    const run = async (args: string[], extra = {}) => {
      const ended = await runServe(args, { ...env, ...extra });
      said.push(ended.out, ended.err);
      assert.equal(ended.code, 0, ended.err);
      return ended;
    };
    await run(['enqueue', 's3://results/one', 's3://photos/in/', ...DETECTOR, '--shard', '8', '--features', 'fp32']);
    const inRedis = await redis.everything();
    await run(['work', 's3://results/one', ...MODEL]);
    const { out } = await run(['status', 's3://results/one', '--json']);
    assert.deepEqual(JSON.parse(out), {
      images: 31,
      shards: 4,
      done: 4,
      queue: { waiting: 0, running: 0, failed: 0, failures: [] },
    });
    const strange = await runServe(['status', 's3://results/one'], { ...env, AWS_ACCESS_KEY_ID: 'AKIAOTHER' });
    assert.equal(strange.code, 1);
    assert.match(strange.err, /^ERR_SERVE_S3_ACCESS: .*InvalidAccessKeyId/);
    await run(['collect', 's3://results/one', '--out', at('from-store')]);
    const rows = await rowsOf(at('from-store', 'results.parquet'));
    assert.deepEqual(
      rows.map(({ image }) => image).sort(),
      some.map((file) => `s3://photos/in/${path.basename(file)}`),
    );
    for (const row of rows) assertSame(row, expected.get(String(row['sha256'])));
    for (const [name, bytes] of store.objects) {
      if (name.startsWith('results/one/results/')) writeFileSync(at('from-store', path.basename(name)), bytes);
    }
    await assertFeatures(at('from-store'), some);
    const [dead] = await rowsOf(at('from-store', 'dead.parquet'));
    assert.equal(dead?.['error'], 'ERR_SERVE_OBJECT_DENIED');
    assert.ok(store.busy > 0, 'it was never busy');
    assert.deepEqual(store.refused, ['GET /results/one/batch.json']);
    for (const text of [inRedis, ...said]) {
      for (const key of [KEYS.AWS_ACCESS_KEY_ID, KEYS.AWS_SECRET_ACCESS_KEY]) assert.ok(!text.includes(key));
    }
  });

  test('whose worker is told to stop, or has lost its device: it hands its shard back, and another goes on', async () => {
    await using redis = await RedisServer.start({ keeps: true });
    await using store = await S3Server.start({ delayMs: 300 });
    const some = images.slice(0, 80);
    for (const file of some) store.objects.set(`photos/${path.basename(file)}`, readFileSync(file));
    const env = { ...store.environment, REDIS_URL: redis.address };
    const folder = at('stopped');
    writeFileSync(at('store.txt'), some.map((file) => `s3://photos/${path.basename(file)}\n`).join(''));
    const manifest = await enqueue(folder, [at('store.txt')], redis, { shardImages: 80 });
    // The lock outlasts the test: only what was handed back can be taken.
    const first = startServe(['work', folder, ...MODEL, '--grace', '0', '--lock', '600'], env);
    await withQueue(manifest, parseRedis(redis.address), (queue) =>
      until(async () => (await countsOf(queue)).running === 1, 'a shard that runs'),
    );
    first.child.kill('SIGTERM');
    const ended = await first.ended;
    assert.equal(ended.code, 0, ended.err);
    assert.match(ended.err, /shard 0: handed back/);
    assert.equal(resultsIn(folder), 0);
    store.options = {};
    // A GPU that is lost is that worker's own trouble: the shard is there for the next.
    const lost = () => {
      throw new ClipnError('ERR_CLIPN_DEVICE_LOST', 'the device is lost');
    };
    const detector = { stream: lost } as unknown as Detector;
    await assert.rejects(workHere(folder, redis, { detector }), { code: 'ERR_CLIPN_DEVICE_LOST' });
    // Nothing else in this process asks a store.
    Object.assign(process.env, store.environment);
    await workHere(folder, redis);
    assert.equal(resultsIn(folder), 1);
  });

  test('refuses a worker that has another model, and names both', async () => {
    const storage = openStorage(at('other-model'));
    const { manifest } = await createBatch(storage, { model, labelsFile }, { lists: [photos], shardImages: 8 });
    const own = manifest.model.contentId;
    const other = 'a'.repeat(64);
    const asked = { ...manifest, model: { ...manifest.model, contentId: other } };
    await assert.rejects(loadBatchDetector(storage, asked, model, {}), ({ code, message }: NodeJS.ErrnoException) => {
      assert.equal(code, 'ERR_SERVE_MODEL_MISMATCH');
      assert.ok(message.includes(own) && message.includes(other), message);
      return true;
    });
  });

  test('whose Redis is away: a worker that is told to stop ends all the same', { timeout: 60_000 }, async () => {
    const lists = [photos];
    await createBatch(openStorage(at('away')), { model, labelsFile }, { lists, shardImages: 8 });
    const redis = { address: at('no.sock') };
    assert.equal(await workHere(at('away'), redis, { stop: AbortSignal.timeout(300) }), 'stopped');
  });

  test('done again after its result was lost, has the same bytes, with its model in the provenance', async () => {
    await using redis = await RedisServer.start({ keeps: false });
    const folder = at('twice');
    const manifest = await enqueue(folder, [photos], redis, { features: 'fp16' });
    const result = path.join(folder, 'results/00000000.parquet');
    await workHere(folder, redis);
    const first = readFileSync(result);
    rmSync(result);
    await workHere(folder, redis, { threads: 1 });
    assert.ok(readFileSync(result).equals(first));
    const { asyncBufferFromFile, parquetMetadataAsync } = await import('hyparquet');
    const { key_value_metadata } = await parquetMetadataAsync(await asyncBufferFromFile(result));
    const facts = JSON.parse(key_value_metadata?.find(({ key }) => key === 'clipn')?.value ?? '') as Row;
    assert.equal(facts['model'], manifest.model.contentId);
  });
});
