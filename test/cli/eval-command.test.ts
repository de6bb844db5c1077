import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { EvalResult } from '../../lib';
import { apiModel } from '../support/api-model';
import { cliProgram } from '../support/built';
import { drawImages } from '../support/image-tree';
import { keepLibtorch, runCli } from '../support/run-cli';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-eval-command-'));
const at = (...parts: string[]) => path.join(folder, ...parts);
let model: string;

before(async () => {
  keepLibtorch();
  model = await apiModel();
  const seed = await drawImages(at('id'), ['n02124075', 'n02165456'], 6, 1);
  await drawImages(at('ood'), [''], 7, seed);
  writeFileSync(at('ood', 'bad.jpg'), 'no image');
});
after(() => rmSync(folder, { recursive: true }));

const evaluate = (...args: string[]) =>
  runCli(['eval', '--model', model, '--templates', 'plain', ...args], at('cache'));

describe('eval', { concurrency: 2 }, () => {
  test('writes the report, its JSON and its CSV with the same numbers, lists unreadable images and exits 1', async () => {
    const out = at('out', 'report.html');
    const { code, out: said, err } = await evaluate('--id', at('id'), '--ood', `strange=${at('ood')}`, '--out', out);
    assert.equal(code, 1);
    assert.match(said, /^AUROC \/ FPR95, %\s+strange\nctw\s+\d/);
    assert.match(said, /Images: ID 12, strange 7\./);
    assert.match(err, /unreadable, strange: bad\.jpg: ERR_CLIPN_IMAGE_DECODE/);
    const result = JSON.parse(readFileSync(at('out', 'report.json'), 'utf8')) as EvalResult;
    assert.deepEqual(
      result.classes.map(({ label, images }) => [label, images]),
      [
        ['Egyptian Mau', 6],
        ['ladybug', 6],
      ],
    );
    const csv = readFileSync(at('out', 'report.csv'), 'utf8').split('\r\n');
    const auroc = result.scores['atd']!.sets['strange']!.auroc;
    assert.ok(csv.some((line) => line.startsWith(`atd,strange,${auroc},`)));
    assert.ok(readFileSync(out, 'utf8').includes(`title="${result.threshold}"`));
    assert.match(said, new RegExp(`atd\\s+${(100 * auroc).toFixed(2)} /`));
    assert.match(result.provenance.command, /^clipn-native eval --model .* --ood strange=/);
  });

  test('--json prints the result alone, with names of class folders from a file and words for NegLabel', async () => {
    writeFileSync(at('names.txt'), 'n02124075 a cat\nn02165456 a beetle\n');
    writeFileSync(at('words.txt'), 'oak\nriver\na cat\n');
    const flags = ['--class-names', at('names.txt'), '--negatives', at('words.txt'), '--score', 'negLabel', '--json'];
    const { code, out } = await evaluate('--id', at('id'), '--ood', `ID2=${at('id')}`, ...flags);
    assert.equal(code, 0);
    const result = JSON.parse(out) as EvalResult;
    assert.deepEqual(result.provenance.negatives?.count, 2);
    assert.equal(result.decidingScore, 'negLabel');
    assert.deepEqual(result.classes.map(({ label }) => label).sort(), ['a beetle', 'a cat']);
    // The same images on both sides cannot be told apart.
    assert.equal(result.scores['atd']!.sets['ID2']!.auroc, 0.5);
  });

  test('Ctrl-C ends with 130 and says what is kept; the same command goes on to the result of a run never stopped', async () => {
    await drawImages(at('many'), [''], 600, 1000);
    const sets = ['--id', at('id'), '--ood', `many=${at('many')}`];
    const command = ['eval', '--model', model, '--templates', 'plain', ...sets, '--json'];
    const env = { ...process.env, CLIPN_CACHE_DIR: at('stopped'), NO_COLOR: '1' };
    const child = spawn(process.execPath, [cliProgram(), ...command], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    const ended = once(child, 'close');
    // The store's folder is made when the first image is about to be encoded.
    while (!existsSync(at('stopped', 'features')) && child.exitCode === null) await setTimeout(5);
    await setTimeout(100);
    child.kill('SIGINT');
    const [code] = await ended;
    assert.equal(code, 130, said);
    assert.match(said, /is kept in the store: the same command goes on from there\.\ninterrupted\n$/);
    const left = readdirSync(at('stopped', 'features'), { recursive: true, encoding: 'utf8' });
    assert.deepEqual(
      left.filter((name) => name.includes('.') && !name.endsWith('.safetensors')),
      [],
    );
    const [resumed, whole] = await Promise.all([runCli(command, at('stopped')), runCli(command, at('whole'))]);
    const undated = ({ out }: { out: string }) => out.replace(/"created":"[^"]*"/, '');
    assert.equal(undated(resumed), undated(whole));
    assert.equal(whole.code, 0, whole.err);
  });

  test('a refusal names its code and a remedy, and exits 1', async () => {
    const { code, err } = await evaluate('--id', at('nowhere'), '--ood', `a=${at('ood')}`);
    assert.equal(code, 1);
    assert.match(err, /^ERR_CLIPN_DATA_FOLDER: the folder .*nowhere does not exist\n {2}\S/m);
  });

  test('--limit-pixels holds for its images', async () => {
    const sets = ['--id', at('id'), '--ood', `a=${at('ood')}`, '--store', at('limited')];
    const { code, err } = await evaluate(...sets, '--limit-pixels', '1');
    assert.equal(code, 1);
    assert.match(err, /^ERR_CLIPN_DATA_FOLDER: .*none of them readable/m);
  });

  for (const [what, args, message] of [
    ['no OOD folder', ['--id', 'a'], /--ood is missing/],
    ['a weight of patches without patches', ['--id', 'a', '--ood', 'x=b', '--lambda', '2'], /--lambda needs --patches/],
    ['an OOD folder without a name', ['--id', 'a', '--ood', 'b'], /b is not NAME=DIR/],
    ['one name twice', ['--id', 'a', '--ood', 'b=c', '--ood', 'b=d'], /named b/],
    ['no ID folder', ['--ood', 'b=c'], /--id is missing/],
  ] as const) {
    test(`${what} is a usage error, exit 2`, async () => {
      const { code, err } = await evaluate(...args);
      assert.equal(code, 2);
      assert.match(err, message);
    });
  }
});
