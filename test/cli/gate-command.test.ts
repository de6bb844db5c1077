import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import type { Log } from 'sarif';
import sharp from 'sharp';
import { parse } from 'yaml';
import { type CheckResult, calibrate, loadModel, saveCalibration } from '../../lib';
import { apiModel } from '../support/api-model';
import { cliProgram } from '../support/built';
import { repository } from '../support/paths';
import { keepLibtorch, runCli } from '../support/run-cli';

const LABELS = ['cat', 'dog', 'bus', 'cup'];
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-gate-'));
const at = (...parts: string[]) => path.join(folder, ...parts);
const outcome: { in: string[]; out: string[] } = { in: [], out: [] };

/** 40 photos; the threshold calls half of them out. */
before(async () => {
  keepLibtorch();
  process.env['CLIPN_CACHE_DIR'] = at('cache');
  mkdirSync(at('photos'));
  const files = Array.from({ length: 40 }, (_, i) => at('photos', `${i} <&>.png`));
  const draw = (file: string, i: number) =>
    sharp({ create: { width: 50, height: 40, channels: 3, background: { r: 6 * i, g: 250 - 6 * i, b: 90 } } })
      .png()
      .toFile(file);
  await Promise.all(files.map(draw));
  writeFileSync(at('labels.txt'), LABELS.join('\n'));
  await using model = await loadModel(await apiModel());
  const bank = await model.createLabelBank(LABELS, { cache: false, templates: 'plain' });
  const { calibration } = await calibrate(model, bank, files, { target: 0.5 });
  await saveCalibration(calibration, at('half.json'));
  // By hand: everything is in.
  const { contentId, templates } = calibration.fittedFor;
  writeFileSync(
    at('all.json'),
    JSON.stringify({ formatVersion: 1, score: 'atd', in: -1, out: -1, contentId, templates }),
  );
  const detector = await model.createDetector(bank, { calibration });
  for (const result of (await detector.check(files)) as CheckResult[]) {
    outcome[result.verdict as 'in' | 'out'].push(result.image!);
  }
});
after(() => rmSync(folder, { recursive: true }));

const run = async (...args: string[]) =>
  runCli(
    ['gate', '--model', await apiModel(), '--labels-file', at('labels.txt'), '--templates', 'plain', ...args],
    at('cache'),
  );
const failing = (...args: string[]) => run(at('photos'), '--calibration', at('half.json'), '--max-out', '70%', ...args);

describe('gate', { concurrency: 2 }, () => {
  test('passes a batch with no more out than may be, exit 0, and says so', async () => {
    const { code, out, err } = await failing();
    assert.equal(code, 0, err);
    assert.match(
      out,
      /passed: (19|20|21) of 40 images are out \(\d+\.\d %\), at least 3\d\.\d % with 95\.0 % confidence; 70/,
    );
  });

  test('fails with exit 3 one that shows more, in JSON, JUnit and SARIF', async () => {
    writeFileSync(at('strict.json'), JSON.stringify({ formatVersion: 1, score: 'atd', in: 2, out: 2 }));
    const args = [at('photos'), '--calibration', at('strict.json'), '--max-out', '0.5'];
    const [json, junit, sarif] = await Promise.all(['--json', '--junit', '--sarif'].map((flag) => run(...args, flag)));
    for (const { code, err } of [json!, junit!, sarif!]) {
      assert.equal(code, 3, err);
      assert.match(err, /FAILED: 40 of 40/);
    }
    const told = JSON.parse(json!.out);
    assert.deepEqual([told.passed, told.out, told.images.length], [false, 40, 40]);

    assert.equal(XMLValidator.validate(junit!.out), true);
    const { testsuites } = new XMLParser({ ignoreAttributes: false, htmlEntities: true }).parse(junit!.out);
    assert.deepEqual([testsuites['@_tests'], testsuites['@_failures'], testsuites['@_errors']], ['41', '41', '0']);
    const names = testsuites.testsuite.testcase.map((one: Record<string, string>) => one['@_name']);
    assert.ok(names.includes(at('photos', '7 <&>.png')), `${names[1]}`);

    const log: Log = JSON.parse(sarif!.out);
    assert.deepEqual([log.version, log.runs[0]!.results!.length], ['2.1.0', 40]);
    const first = log.runs[0]!.results![0]!;
    assert.deepEqual([first.ruleId, first.level], ['out', 'error']);
    const { uri } = first.locations![0]!.physicalLocation!.artifactLocation!;
    assert.equal(new URL(uri!).pathname.endsWith('%20%3C%26%3E.png'), true);
  });

  test('in a batch that passes, images that are out are no failures', async () => {
    const { code, out } = await failing('--junit');
    assert.equal(code, 0);
    const { testsuites } = new XMLParser({ ignoreAttributes: false, htmlEntities: true }).parse(out);
    assert.deepEqual([testsuites['@_failures'], testsuites.testsuite.testcase.length], ['0', 41]);
    const told = testsuites.testsuite.testcase.filter((one: object) => 'system-out' in one);
    assert.ok(Math.abs(told.length - 1 - outcome.out.length) <= 1);
  });

  test('an image that cannot be read is told, and ends with 1', async () => {
    mkdirSync(at('broken'));
    writeFileSync(at('broken', 'bad.png'), 'no image');
    const nothing = await run(at('broken'), '--calibration', at('all.json'), '--max-out', '10%');
    assert.deepEqual([nothing.code, /FAILED: none of the images could be read/.test(nothing.out)], [1, true]);
    copyFileSync(at('photos', '1 <&>.png'), at('broken', 'good.png'));
    const { code, out } = await run(at('broken'), '--calibration', at('all.json'), '--max-out', '10%', '--junit');
    assert.equal(code, 1);
    const { testsuites } = new XMLParser({ ignoreAttributes: false, htmlEntities: true }).parse(out);
    assert.equal(testsuites['@_errors'], '1');
    assert.match(out, /<error message="ERR_CLIPN_IMAGE_DECODE/);
  });

  test('refuses what could never pass, a share that is none, and two formats', async () => {
    const never = await run(at('photos'), '--calibration', at('half.json'), '--max-out', '2%');
    assert.equal(never.code, 1);
    assert.match(never.err, /ERR_CLIPN_CALIBRATION: .*calls 48\.8 % out by design/);
    const odd = await failing('--json', '--sarif');
    assert.deepEqual([odd.code, /exclude each other/.test(odd.err)], [2, true]);
    const share = await run(at('photos'), '--calibration', at('half.json'), '--max-out', '%');
    assert.deepEqual([share.code, /--max-out must be a share/.test(share.err)], [2, true]);
  });
});

describe('the GitHub Action', () => {
  const action = parse(readFileSync(path.join(repository, '.github/actions/gate/action.yml'), 'utf8'));

  test('has a command that runs the gate and leaves SARIF', async () => {
    const step = action.runs.steps.find((each: { name: string }) => each.name === 'Gate');
    // What `npx` finds where the package is installed.
    mkdirSync(at('bin'));
    writeFileSync(
      at('bin', 'npx'),
      `#!/bin/sh\nshift 2\nexec "${process.execPath}" "${cliProgram()}" "$@" --templates plain\n`,
    );
    chmodSync(at('bin', 'npx'), 0o755);
    const inputs = {
      images: at('photos'),
      'labels-file': at('labels.txt'),
      calibration: at('all.json'),
      'max-out': '5%',
    };
    const given: Record<string, string> = { ...inputs, model: await apiModel(), sarif: at('gate.sarif') };
    const env = Object.entries(step.env as Record<string, string>).map(([name, value]) => {
      const input = /^\$\{\{ inputs\.([\w-]+) \}\}$/.exec(value)![1]!;
      assert.ok(input in action.inputs, input);
      return [name, given[input]!];
    });
    const options = {
      env: { ...process.env, ...Object.fromEntries(env), PATH: `${at('bin')}:${process.env['PATH']}` },
    };
    await promisify(execFile)('bash', ['-eo', 'pipefail', '-c', step.run], options);
    const log: Log = JSON.parse(readFileSync(at('gate.sarif'), 'utf8'));
    assert.deepEqual([log.version, log.runs[0]!.results], ['2.1.0', []]);
  });
});
