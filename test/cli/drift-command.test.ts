import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { normal, uniformSource } from '../../lib/base/random';
import { type FittedCalibration, saveCalibration } from '../../lib/decide/calibration';
import { createDriftMonitor } from '../../lib/decide/drift';
import { cliProgram } from '../support/built';
import { runCli } from '../support/run-cli';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-drift-command-'));
const at = (name: string) => path.join(folder, name);
after(() => rmSync(folder, { recursive: true }));

const uniform = uniformSource(3);
const drawn = (n: number, mean: number) => Array.from({ length: n }, () => mean + normal(uniform));
const scores = drawn(199, 2).sort((a, b) => a - b);
const hash = 'a'.repeat(64);
// As `calibrate` writes it: the tenth of 199 is the threshold for 0.95.
const calibration: FittedCalibration = {
  formatVersion: 3,
  score: 'atd',
  in: scores[9]!,
  out: scores[9]!,
  target: 0.95,
  images: 199,
  scores,
  created: '2025-01-01T00:00:00.000Z',
  fittedFor: {
    contentId: hash,
    scale: 100,
    preprocessing: hash,
    exif: true,
    precision: 'fp32',
    labels: hash,
    templates: hash,
  },
};
before(() => saveCalibration(calibration, at('calibration.json')));

/** Lines of `check --json`. */
const log = (of: readonly number[]) =>
  of.map((atd, i) => {
    const verdict = atd < calibration.out ? 'out' : 'in';
    return JSON.stringify({ image: `${i}.jpg`, label: 'cat', verdict, rule: 'calibrated', scores: { atd }, top: [] });
  });
const failure = JSON.stringify({ image: 'bad.jpg', error: { code: 'ERR_CLIPN_IMAGE_DECODE', message: 'no image' } });
const same = log(drawn(300, 2));
const changed = log(drawn(300, 0));
writeFileSync(at('same.jsonl'), [...same, failure, ''].join('\n'));
writeFileSync(at('latin.jsonl'), Buffer.from('"é"', 'latin1'));
writeFileSync(at('changed.jsonl'), `${changed.join('\n')}\n`);

const drift = (...args: string[]) => runCli(['drift', '--calibration', at('calibration.json'), ...args]);
const WATCH = ['--rate-to-detect', '0.2', '--ert', '5000'];

describe('drift', { concurrency: 2 }, () => {
  test('that waits for standard input ends by Ctrl-C, and writes no state', async () => {
    const args = ['drift', '-', '--calibration', at('calibration.json'), '--state', at('stopped.json')];
    const child = spawn(process.execPath, [cliProgram(), ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    const ended = once(child, 'close');
    // More than a pipe holds, so that it has begun to read: a signal before would end Node itself.
    await new Promise((resolve) => child.stdin.write(`${same.join('\n')}\n`.repeat(20), resolve));
    child.kill('SIGINT');
    assert.deepEqual(await ended, [130, null]);
    assert.ok(!existsSync(at('stopped.json')));
  });

  test('exits 0 where nothing changed, and says how many images there were', async () => {
    const { code, out, err } = await drift(at('same.jsonl'), ...WATCH);
    assert.equal(code, 0, err);
    assert.match(out, /^no alarm\n300 images, \d+ out \(\d\.\d %\), 1 unreadable\nmartingale \S+, alarm from 100 on\n/);
    assert.match(
      out,
      /\nCUSUM \d+, alarm from \d+ on: after 5,\d+ images on average where 5\.0 % are out, after \d+ where/,
    );
  });

  test('exits 3 at an alarm, and names its line, image and value', async () => {
    const { code, out } = await drift(at('same.jsonl'), at('changed.jsonl'), ...WATCH);
    const monitor = createDriftMonitor(calibration, { rateToDetect: 0.2, ert: 5000 });
    const expected = [...same, failure, ...changed].flatMap((line) => monitor.update(JSON.parse(line)));
    assert.equal(expected.length, 2);
    const [first] = expected as [(typeof expected)[0]];
    const line = first.images - 300;
    assert.ok(out.startsWith(`${at('changed.jsonl')}:${line}: alarm by the `), out);
    assert.ok(out.includes(`at image ${first.images} (${line - 1}.jpg): `), out);
    assert.equal(code, 3);
  });

  test('--json prints one object, with the line that raised each alarm', async () => {
    const { code, out } = await drift(at('changed.jsonl'), '--json');
    const { raised, ...standing } = JSON.parse(out);
    const monitor = createDriftMonitor(calibration);
    const [alarm] = changed.flatMap((line) => monitor.update(JSON.parse(line)));
    assert.deepEqual(standing, JSON.parse(JSON.stringify(monitor.standing())));
    assert.deepEqual(raised, [{ ...alarm, log: at('changed.jsonl'), line: alarm!.images }]);
    assert.equal(code, 3);
  });

  test('goes on from --state: two logs in two calls end as in one, and an alarm still stands in the next call', async () => {
    const [one, two] = [at('one.json'), at('two.json')];
    await drift(at('same.jsonl'), at('changed.jsonl'), '--state', one, ...WATCH);
    assert.equal((await drift(at('same.jsonl'), '--state', two, ...WATCH)).code, 0);
    const second = await drift(at('changed.jsonl'), '--state', two);
    assert.equal(second.code, 3);
    assert.equal(readFileSync(two, 'utf8'), readFileSync(one, 'utf8'));
    writeFileSync(at('empty.jsonl'), '');
    const third = await drift(at('empty.jsonl'), '--state', two);
    assert.match(third.out, /^earlier: alarm by the .* at image .*\nearlier: alarm by the /);
    assert.equal(third.code, 3);
  });

  test('reads a log from standard input', async () => {
    const args = [cliProgram(), 'drift', '-', '--calibration', at('calibration.json'), '--json'];
    const out = await new Promise<string>((resolve) => {
      const child = execFile(process.execPath, args, (_, said) => resolve(said));
      child.stdin!.end(`${changed.slice(0, 10).join('\n')}`);
    });
    assert.equal(JSON.parse(out).images, 10);
  });

  test('a log and a state with a byte order mark are read', async () => {
    await drift(at('same.jsonl'), '--state', at('state.json'));
    writeFileSync(at('marked.json'), `\ufeff${readFileSync(at('state.json'), 'utf8')}`);
    writeFileSync(at('marked.jsonl'), `\ufeff${same[0]}\n`);
    const { code, out, err } = await drift(at('marked.jsonl'), '--state', at('marked.json'), '--json');
    assert.equal(code, 0, err);
    assert.equal(JSON.parse(out).images, 301);
  });

  test('a line that is cut short is refused by its place, and the state stays as it was', async () => {
    writeFileSync(at('cut.jsonl'), `${same[0]}\n${same[1]!.slice(0, 30)}`);
    const { code, err } = await drift(at('cut.jsonl'), '--state', at('cut.json'));
    assert.equal(code, 1);
    assert.match(err, /^ERR_CLIPN_SCORES: \S+cut\.jsonl:2: not JSON/);
    assert.ok(!existsSync(at('cut.json')));
  });

  test('answers without the calibration are refused by their place, with what to do', async () => {
    writeFileSync(at('paper.jsonl'), `${same[0]!.replace('calibrated', 'atd')}\n`);
    const { code, err } = await drift(at('paper.jsonl'));
    assert.equal(code, 1);
    assert.match(err, /^ERR_CLIPN_CALIBRATION: \S+paper\.jsonl:1: .*\n {2}.*check --calibration/);
  });

  test('other options than the state began with are refused', async () => {
    assert.equal((await drift(at('same.jsonl'), '--state', at('options.json'), ...WATCH)).code, 0);
    const { code, err } = await drift(at('same.jsonl'), '--state', at('options.json'), '--ert', '100');
    assert.equal(code, 1);
    assert.match(err, /^ERR_CLIPN_DRIFT_STATE: .* began with ert 5000, not 100/);
  });

  for (const [what, args, code, message] of [
    ['a log that is not there', [at('missing.jsonl')], 1, /^ERR_CLIPN_IO: cannot read the log .*missing\.jsonl/],
    ['a folder as log', [folder], 1, /^ERR_CLIPN_IO: cannot read the log/],
    ['a log that is no text', [at('latin.jsonl')], 1, /^ERR_CLIPN_SCORES: the log .* is not UTF-8 or UTF-16 text/],
    ['a state that is no JSON', [at('same.jsonl'), '--state', at('same.jsonl')], 1, /^ERR_CLIPN_DRIFT_STATE: /],
    ['no log', [], 2, /^no log given/],
  ] as const) {
    test(`${what}: exits ${code}`, async () => {
      const found = await drift(...args);
      assert.equal(found.code, code);
      assert.match(found.err, message);
    });
  }
});
