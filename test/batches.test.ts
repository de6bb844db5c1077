import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BatchOptions, inBatches } from '../lib/batches';

const OPTIONS: BatchOptions = { size: 4, window: 8 };

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of source) all.push(item);
  return all;
}

const double = async (batch: { ready: number }[]) => batch.map(({ ready }) => 2 * ready);

describe('inBatches', () => {
  test('keeps the order although preparation takes varying time', async () => {
    const prepare = async (n: number) => {
      await sleep((n * 7) % 5);
      return n;
    };
    const items = Array.from({ length: 30 }, (_, i) => i);
    assert.deepEqual(
      await collect(inBatches(items, prepare, double, OPTIONS)),
      items.map((n) => 2 * n),
    );
  });

  test('answers an item of a slow source before the next one comes', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    async function* source() {
      yield 1;
      await gate;
      yield 2;
    }
    const results = inBatches(source(), async (n) => n, double, OPTIONS);
    assert.equal((await results.next()).value, 2);
    release();
    assert.equal((await results.next()).value, 4);
    assert.equal((await results.next()).done, true);
  });

  test('never holds more than the window', async () => {
    let read = 0;
    let answered = 0;
    let most = 0;
    function* source() {
      for (; read < 50; read++) yield read;
    }
    const run = async (batch: { ready: number }[]) => {
      most = Math.max(most, read + 1 - answered);
      await sleep(1);
      return batch.map(({ ready }) => ready);
    };
    for await (const _ of inBatches(source(), async (n) => n, run, OPTIONS)) answered++;
    assert.equal(answered, 50);
    assert.ok(most <= OPTIONS.window + OPTIONS.size, `${most} items were held`);
  });

  test('no batch is larger than its size', async () => {
    const sizes: number[] = [];
    const run = async (batch: { ready: number }[]) => {
      sizes.push(batch.length);
      await sleep(1);
      return batch.map(({ ready }) => ready);
    };
    await collect(inBatches(Array(20).keys(), async (n) => n, run, OPTIONS));
    assert.ok(Math.max(...sizes) <= 4 && Math.max(...sizes) > 1, String(sizes));
  });

  test('leaving the loop ends the source', async () => {
    let ended = false;
    async function* source() {
      try {
        for (let i = 0; ; i++) yield i;
      } finally {
        ended = true;
      }
    }
    for await (const n of inBatches(source(), async (n) => n, double, OPTIONS)) if (n >= 6) break;
    assert.equal(ended, true);
  });

  test('an abort does not wait for a source that never answers', async () => {
    const controller = new AbortController();
    async function* source() {
      yield await new Promise<number>(() => {});
    }
    const results = collect(inBatches(source(), async (n) => n, double, { ...OPTIONS, signal: controller.signal }));
    controller.abort(new Error('enough'));
    await assert.rejects(results, /enough/);
  });

  test('an error of the source reaches the reader', async () => {
    async function* source() {
      yield 1;
      throw new Error('broken source');
    }
    await assert.rejects(collect(inBatches(source(), async (n) => n, double, OPTIONS)), /broken source/);
  });
});
