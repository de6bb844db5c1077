import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { benchModel } from '../../lib/measure/bench';
import { inTurns, timesOf } from '../../lib/measure/timing';
import { apiModel } from '../support/api-model';
import { photos } from '../support/paths';
import { runCli } from '../support/run-cli';

const cli = (...args: string[]) => runCli(['bench', ...args]);

describe('bench', { concurrency: 3 }, () => {
  test('--json prints one object: rates, spread, machine, versions, threads', async () => {
    const flags = [
      '--device',
      'cpu',
      '--precision',
      'bf16',
      '--batch',
      '3',
      '--threads',
      '1',
      '--repeat',
      '1',
      '--json',
    ];
    const { code, out } = await cli('--model', await apiModel('image'), ...flags);
    assert.equal(code, 0);
    const result = JSON.parse(out);
    for (const name of ['tower', 'endToEnd', 'score']) {
      const { imagesPerSecond, images, ms } = result[name];
      assert.ok(imagesPerSecond > 0 && Number.isFinite(imagesPerSecond), name);
      assert.ok(Math.abs(imagesPerSecond - (1000 * images) / ms.median) < 1e-6 * imagesPerSecond, name);
      assert.ok(ms.samples >= 1 && ms.p10 <= ms.median && ms.median <= ms.p90, name);
    }
    assert.equal(result.tower.images, 3);
    assert.ok(result.gemmBound.imagesPerSecond > 0 || /\w/.test(result.gemmBound.why));
    assert.deepEqual(
      result.score.cases.map(({ n, c, d }: { n: number; c: number; d: number }) => [n, c, d]),
      [
        [3, 1000, 32],
        [1024, 1000, 32],
      ],
    );
    assert.deepEqual(
      [result.device, result.precision, result.batch, result.threads, result.rounds],
      ['cpu', 'bf16', 3, 1, 1],
    );
    assert.equal(result.versions.node, process.versions.node);
    assert.match(result.versions.libtorch, /^\d+\.\d+\.\d+\+(cpu|cu\d+)$/);
    assert.ok(result.machine.physicalCores >= 1 && result.machine.memoryBytes > 2 ** 28);
    assert.ok(result.load.engineMs > 0 && result.load.modelMs > 0);
    assert.ok(result.rss.loadedBytes > 2 ** 20 && result.rss.peakBytes >= result.rss.loadedBytes);
    assert.ok(result.overhead.callMicroseconds.median < result.overhead.taskMicroseconds.median);
  });

  test('prints a table for people', async () => {
    const { code, out } = await cli('--model', await apiModel(), '--repeat', '1', '--images', photos);
    assert.equal(code, 0);
    assert.match(out, /^\s+images\/s\s+ms\s+p10\s+p90/m);
    for (const name of ['tower', 'gemmBound', 'endToEnd', 'score', 'load', 'memory', 'calls']) {
      assert.match(out, new RegExp(`^${name}\\s`, 'm'));
    }
  });

  test('refuses wrong usage and counts below 1 with 2', async () => {
    const wrong = [['--precision', 'fp64'], ['--batch', 'many'], ['--bach', '2'], ['photo.jpg']];
    for (const { code } of await Promise.all(wrong.map((flags) => cli(...flags)))) assert.equal(code, 2);
    const { code, err } = await cli('--batch', '0');
    assert.equal(code, 2);
    assert.match(err, /^ERR_CLIPN_INVALID_ARG: batch must be a whole number of at least 1, not 0$/m);
  });

  test('an unreadable photo is an error, not a rate; an abort ends it', async () => {
    const model = await apiModel();
    const bad = benchModel({ model, images: [__filename], repeat: 1 });
    await assert.rejects(bad, { code: 'ERR_CLIPN_IMAGE_DECODE' });
    const stop = new AbortController();
    const reason = new Error('enough');
    const aborted = benchModel({
      model,
      images: [path.join(photos, 'cat.jpg')],
      seconds: 600,
      signal: stop.signal,
      onProgress: () => stop.abort(reason),
    });
    await assert.rejects(aborted, reason);
  });
});

describe('timing', () => {
  test('median and tenths are those of numpy.percentile', () => {
    // numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6], [10, 50, 90]) → [1, 3.5, 6.9]
    const { samples, median, p10, p90 } = timesOf([3, 1, 4, 1, 5, 9, 2, 6]);
    assert.deepEqual([samples, p10, median], [8, 1, 3.5]);
    assert.ok(Math.abs(p90 - 6.9) < 1e-12);
    assert.deepEqual(timesOf([7]), { samples: 1, median: 7, p10: 7, p90: 7 });
  });

  test('contenders warm up twice and then take turns', async () => {
    const order: string[] = [];
    const slow = (name: string) => async () => {
      order.push(name);
      await new Promise((resolve) => setTimeout(resolve, 25));
    };
    const times = await inTurns({ a: slow('a'), b: slow('b') }, { repeat: 3, seconds: 1 });
    assert.equal(order.join(''), 'ababababab');
    assert.deepEqual([times['a']!.samples, times['b']!.samples], [3, 3]);
  });
});
