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
  test('fp32 is compared with fp32, bf16 with int8, and each with the fastest bare linears of its precision', () => {
    // precision, images/s, ms, clipn-native is, of the bound, cosine
    assert.deepEqual(cells(EIGHT, 'onnxruntime-node', 'fp32').slice(1), [
      'fp32',
      '8.00',
      '1000 (1000–1000)',
      '1.25 ×',
      '0.72',
      '',
    ]);
    assert.deepEqual(cells(EIGHT, 'onnxruntime-node', 'int8').slice(2, 5), ['26.7', '300 (300–300)', '1.50 ×']);
    assert.deepEqual(cells(EIGHT, 'clipn-native', 'bf16').slice(1), [
      'bf16',
      '40.0',
      '200 (200–200)',
      '',
      '0.75',
      '0.999870',
    ]);
    assert.equal(cells(EIGHT, 'linears alone, packed', 'bf16')[4], '');
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
