import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inOrder } from '../../lib/base/in-order';

const OPTIONS = { window: 8 };

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of source) all.push(item);
  return all;
}

const double = async (n: number) => 2 * n;

describe('inOrder', () => {
  test('keeps the order although answers take varying time', async () => {
    const answer = async (n: number) => {
      await sleep((n * 7) % 5);
      return 2 * n;
    };
    const items = Array.from({ length: 30 }, (_, i) => i);
    assert.deepEqual(
      await collect(inOrder(items, answer, OPTIONS)),
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
    const results = inOrder(source(), double, OPTIONS);
    assert.equal((await results.next()).value, 2);
    release();
    assert.equal((await results.next()).value, 4);
    assert.equal((await results.next()).done, true);
  });

  test('starts the whole window ahead, and never more', async () => {
    let started = 0;
    let answered = 0;
    let most = 0;
    const answer = async (n: number) => {
      most = Math.max(most, ++started - answered);
      await sleep(1);
      return n;
    };
    for await (const _ of inOrder(Array(50).keys(), answer, OPTIONS)) answered++;
    assert.equal(answered, 50);
    assert.equal(most, OPTIONS.window);
  });

  test('leaving the loop ends the source and aborts what was started ahead', async () => {
    let ended = false;
    let aborted = 0;
    async function* source() {
      try {
        for (let i = 0; ; i++) yield i;
      } finally {
        ended = true;
      }
    }
    const answer = async (n: number, signal: AbortSignal) => {
      if (n < 3) return n;
      return await new Promise<number>((_, reject) => {
        signal.addEventListener('abort', () => {
          aborted++;
          reject(signal.reason);
        });
      });
    };
    for await (const n of inOrder(source(), answer, OPTIONS)) {
      // The loop reads one item per answer it gives: let it fill its window first.
      if (n === 2) break;
    }
    assert.equal(ended, true);
    assert.ok(aborted > 0, `${aborted} were aborted`);
  });

  test('an abort does not wait for a source that never answers', async () => {
    const controller = new AbortController();
    async function* source() {
      yield await new Promise<number>(() => {});
    }
    const results = collect(inOrder(source(), double, { ...OPTIONS, signal: controller.signal }));
    controller.abort(new Error('enough'));
    await assert.rejects(results, /enough/);
  });

  test('an abort does not wait for an answer that never comes, and hands on its reason', async () => {
    const controller = new AbortController();
    let reason: unknown;
    let begun = () => {};
    const started = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const answer = (_: number, signal: AbortSignal) => {
      begun();
      signal.addEventListener('abort', () => {
        reason = signal.reason;
      });
      return new Promise<number>(() => {});
    };
    const results = collect(inOrder([1, 2], answer, { ...OPTIONS, signal: controller.signal }));
    await started;
    controller.abort('enough');
    await assert.rejects(results, (error) => error === 'enough');
    assert.equal(reason, 'enough');
  });

  test('an error of the source reaches the reader after the answers before it', async () => {
    async function* source() {
      yield 1;
      throw new Error('broken source');
    }
    const results = inOrder(source(), double, OPTIONS);
    assert.equal((await results.next()).value, 2);
    await assert.rejects(results.next(), /broken source/);
  });

  test('a failing answer reaches the reader in its turn', async () => {
    const answer = async (n: number) => {
      if (n === 1) throw new Error('no answer');
      await sleep(2);
      return n;
    };
    const results = inOrder([0, 1, 2], answer, OPTIONS);
    assert.equal((await results.next()).value, 0);
    await assert.rejects(results.next(), /no answer/);
  });

  describe('of a source that throws as it is closed', () => {
    /** Gives 0, 1, 2 and so on, or nothing until `let` is called. */
    function failing({ stuck = false } = {}) {
      let go = () => {};
      const gate = new Promise<void>((resolve) => {
        go = resolve;
      });
      async function* source() {
        try {
          for (let i = 0; ; i++) {
            if (stuck && i > 0) await gate;
            yield i;
          }
        } finally {
          // biome-ignore lint/correctness/noUnsafeFinally: what a source's cleaning up may do
          throw new Error('cannot close');
        }
      }
      return { source: source(), go };
    }

    test('a reader that leaves is told', async () => {
      const leave = async () => {
        for await (const n of inOrder(failing().source, double, { window: 1 })) if (n === 2) break;
      };
      await assert.rejects(leave, /cannot close/);
    });

    test('an abort still rejects with its reason', async () => {
      const controller = new AbortController();
      const results = inOrder(failing().source, double, { window: 1, signal: controller.signal });
      assert.equal((await results.next()).value, 0);
      controller.abort('enough');
      await assert.rejects(results.next(), (error) => error === 'enough');
    });

    test('a failing answer still reaches the reader', async () => {
      const answer = async () => {
        throw new Error('no answer');
      };
      await assert.rejects(inOrder(failing().source, answer, { window: 1 }).next(), /no answer/);
    });

    for (const how of ['leaves', 'aborts'] as const) {
      test(`a reader that ${how} while the next item is awaited gets no unhandled rejection`, async () => {
        const unhandled: unknown[] = [];
        const note = (reason: unknown) => unhandled.push(reason);
        process.on('unhandledRejection', note);
        try {
          const { source, go } = failing({ stuck: true });
          const controller = new AbortController();
          const results = inOrder(source, double, { ...OPTIONS, signal: controller.signal });
          assert.equal((await results.next()).value, 0);
          if (how === 'aborts') {
            const next = results.next();
            controller.abort('enough');
            await assert.rejects(next, (error) => error === 'enough');
          } else {
            await results.return();
          }
          go();
          await sleep(5);
          assert.deepEqual(unhandled, []);
        } finally {
          process.off('unhandledRejection', note);
        }
      });
    }
  });
});
