import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { startContender } from '../../bench/contender';
import type { Case } from '../../bench/peers/serve';
import { BLOCKS } from '../../bench/plan';
import type { BlockResult, Results, Row } from '../../bench/results';
import { forMarkdown, forTerminal, recordIn, sections } from '../../bench/tables';

const exactly = (ms: number) => ({ samples: 7, median: ms, p10: ms, p90: ms });
const row = (name: string, precision: string, kind: string, ms: number | null, more: Partial<Row> = {}): Row => ({
  name,
  contender: name,
  precision,
  kind,
  ours: name === 'clipn-native' && kind === 'tower',
  ...(ms === null ? { missing: 'not installed' } : { ms: exactly(ms) }),
  ...more,
});
const block = (title: string, items: number, rows: Row[]): BlockResult => ({
  group: 'tower',
  title,
  items,
  rounds: 7,
  command: 'npm run bench -- tower',
  when: '2026-01-02T03:04:05.000Z',
  rows,
});
const results: Results = {
  format: 1,
  machine: {
    cpu: 'Test CPU',
    physicalCores: 2,
    logicalCores: 4,
    memoryBytes: 8 * 2 ** 30,
    platform: 'linux-x64',
    isa: ['avx2'],
  },
  versions: { 'clipn-native': '1.2.3' },
  threads: 2,
  blocks: [
    block('ViT-B/16 image tower, batch 8', 8, [
      row('clipn-native', 'fp32', 'tower', 800, { cosine: 1 }),
      row('clipn-native', 'bf16', 'tower', 200, { cosine: 0.99987 }),
      row('onnxruntime-node', 'fp32', 'tower', 1000),
      row('onnxruntime-node', 'int8', 'tower', 300),
      row('transformers.js', 'fp32', 'tower', null),
      row('linears alone, mm', 'fp32', 'linears', 720),
      row('linears alone, packed', 'bf16', 'linears', 180),
      row('linears alone, mm', 'bf16', 'linears', 150),
    ]),
    block('ViT-B/16 image tower, batch 32', 32, [row('clipn-native', 'bf16', 'tower', 1000)]),
  ],
  processes: [],
};
const cells = (title: string, name: string, precision?: string) => {
  const { rows } = sections(results).find((section) => section.title === title)!;
  return rows.find((each) => each[0] === name && (precision === undefined || each[1] === precision))!;
};
const EIGHT = 'ViT-B/16 image tower, batch 8';

describe('tables of a run', () => {
  test('fp32 is compared with fp32, int8 with bf16 where we have none, and each with its fastest bare linears', () => {
    // precision, images/s, ms, clipn-native is, of the bound, of the peak, cosine
    assert.deepEqual(cells(EIGHT, 'onnxruntime-node', 'fp32').slice(1), [
      'fp32',
      '8.00',
      '1000 (1000–1000)',
      '1.25 ×',
      '0.72',
      '',
      '',
    ]);
    assert.deepEqual(cells(EIGHT, 'onnxruntime-node', 'int8').slice(2, 5), ['26.7', '300 (300–300)', '1.50 ×']);
    assert.deepEqual(cells(EIGHT, 'clipn-native', 'bf16').slice(1), [
      'bf16',
      '40.0',
      '200 (200–200)',
      '',
      '0.75',
      '',
      '0.999870',
    ]);
    assert.equal(cells(EIGHT, 'linears alone, packed', 'bf16')[4], '');
  });

  test('int8 is compared with our int8 as soon as there is one', () => {
    const block = {
      ...results.blocks[0]!,
      rows: [...results.blocks[0]!.rows, row('clipn-native', 'int8', 'tower', 100)],
    };
    const { rows } = sections({ ...results, blocks: [block] }).find(({ title }) => title === EIGHT)!;
    const cell = (name: string, precision: string) =>
      rows.find((each) => each[0] === name && each[1] === precision)![4];
    assert.equal(cell('onnxruntime-node', 'int8'), '3.00 ×');
  });

  test('what is not installed says so', () => {
    assert.deepEqual(cells(EIGHT, 'transformers.js').slice(2, 4), ['-', 'not installed']);
  });

  test('a goal is met, missed or not measured, by the figures', () => {
    assert.deepEqual(cells('Goals', "bf16 tower, batch 8: of the bare linears' rate").slice(1), [
      '≥ 0.80',
      '0.750',
      'missed',
    ]);
    assert.deepEqual(cells('Goals', "fp32 tower, batch 8: of the bare linears' rate").slice(2), ['0.900', 'met']);
    assert.equal(cells('Goals', 'bf16 tower, batch 8: times torch.compile bf16')[3], 'not measured');
    assert.deepEqual(cells('Goals', 'bf16 tower: batch 32 per image, times batch 8').slice(2), ['0.800', 'missed']);
  });

  const fast = (precision: string, threads: number, best: number) => ({
    precision,
    instruction: 'multiply-add',
    threads,
    best,
    rate: exactly(best),
  });
  const peak = (unmeasured: string | null) => ({
    command: 'npm run bench -- peak',
    when: '2026-01-02T03:04:05.000Z',
    result: {
      rows: [fast('bf16', 2, 400), fast('bf16', 2, 300), fast('bf16', 1, 900), fast('fp32', 2, 200)],
      unmeasured,
    },
  });
  // 60 GFLOP in 200 ms are 300 Gop/s.
  const measured: Results = {
    ...results,
    blocks: [block(EIGHT, 8, [row('clipn-native', 'bf16', 'tower', 200, { flop: 60e9 })])],
  };
  const shareOf = (what: Results) => sections(what).find(({ title }) => title === EIGHT)!.rows[0]![6];

  test("a tower's rate is a share of the fastest instruction of its precision, on as many threads", () => {
    assert.equal(shareOf({ ...measured, peak: peak(null) }), '0.75');
  });

  test('no share is told where a faster unit was not measured, or nothing was', () => {
    assert.equal(shareOf({ ...measured, peak: peak('AMX') }), '');
    assert.equal(shareOf(measured), '');
  });

  describe('the table of all precisions', () => {
    const tower = (batch: number, ms: number, cosine: number) =>
      block(`ViT-B/16 image tower, batch ${batch}`, batch, [
        row('clipn-native', 'int8', 'tower', ms, { cosine }),
        row('clipn-native', 'bf16', 'tower', 2 * ms, { cosine: 0.9999 }),
        row('clipn-native', 'guarded', 'raw', 4 * ms),
        row('onnxruntime-node', 'int8', 'tower', 1.5 * ms, { cosine: 0.9996 }),
      ]);
    const holds = (precision: string, rssBytes: number) => ({
      contender: 'clipn-native',
      precision,
      versions: {},
      startMs: 1,
      loadMs: 1,
      rssBytes,
      peakBytes: rssBytes,
    });
    const whole: Results = {
      ...results,
      blocks: [tower(8, 400, 0.9997), tower(1, 50, 0.9998), tower(32, 1600, 0.9997)],
      processes: [holds('int8', 300e6), holds('bf16', 400e6)],
      precision: [
        {
          command: '',
          when: '',
          result: {
            model: 'the ViT-B/16',
            data: '',
            images: 500,
            sha256: '',
            labels: 1,
            templates: '',
            rows: [],
            verdicts: [
              { threshold: 'keeps 0.9', answers: 'int8', verdicts: 9, labels: 9 },
              { threshold: 'keeps 0.95', answers: 'int8', verdicts: 5, labels: 2 },
              {
                threshold: 'keeps 0.95',
                answers: 'guarded, int8 first, margins of 7 held out',
                verdicts: 3,
                labels: 3,
              },
              {
                threshold: 'keeps 0.95',
                answers: 'guarded, int8 first, margins of 48 drawn images',
                verdicts: 1,
                labels: 0,
              },
            ],
          },
        },
      ],
    };
    const table = sections(whole).find(({ title }) => title.startsWith('All precisions'))!;
    const line = (name: string, precision: string) =>
      table.rows.find((each) => each[0] === name && each[1] === precision)!;

    test('tells rates at every batch, memory, the smallest cosine of all batches, and verdicts changed', () => {
      assert.deepEqual(line('clipn-native', 'int8').slice(2), ['20.0', '20.0', '20.0', '', '300', '0.999700', '5, 2']);
      assert.deepEqual(line('onnxruntime-node', 'int8').slice(2, 5), ['13.3', '13.3', '13.3']);
    });

    test('takes guarded from images to verdicts, and says of what was not run that it was not', () => {
      const guarded = line('clipn-native', 'guarded');
      assert.deepEqual([...guarded.slice(2, 5), guarded.at(-1)], ['5.00', '5.00', '5.00', '1, 0']);
      assert.deepEqual(line('transformers.js', 'q8').slice(2), ['-', '-', '-', '', '-', '', '']);
    });

    test('int8 has goals of speed, accuracy and memory', () => {
      const goals = sections(whole)
        .find(({ title }) => title === 'Goals')!
        .rows.filter(([name]) => name!.startsWith('int8 tower') && !name!.includes('linears'));
      assert.deepEqual(
        goals.map((cells) => cells.slice(1)),
        [
          ...[1, 8, 32].flatMap(() => [
            ['≥ 1.5', '1.50', 'met'],
            ['≥ 1.6', '2.00', 'met'],
          ]),
          ['≥ 0.9995', '0.999700', 'met'],
          ['> 0.999600', '0.999700', 'met'],
          ['< 1', '0.750', 'met'],
        ],
      );
    });
  });

  test('on a GPU the tower stands beside compiled PyTorch and the rate of a matrix product', () => {
    const flop = 7e12;
    const gpu: BlockResult = {
      ...block('On the GPU: ViT-B/16 image tower, bytes to features, batch 256', 256, [
        row('clipn-native', 'bf16', 'tower', 20, { flop }),
        row('torch.compile, max-autotune', 'bf16', 'tower', 24, { flop }),
        row('PyTorch eager', 'tf32', 'tower', 40, { flop }),
        row('PyTorch', 'bf16', 'matrix', 1.4, { flop: 1.4 * 700e9 }),
      ]),
      group: 'gpu',
      gpu: 'Test GPU, driver 1',
    };
    const [goals, tower] = sections({ ...results, blocks: [gpu] });
    assert.deepEqual(
      goals!.rows.map((cells) => cells.slice(1)),
      [
        ['≥ 1', '1.20', 'met'],
        ['≥ 0.55', '0.500', 'missed'],
        ['> 1', '-', 'not measured'],
        ['≥ 2.5', '2.00', 'missed'],
      ],
    );
    assert.match(tower!.title, /\(Test GPU, driver 1\)$/);
    // precision, images/s, ms, clipn-native is, TFLOP/s, of the matrix rate, cosine
    assert.deepEqual(tower!.rows[2]!.slice(1), ['tf32', '6400', '40.0 (40.0–40.0)', '2.00 ×', '175', '0.25', '']);
    assert.deepEqual(tower!.rows[3]!.slice(1), ['bf16', '-', '1.40 (1.40–1.40)', '', '700', '1.00', '']);
  });

  test('Markdown and terminal hold the same cells, each table with its command', () => {
    const [page, screen] = [forMarkdown(results), forTerminal(results)];
    for (const { title, command, rows } of sections(results)) {
      assert.ok(page.includes(`### ${title}\n\n\`${command}\`\n\n|`), title);
      assert.ok(screen.includes(`${title}    ${command}`), title);
      for (const line of rows) {
        assert.ok(page.includes(`| ${line.join(' | ')} |`), line.join());
        for (const cell of line) assert.ok(screen.includes(cell), cell);
      }
    }
    assert.match(page, /^- Test CPU, 2 cores, 8 GiB, avx2; linux-x64$/m);
  });

  test('recording replaces what was recorded and keeps what people wrote around it', () => {
    const first = recordIn('# Results\n\nBefore.\n', results);
    const both = recordIn(`${first}\nAfter.\n`, { ...results, threads: 3 });
    assert.match(both, /^# Results\n\nBefore\.\n/);
    assert.match(both, /\nAfter\.\n$/);
    assert.ok(both.includes('3 threads') && !both.includes('2 threads'));
    assert.equal(both.split('### Goals').length, 2);
  });
});

test('every block has something of ours to compare with, and equal work for all of one kind', () => {
  for (const { title, runs } of BLOCKS) {
    assert.ok(
      runs.some(({ ours }) => ours),
      title,
    );
    const work = ({ variant: _, ...rest }: Case & { variant?: string }) => JSON.stringify(rest);
    const kinds = new Map(runs.map((each) => [each.case.kind, work(each.case)]));
    for (const each of runs) assert.equal(work(each.case), kinds.get(each.case.kind), title);
  }
});

describe('a contender', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-bench-'));
  after(() => rmSync(folder, { recursive: true }));
  const start = (script: string) => startContender([process.execPath, '-e', script], {}, path.join(folder, 'log'));
  const request = { op: 'run', case: { kind: 'tower', batch: 1 } } as const;

  test('that is not installed is named, and so is one that cannot be started or says nothing', async () => {
    assert.deepEqual(await start(`console.log('{"missing":"not installed"}')`), { missing: 'not installed' });
    assert.match(JSON.stringify(await start('process.exit(3)')), /its process ended with 3/);
    const absent = await startContender([path.join(folder, 'absent')], {}, path.join(folder, 'log'));
    assert.match(JSON.stringify(absent), /cannot be started/);
  });

  test('that dies at work answers with an error', async () => {
    const contender = await start(
      `console.log('{"ready":{"versions":{}}}'); process.stdin.once('data', () => process.exit(4))`,
    );
    assert.ok(!('missing' in contender));
    assert.match((await contender.ask(request)).error ?? '', /its process ended with 4/);
  });
});
