import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, test } from 'node:test';
import { setImmediate as nextLoop } from 'node:timers/promises';
import { ClipnError } from '../../lib/base/errors';
import { type Consumer, ImageQueue, type ImageRequest } from '../../lib/model/image-queue';
import { type BatchOptions, type QueueOptions, queueLimits } from '../../lib/model/queue-options';
import { QueueCounts } from '../../lib/model/queue-stats';
import type { NativeImage } from '../../lib/native/addon';

/** Images are numbers; their feature [1, 2] is (number, -number). */
const imageOf = (n: number): NativeImage => ({ data: Uint8Array.of(n), width: 1, height: 1, channels: 1 });

/** Answers with the first number of the feature. */
const numbers: Consumer<number> = {
  wantsPixels: false,
  answer: async ({ features }, n) => Array.from({ length: n }, (_, i) => features[2 * i]!),
};

/** Of a guarded model: asks the first tower, and what is at least 100 again the model's own. */
const guarded: Consumer<number> = {
  ...numbers,
  own: numbers,
  answer: async ({ features }, n) =>
    Array.from({ length: n }, (_, i) => (features[2 * i]! >= 100 ? undefined : -features[2 * i]!)),
};

interface Batch {
  images: number[];
  pixels: boolean;
  by: string;
  finish: (error?: Error) => void;
}

/** A queue whose batches end when the test says so. */
function heldQueue(batch: BatchOptions = {}, queue: QueueOptions = {}, decoders = 2) {
  const batches: Batch[] = [];
  const counts = { computed: 0 };
  const held = new ImageQueue({
    limits: queueLimits(batch, queue),
    decoders,
    closed: () => new ClipnError('ERR_CLIPN_CLOSED', 'closed'),
    encode: async (images, pixels, _contributions, by) => {
      const ids = images.map(({ data }) => data[0]!);
      await new Promise<void>((resolve, reject) => {
        batches.push({ images: ids, pixels, by, finish: (error) => (error ? reject(error) : resolve()) });
      });
      counts.computed += ids.length;
      return {
        features: Float32Array.from(ids.flatMap((n) => [n, -n])),
        ...(pixels && { pixels: Uint8Array.from(ids.flatMap((n) => [n, n, n])) }),
      };
    },
  });
  const ask = (n: number, changes: Partial<ImageRequest<number>> = {}) => {
    const answer = held.submit({ decode: async () => imageOf(n), consumer: numbers, kind: 'single', ...changes });
    answer.catch(() => {});
    return answer;
  };
  const last = () => batches.at(-1)!;
  return { queue: held, ask, batches, last, counts };
}

/** Lets everything happen that waits for nothing but its turn. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await nextLoop();
}

/** Ends every batch as it comes, until the promise is settled; then its outcome. */
async function runOut<T>(promise: Promise<T>, batches: Batch[]): Promise<T> {
  let pending = true;
  const done = promise.finally(() => {
    pending = false;
  });
  done.catch(() => {});
  while (pending) {
    batches.at(-1)?.finish();
    await nextLoop();
  }
  return await done;
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const sizes = (batches: Batch[]) => batches.map(({ images }) => images.length);
/** Whether the promise is settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  return (await Promise.race([promise.catch(() => {}), Promise.resolve(pending)])) !== pending;
}

describe('batches', () => {
  test('what comes while the lane is busy goes together, batch.max at most', async () => {
    const { ask, batches } = heldQueue({ max: 4 });
    const first = ask(100);
    await settle();
    const others = range(9).map((n) => ask(n));
    await settle();
    assert.deepEqual(sizes(batches), [1]);
    await runOut(Promise.all([first, ...others]), batches);
    assert.deepEqual(sizes(batches), [1, 4, 4, 1]);
  });

  test('a free lane starts at once with a single image', async () => {
    const { ask, batches } = heldQueue({ max: 4 });
    ask(1);
    await settle();
    assert.deepEqual(sizes(batches), [1]);
  });

  test('with a delay an image waits for company, but a full batch starts at once', async () => {
    const { ask, batches } = heldQueue({ max: 3, maxDelayMs: 60_000 });
    const asked = [ask(1), ask(2)];
    await settle();
    assert.deepEqual(sizes(batches), []);
    asked.push(ask(3));
    await settle();
    assert.deepEqual(sizes(batches), [3]);
    assert.deepEqual(await runOut(Promise.all(asked), batches), [1, 2, 3]);
  });

  test('an image that the core refuses is told so, and the others of its batch are answered', async () => {
    const refused = new ClipnError('ERR_CLIPN_INVALID_ARG', 'image: too long');
    const queue = new ImageQueue({
      limits: queueLimits({ max: 8 }, {}),
      decoders: 8,
      closed: () => new ClipnError('ERR_CLIPN_CLOSED', 'closed'),
      encode: async (images) => {
        const ids = images.map(({ data }) => data[0]!);
        if (ids.includes(3)) throw refused;
        return { features: Float32Array.from(ids.flatMap((n) => [n, -n])) };
      },
    });
    const ask = (n: number) =>
      queue.submit({ decode: async () => imageOf(n), consumer: numbers, kind: 'single' }).catch((error) => error);
    assert.deepEqual(await Promise.all(range(6).map(ask)), [0, 1, 2, refused, 4, 5]);
  });

  test('when the delay is over, the batch starts with what is there', async () => {
    const { ask, batches } = heldQueue({ max: 3, maxDelayMs: 20 });
    assert.equal(await runOut(ask(7), batches), 7);
    assert.deepEqual(sizes(batches), [1]);
  });

  test('an image does not wait for one that decodes slowly, and every call gets its own answer', async () => {
    const { ask, batches } = heldQueue({ max: 8 });
    let decoded = (_: NativeImage) => {};
    const slow = ask(50, {
      decode: () =>
        new Promise((resolve) => {
          decoded = resolve;
        }),
    });
    assert.deepEqual(await runOut(Promise.all([ask(51), ask(52)]), batches), [51, 52]);
    decoded(imageOf(50));
    assert.equal(await runOut(slow, batches), 50);
  });

  test('consumers share a batch, and each gets its own rows', async () => {
    const { queue, ask, last } = heldQueue({ max: 8 });
    const calls: { features: number[]; pixels: number[] | undefined }[] = [];
    const other: Consumer<string> = {
      wantsPixels: true,
      answer: async ({ features, pixels }, n) => {
        calls.push({ features: [...features], pixels: pixels && [...pixels] });
        return Array.from({ length: n }, (_, i) => `row ${i}`);
      },
    };
    const trace = (n: number) =>
      queue.submit({ decode: async () => imageOf(n), consumer: other, kind: 'single' as const });
    ask(0);
    await settle();
    const asked = [ask(1), trace(2), ask(3), trace(4)];
    await settle();
    last().finish();
    await settle();
    assert.deepEqual(last().images, [1, 2, 3, 4]);
    assert.equal(last().pixels, true);
    last().finish();
    assert.deepEqual(await Promise.all(asked), [1, 'row 0', 3, 'row 1']);
    assert.deepEqual(calls, [{ features: [2, -2, 4, -4], pixels: [2, 2, 2, 4, 4, 4] }]);
  });

  test('what is read ahead for two towers never fills more than the queue', () => {
    const roomOf = (max: number) => heldQueue({ max: 8 }, { max }, 4).queue.roomForTwice;
    assert.deepEqual([64, 30, 10].map(roomOf), [40, 30, 10]);
  });

  test("a consumer's work is handed over before the next batch", async () => {
    const order: string[] = [];
    const queue = new ImageQueue({
      limits: queueLimits({ max: 1 }),
      decoders: 1,
      closed: () => assert.fail(),
      encode: async () => {
        order.push('encode');
        return { features: new Float32Array(2) };
      },
    });
    const consumer: Consumer<number> = {
      wantsPixels: false,
      answer: async () => {
        order.push('score');
        return [0];
      },
    };
    await Promise.all(range(3).map((n) => queue.submit({ decode: async () => imageOf(n), consumer, kind: 'single' })));
    assert.deepEqual(order, ['encode', 'score', 'encode', 'score', 'encode', 'score']);
  });
});

describe('bounds', () => {
  test('no more are decoded at once than there are decoders, nor held with pixels than there is room', async () => {
    const { queue, ask, batches, counts } = heldQueue({ max: 4 }, {}, 3);
    let decoding = 0;
    let decoded = 0;
    const most = { decoding: 0, held: 0 };
    const decode = async () => {
      most.decoding = Math.max(most.decoding, ++decoding);
      most.held = Math.max(most.held, decoding + decoded - counts.computed);
      await nextLoop();
      decoding--;
      decoded++;
      return imageOf(1);
    };
    const all = range(64).map((n) => ask(n, { decode }));
    await settle();
    await settle();
    assert.equal(decoded - counts.computed, 11, 'all the room is used: two batches and three decoders');
    await runOut(Promise.all(all), batches);
    assert.equal(queue.room, 11);
    assert.equal(most.decoding, 3);
    assert.equal(most.held, 11);
  });

  test('queue.max bounds them too', async () => {
    const { queue, ask, batches } = heldQueue({ max: 8 }, { max: 2 }, 4);
    let decoded = 0;
    const decode = async () => imageOf(++decoded);
    const all = range(6).map((n) => ask(n, { decode }));
    await settle();
    assert.equal(queue.room, 2);
    assert.equal(decoded, 2);
    await runOut(Promise.all(all), batches);
    assert.equal(decoded, 6);
  });

  test("whenFull 'reject' refuses one image too many with its code, and takes one when there is room again", async () => {
    const { queue, ask, batches } = heldQueue({ max: 2 }, { max: 3, whenFull: 'reject' });
    const taken = range(3).map((n) => ask(n));
    await settle();
    const refused = ask(3);
    await assert.rejects(refused, (error: ClipnError) => {
      assert.equal(error.code, 'ERR_CLIPN_QUEUE_FULL');
      assert.deepEqual(error.details, { max: 3, waiting: 2, running: 1 });
      return true;
    });
    assert.deepEqual(await runOut(Promise.all(taken), batches), [0, 1, 2]);
    assert.equal(await runOut(ask(4), batches), 4);
    assert.equal(queue.stats().rejected, 1);
  });

  test("whenFull 'reject' lets lists and streams wait", async () => {
    const { ask, batches } = heldQueue({ max: 1 }, { max: 1, whenFull: 'reject' });
    const kinds = ['listed', 'streamed', 'listed'] as const;
    const taken = kinds.map((kind, n) => ask(n, { kind }));
    assert.deepEqual(await runOut(Promise.all(taken), batches), [0, 1, 2]);
  });
});

describe('abort', () => {
  test('what waits leaves at once with the reason and is neither decoded nor computed', async () => {
    const { queue, ask, batches } = heldQueue({ max: 1 }, { max: 1 });
    const first = ask(1);
    await settle();
    const controller = new AbortController();
    let decoded = false;
    const waits = ask(2, {
      signal: controller.signal,
      decode: async () => {
        decoded = true;
        return imageOf(2);
      },
    });
    const third = ask(3);
    controller.abort('no longer');
    await assert.rejects(waits, (reason) => reason === 'no longer');
    assert.deepEqual(await runOut(Promise.all([first, third]), batches), [1, 3]);
    assert.equal(decoded, false);
    assert.deepEqual(
      batches.map(({ images }) => images),
      [[1], [3]],
    );
    assert.equal(queue.stats().aborted, 1);
  });

  test('what is decoded already, or being decoded, never reaches the lane', async () => {
    const { ask, batches } = heldQueue({ max: 4 });
    const first = ask(1);
    await settle();
    const controller = new AbortController();
    const { signal } = controller;
    const ready = ask(2, { signal });
    await settle();
    let decoded = (_: NativeImage) => {};
    const decoding = ask(3, {
      signal,
      decode: () =>
        new Promise((resolve) => {
          decoded = resolve;
        }),
    });
    const fourth = ask(4);
    controller.abort('no longer');
    await assert.rejects(ready, (reason) => reason === 'no longer');
    await assert.rejects(decoding, (reason) => reason === 'no longer');
    decoded(imageOf(3));
    await runOut(Promise.all([first, fourth]), batches);
    assert.deepEqual(
      batches.map(({ images }) => images),
      [[1], [4]],
    );
  });

  test('what is in a batch rejects at once; the others of the batch are answered', async () => {
    const { ask, batches, last } = heldQueue({ max: 4, maxDelayMs: 60_000 });
    const controller = new AbortController();
    const asked = [ask(1), ask(2, { signal: controller.signal }), ask(3), ask(4)];
    await settle();
    assert.deepEqual(last().images, [1, 2, 3, 4]);
    controller.abort('no longer');
    await assert.rejects(asked[1]!, (reason) => reason === 'no longer');
    assert.equal(await isSettled(asked[0]!), false);
    assert.deepEqual(await runOut(Promise.all([asked[0], asked[2], asked[3]]), batches), [1, 3, 4]);
  });

  test('an aborted signal is told of before anything is taken', async () => {
    const { queue, ask } = heldQueue();
    await assert.rejects(ask(1, { signal: AbortSignal.abort('never') }), (reason) => reason === 'never');
    assert.equal(queue.stats().waiting, 0);
  });

  test('any number of images may share one signal, and nothing of them stays on it', async () => {
    const { ask, batches } = heldQueue();
    const { signal } = new AbortController();
    const all = range(40).map((n) => ask(n, { signal }));
    assert.equal(getEventListeners(signal, 'abort').length, 1);
    await runOut(Promise.all(all), batches);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });
});

describe('failures', () => {
  test('an image that cannot be decoded rejects alone', async () => {
    const { queue, ask, batches } = heldQueue({ max: 4 });
    const broken = ask(1, { decode: () => Promise.reject(new Error('no image')) });
    assert.deepEqual(await runOut(Promise.all([ask(2), ask(3)]), batches), [2, 3]);
    await assert.rejects(broken, /no image/);
    assert.equal(queue.stats().failed, 1);
  });

  test('a failing batch rejects all its images, and the next one runs', async () => {
    const { ask, batches, last } = heldQueue({ max: 2, maxDelayMs: 60_000 });
    const failing = [ask(1), ask(2)];
    await settle();
    const next = [ask(3), ask(4)];
    last().finish(new Error('no memory'));
    for (const each of failing) await assert.rejects(each, /no memory/);
    assert.deepEqual(await runOut(Promise.all(next), batches), [3, 4]);
  });

  test('a failing consumer rejects its own images only', async () => {
    const { queue, ask, batches } = heldQueue({ max: 2, maxDelayMs: 60_000 });
    const consumer: Consumer<number> = { wantsPixels: false, answer: () => Promise.reject(new Error('no score')) };
    const failing = queue.submit({ decode: async () => imageOf(1), consumer, kind: 'single' });
    failing.catch(() => {});
    const other = ask(2);
    assert.equal(await runOut(other, batches), 2);
    await assert.rejects(failing, /no score/);
  });
});

describe('close', () => {
  test('answers what was taken, then resolves; what comes after is refused', async () => {
    const { queue, ask, batches } = heldQueue({ max: 2, maxDelayMs: 60_000 });
    const taken = range(5).map((n) => ask(n));
    const closed = queue.close(true);
    await assert.rejects(ask(9), { code: 'ERR_CLIPN_CLOSED' });
    await assert.rejects(ask(9, { kind: 'streamed' }), { code: 'ERR_CLIPN_CLOSED' });
    await settle();
    assert.equal(await isSettled(closed), false);
    await runOut(closed, batches);
    assert.deepEqual(await Promise.all(taken), [0, 1, 2, 3, 4]);
  });

  test('waits for a list under way and takes the rest of it', async () => {
    const { queue, ask, batches } = heldQueue({ max: 1 });
    const list = queue.callOfMany(async () => [await ask(1, { kind: 'listed' }), await ask(2, { kind: 'listed' })]);
    const closed = queue.close(true);
    await assert.rejects(
      queue.callOfMany(async () => 0),
      { code: 'ERR_CLIPN_CLOSED' },
    );
    await runOut(closed, batches);
    assert.deepEqual(await list, [1, 2]);
  });

  test('without drain: what is in no batch rejects with its code, what is in one is answered', async () => {
    const { queue, ask, batches } = heldQueue({ max: 2 });
    const running = ask(1);
    await settle();
    const waiting = range(6).map((n) => ask(n));
    const list = queue.callOfMany(() => ask(7, { kind: 'listed' }));
    await settle();
    const closed = queue.close(false);
    for (const each of [...waiting, list]) await assert.rejects(each, { code: 'ERR_CLIPN_CLOSED' });
    assert.equal(await isSettled(closed), false);
    await runOut(closed, batches);
    assert.equal(await running, 1);
    assert.equal(batches.length, 1);
  });

  test('draining can be given up', async () => {
    const { queue, ask, batches } = heldQueue({ max: 1 });
    const asked = range(4).map((n) => ask(n));
    await settle();
    const draining = queue.close(true);
    const dropping = queue.close(false);
    for (const each of asked.slice(1)) await assert.rejects(each, { code: 'ERR_CLIPN_CLOSED' });
    await runOut(Promise.all([draining, dropping]), batches);
    assert.equal(await asked[0], 0);
  });

  test('waits for the batch of images that were aborted: the lane is at work on them', async () => {
    const { queue, ask, batches } = heldQueue();
    const controller = new AbortController();
    const aborted = ask(1, { signal: controller.signal });
    await settle();
    controller.abort('no longer');
    await assert.rejects(aborted, (reason) => reason === 'no longer');
    const closed = queue.close(true);
    await settle();
    assert.equal(await isSettled(closed), false);
    await runOut(closed, batches);
  });
});

describe('a guarded model', () => {
  test('is asked again for what its first tower cannot answer, from the same pixels, and only for that', async () => {
    const { queue, ask, batches } = heldQueue({ max: 4 });
    const answers = [1, 100, 2, 101].map((n) => ask(n, { consumer: guarded }));
    assert.deepEqual(await runOut(Promise.all(answers), batches), [-1, 100, -2, 101]);
    const of = (wanted: string) => batches.filter(({ by }) => by === wanted).flatMap(({ images }) => images);
    assert.deepEqual(of('first'), [1, 100, 2, 101]);
    assert.deepEqual(of('own'), [100, 101]);
    const { done, again, running, waiting } = queue.stats();
    assert.deepEqual({ done, again, running, waiting }, { done: 4, again: 2, running: 0, waiting: 0 });
  });

  test('never puts images of both towers into one batch', async () => {
    const { ask, batches } = heldQueue({ max: 4 });
    const answers = [1, 2, 3, 4, 5, 6].map((n) => ask(n, n % 2 === 0 ? { consumer: guarded } : {}));
    assert.deepEqual(await runOut(Promise.all(answers), batches), [1, -2, 3, -4, 5, -6]);
    for (const { images, by } of batches) {
      assert.ok(
        images.every((n) => (n % 2 === 0) === (by === 'first')),
        `${by}: ${images}`,
      );
    }
  });

  test('keeps no more pixels than it would otherwise, those that wait for a second answer among them', async () => {
    const { queue, batches } = heldQueue({ max: 2 }, {}, 1);
    let inMemory = 0;
    let most = 0;
    const answers = range(30).map((n) => {
      const decode = async () => {
        await nextLoop();
        most = Math.max(most, ++inMemory);
        return imageOf(100 + n);
      };
      const answer = queue.submit({ decode, consumer: guarded, kind: 'streamed' });
      return answer.finally(() => {
        inMemory--;
      });
    });
    await runOut(Promise.all(answers), batches);
    assert.ok(most <= queue.room, `${most} of ${queue.room}`);
    assert.equal(queue.stats().again, 30);
  });

  test('drops an image that is aborted while it waits for the second answer', async () => {
    const { queue, ask, batches, last } = heldQueue({ max: 1 });
    const leave = new AbortController();
    const [gone, kept] = [ask(100, { consumer: guarded, signal: leave.signal }), ask(5, { consumer: guarded })];
    await settle();
    last().finish();
    await settle();
    assert.equal(last().images[0], 5, 'the next image is on the lane');
    leave.abort(new Error('left'));
    await assert.rejects(gone, /left/);
    assert.equal(await runOut(kept, batches), -5);
    assert.deepEqual(
      batches.map(({ by }) => by),
      ['first', 'first'],
    );
    assert.equal(queue.stats().aborted, 1);
  });
});

describe('stats', () => {
  test('count what was done, what waits and what runs', async () => {
    const { queue, ask, batches } = heldQueue({ max: 4 });
    assert.deepEqual(queue.stats(), {
      done: 0,
      failed: 0,
      aborted: 0,
      rejected: 0,
      again: 0,
      batches: 0,
      meanBatch: null,
      waiting: 0,
      running: 0,
      latencyMs: null,
      waitMs: null,
    });
    const all = [ask(0)];
    await settle();
    all.push(...range(20).map((n) => ask(n)));
    await settle();
    const { waiting, running } = queue.stats();
    assert.deepEqual({ waiting, running }, { waiting: 20, running: 1 });
    await runOut(Promise.all(all), batches);
    const after = queue.stats();
    assert.deepEqual([after.done, after.batches, after.meanBatch], [21, 6, 3.5]);
    assert.deepEqual([after.waiting, after.running], [0, 0]);
    assert.ok(after.waitMs!.p50 <= after.latencyMs!.p50 && after.latencyMs!.p50 <= after.latencyMs!.p99);
  });

  test('percentiles are nearest ranks of the last 1,024', () => {
    const counts = new QueueCounts();
    for (let n = 100; n >= 1; n--) counts.answered(n, 2 * n);
    assert.deepEqual(counts.stats(0, 0).latencyMs, { p50: 50, p95: 95, p99: 99 });
    assert.deepEqual(counts.stats(0, 0).waitMs, { p50: 100, p95: 190, p99: 198 });
    for (let n = 0; n < 1024; n++) counts.answered(7, 7);
    assert.deepEqual(counts.stats(0, 0).latencyMs, { p50: 7, p95: 7, p99: 7 });
    assert.equal(counts.stats(0, 0).done, 1124);
  });
});

describe('options', () => {
  test('have their defaults', () => {
    assert.deepEqual(queueLimits(), { batchMax: 8, maxDelayMs: 0, queueMax: 64, whenFull: 'wait' });
    assert.equal(queueLimits({ max: 8 }, { max: 3 }).batchMax, 3);
  });

  test('a wrong one is named', () => {
    const wrong: [BatchOptions, QueueOptions, RegExp][] = [
      [{ max: 0 }, {}, /batch\.max/],
      [{ max: 1.5 }, {}, /batch\.max/],
      [{ max: '8' as unknown as number }, {}, /batch\.max/],
      [{ maxDelayMs: -1 }, {}, /maxDelayMs/],
      [{ maxDelayMs: Number.NaN }, {}, /maxDelayMs/],
      [{ maxDelayMs: 60_001 }, {}, /maxDelayMs/],
      [{}, { max: Number.POSITIVE_INFINITY }, /queue\.max/],
      [{}, { whenFull: 'drop' as 'wait' }, /whenFull/],
    ];
    for (const [batch, queue, message] of wrong) {
      assert.throws(() => queueLimits(batch, queue), { code: 'ERR_CLIPN_INVALID_ARG', message });
    }
  });
});
