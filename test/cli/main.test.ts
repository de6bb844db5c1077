import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { openEngine } from '../../lib/native/engine';
import { apiModel } from '../support/api-model';
import { cliProgram } from '../support/built';
import { repository } from '../support/paths';
import { keepLibtorch, runCli } from '../support/run-cli';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-cli-'));
const photos = path.join(folder, 'photos');
const [red, grey] = [path.join(photos, 'red.png'), path.join(photos, 'sub', 'grey.jpg')];
let model: string;

const cli = (...args: string[]) => runCli(args, path.join(folder, 'cache'));
const check = (...args: string[]) => cli('check', ...args, '--model', model, '--templates', 'plain');
const lines = (out: string) =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

before(async () => {
  keepLibtorch();
  mkdirSync(path.join(photos, 'sub'), { recursive: true });
  await sharp({ create: { width: 60, height: 50, channels: 3, background: '#c03020' } })
    .png()
    .toFile(red);
  await sharp({ create: { width: 50, height: 60, channels: 3, background: '#808080' } })
    .jpeg()
    .toFile(grey);
  model = await apiModel();
});
after(() => rmSync(folder, { recursive: true }));

describe('check', { concurrency: 2 }, () => {
  test('prints one JSON object per image, with the documented keys, and exits 0 whatever the verdicts', async () => {
    const { code, out } = await check(red, grey, '--labels', 'cat, dog,bus', '--json');
    assert.equal(code, 0);
    const [first, second] = lines(out);
    // The image is of one colour, which is told beside its verdict.
    assert.deepEqual(Object.keys(first), ['image', 'quality', 'label', 'verdict', 'rule', 'scores', 'top']);
    assert.equal(first.quality, 'flat');
    assert.deepEqual([first.image, second.image], [red, grey]);
    assert.deepEqual(Object.keys(first.scores).sort(), 'atd ctw energy gap logPOut maxLogit mcm msp'.split(' '));
    assert.deepEqual(first.top.map((entry: { label: string }) => entry.label).sort(), ['bus', 'cat', 'dog']);
    assert.deepEqual(Object.keys(first.top[0]), ['label', 'p', 'pYes']);
  });

  test('--trace adds logits in label order, the hash of the pixels and the feature', async () => {
    const { out } = await check(red, '--labels', 'cat,dog', '--trace', '--top', '1');
    const [result] = lines(out);
    assert.deepEqual([result.logits.yes.length, result.logits.no.length], [2, 2]);
    assert.match(result.pixelsSha256, /^[0-9a-f]{64}$/);
    assert.equal(result.feature.length, 32);
    assert.equal(result.top.length, 1);
  });

  test('answers the others when one image is unreadable, and exits 1', async () => {
    const bad = path.join(folder, 'bad.jpg');
    writeFileSync(bad, 'no image');
    const loop = path.join(folder, 'loop.jpg');
    symlinkSync(loop, loop);
    const { code, out } = await check(bad, red, loop, '--labels', 'cat,dog', '--json');
    const [first, second, third] = lines(out);
    assert.equal(code, 1);
    assert.deepEqual(Object.keys(first), ['image', 'error']);
    assert.deepEqual(Object.keys(first.error), ['code', 'message']);
    assert.equal(first.error.code, 'ERR_CLIPN_IMAGE_DECODE');
    assert.ok(second.label);
    assert.equal(third.error.code, 'ERR_CLIPN_IO');
  });

  test('--limit-pixels refuses a larger image, takes one of so many pixels, and is a whole number', async () => {
    const limited = (limit: string) => check(red, '--labels', 'cat,dog', '--json', '--limit-pixels', limit);
    const [below, exact, none] = await Promise.all(['2999', '3000', '0'].map(limited));
    assert.equal(lines(below!.out)[0].error.code, 'ERR_CLIPN_IMAGE_TOO_LARGE');
    assert.equal(exact!.code, 0);
    assert.equal(none!.code, 2);
    assert.match(none!.err, /^--limit-pixels must be a whole number of at least 1, not 0$/m);
  });

  test('takes folders and globs, sorted', async () => {
    const [byFolder, byGlob] = await Promise.all([
      check(photos, '--labels', 'cat,dog', '--json'),
      check(`${photos}/**/*.{png,jpg}`, '--labels', 'cat,dog', '--json'),
    ]);
    assert.deepEqual(
      lines(byFolder.out).map(({ image }) => image),
      [red, grey],
    );
    assert.equal(lines(byGlob.out).length, 2);
  });

  test('reads an image from standard input, named -', async () => {
    const labels = ['--labels', 'cat,dog', '--templates', 'plain', '--json', '--model', model];
    const env = { ...process.env, CLIPN_CACHE_DIR: path.join(folder, 'cache') };
    const child = spawn(process.execPath, [cliProgram(), 'check', '-', ...labels], {
      env,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    child.stdin.end(readFileSync(red));
    const [byName, text] = await Promise.all([check(red, '--labels', 'cat,dog', '--json'), readText(child.stdout)]);
    const [fromPipe, fromFile] = [lines(text)[0], lines(byName.out)[0]];
    assert.deepEqual(fromPipe, { ...fromFile, image: '-' });
  });

  test('prints a table for people, and its warnings on stderr', async () => {
    const { out, err } = await check(red, '--labels', 'cat,dog');
    assert.match(out, /^image\s+verdict\s+class\s+share\s+p_yes\s+ATD\nred\.png\s+(in|out)\s/);
    assert.match(err, /warning: 2 labels.*mislead/);
  });

  test('reads names from a file, and decides by threshold and by calibration', async () => {
    const names = path.join(folder, 'names.txt');
    const calibration = path.join(folder, 'calibration.json');
    writeFileSync(names, 'cat\ndog\n');
    writeFileSync(calibration, JSON.stringify({ formatVersion: 1, score: 'msp', in: 2, out: 0 }));
    const [threshold, calibrated] = await Promise.all([
      check(red, '--labels-file', names, '--score', 'msp', '--threshold', '0', '--json'),
      check(red, '--labels-file', names, '--calibration', calibration, '--json'),
    ]);
    assert.deepEqual([lines(threshold.out)[0].verdict, lines(threshold.out)[0].rule], ['in', 'threshold']);
    assert.deepEqual([lines(calibrated.out)[0].verdict, lines(calibrated.out)[0].rule], ['review', 'calibrated']);
  });

  test('uses a bank made by `labels`, and gets what the names give', async () => {
    const bank = path.join(folder, 'bank.safetensors');
    const made = await cli('labels', bank, '--model', model, '--labels', 'cat,dog', '--templates', 'plain', '--json');
    assert.equal(JSON.parse(made.out).labels, 2);
    const [byBank, byNames] = await Promise.all([
      cli('check', red, '--model', model, '--bank', bank, '--json'),
      check(red, '--labels', 'cat,dog', '--json'),
    ]);
    assert.deepEqual(lines(byBank.out), lines(byNames.out));
  });

  test('without --model it warns of the labels that the small model never learnt', async () => {
    const { err } = await cli('check', red, '--labels', 'cat,coffee');
    assert.match(err, /never learnt coffee: .*fetch model/);
  });
});

describe('usage errors exit 2 and say what was meant:', { concurrency: 2 }, () => {
  for (const [what, args, message] of [
    ['an unknown verb', ['chek'], /unknown command chek\. Did you mean check\?/],
    ['an unknown flag', ['check', 'a.jpg', '--label', 'cat'], /unknown flag --label\. Did you mean --labels\?/],
    ['a verb that every object has', ['constructor'], /unknown command constructor\./],
    ['a flag that every object has', ['check', 'a.jpg', '--constructor'], /unknown flag --constructor\./],
    ['a flag with two letters swapped', ['check', 'a.jpg', '--modle', 'm'], /Did you mean --model\?/],
    ['a refused value', ['check', 'a.jpg', '--score', 'atdd'], /--score must be one of .*Did you mean atd\?/],
    ['a number that is none', ['check', 'a.jpg', '--threshold', 'half'], /--threshold must be a number, not half/],
    ['a missing value', ['check', 'a.jpg', '--labels'], /--labels needs a value/],
    ['a flag twice', ['check', 'a.jpg', '--labels', 'a', '--labels', 'b'], /^--labels is given twice\n/],
    ['labels twice', ['check', 'a.jpg', '--labels', 'a', '--labels-file', 'f'], /exclude each other/],
    ['no labels', ['check', 'a.jpg'], /give one of --labels, --labels-file and --bank/],
    [
      'labels and a bank',
      ['check', 'a.jpg', '--labels', 'a', '--bank', 'b'],
      /give one of --labels, --labels-file and/,
    ],
    ['no image', ['check', '--labels', 'cat'], /no image given/],
    [
      'a word too many',
      ['doctor', 'more'],
      /^unexpected argument more\nusage: clipn-native doctor \[--json\] \[--labels [^\n]*\]\n/,
    ],
  ] as const) {
    test(what, async () => {
      const { code, err } = await cli(...args);
      assert.equal(code, 2);
      assert.match(err, message);
    });
  }
});

test('help of a verb is the same by `VERB --help` and `help VERB`, and names every flag', async () => {
  const [one, other] = await Promise.all([cli('fetch', '--help'), cli('help', 'fetch')]);
  assert.deepEqual(one, other);
  assert.match(one.out, /--from PATH\|URL/);
});

describe('when the output goes nowhere', { concurrency: 2 }, () => {
  /** Runs the program in a shell: `$clipn` is it. */
  function shell(script: string): Promise<{ code: number | null; out: string; err: string }> {
    const env = {
      ...process.env,
      CLIPN_CACHE_DIR: path.join(folder, 'cache'),
      clipn: cliProgram(),
      node: process.execPath,
    };
    const child = spawn('bash', ['-c', script], { cwd: repository, env });
    const ended = once(child, 'close') as Promise<[number | null]>;
    return Promise.all([ended, readText(child.stdout), readText(child.stderr)]).then(([[code], out, err]) => ({
      code,
      out,
      err,
    }));
  }
  const checkRed = () => `"$node" "$clipn" check '${red}' --model '${model}' --labels cat,dog --templates plain`;

  test('a reader that leaves before it is written ends it quietly, with the code of SIGPIPE', async () => {
    const child = spawn(process.execPath, [cliProgram(), 'help'], { cwd: repository });
    child.stdout.destroy();
    const [[code], said] = await Promise.all([once(child, 'close'), readText(child.stderr)]);
    assert.deepEqual([code, said], [141, '']);
  });

  test('so does `head`, and the verb stops', async () => {
    // More lines than a pipe holds: 64 KiB.
    const many = `for i in $(seq 400); do echo '${red}'; done`;
    const { code, out, err } = await shell(
      `mapfile -t images < <(${many}); ${checkRed()} "\${images[@]}" --json | head -1; exit "\${PIPESTATUS[0]}"`,
    );
    assert.equal(code, 141);
    assert.equal(out.trim().split('\n').length, 1);
    assert.doesNotMatch(err, /interrupted|EPIPE|ERR_/);
  });

  test('notes that nobody reads do not stop it: the answers and the code are as ever', async () => {
    const [left, closed] = await Promise.all([
      shell(`${checkRed()} --json 2> >(exec true); exit $?`),
      shell(`${checkRed()} --json 2>&-; exit $?`),
    ]);
    for (const { code, out } of [left, closed]) {
      assert.equal(code, 0);
      assert.equal(lines(out)[0].image, red);
    }
  });

  test('a closed stdout is no failure; a full disk behind it is, and is told', async () => {
    const [closed, full] = await Promise.all([
      shell(`${checkRed()} --json >&-; exit $?`),
      shell(`${checkRed()} --json > /dev/full; exit $?`),
    ]);
    assert.equal(closed.code, 0);
    assert.equal(full.code, 1);
    assert.match(full.err, /^ERR_CLIPN_IO: the answers could not be written: ENOSPC.*\n {2}Make room/m);
  });
});

test('a failure names its code and a remedy, and exits 1', async () => {
  const { code, err } = await cli('check', red, '--model', path.join(folder, 'none.pt'), '--labels', 'cat');
  assert.equal(code, 1);
  assert.match(err, /^ERR_CLIPN_MODEL_NOT_FOUND: no model file at .*none\.pt\n {2}\S/);
});

test('a folder that the system refuses to look at is no defect of the program', async () => {
  const loop = path.join(folder, 'loop');
  symlinkSync(loop, loop);
  const args = ['--labels', 'cat', '--model', model, '--out', path.join(folder, 'none.json')];
  const { code, err } = await cli('calibrate', '--id', loop, ...args);
  assert.equal(code, 1);
  assert.match(err, /^ERR_CLIPN_IO: cannot list the folder .*: ELOOP/);
});

test('check --precision guarded tells with --json which arithmetic answered, or that this CPU has no faster one', async () => {
  const flags = ['--model', model, '--labels', 'cat,dog', '--templates', 'plain', '--precision', 'guarded', '--json'];
  const { code, out, err } = await cli('check', red, '--device', 'cpu', ...flags);
  assert.equal(code, 0, err);
  const { precision } = JSON.parse(out);
  const { addon, core } = await openEngine();
  if (core.cpuBf16 || (core.cpuInt8 && addon.int8Absence() === '')) {
    assert.match(precision, /^(fp32|bf16|int8)$/);
    assert.doesNotMatch(err, /fp32 here/);
  } else {
    assert.equal(precision, undefined);
    assert.match(err, /guarded is plain fp32 here: this CPU multiplies neither/);
  }
});

test('bench refuses --precision guarded, which is two towers', async () => {
  const { code, err } = await cli('bench', '--model', model, '--precision', 'guarded');
  assert.equal(code, 2);
  assert.match(err, /^ERR_CLIPN_INVALID_ARG: bench measures one tower/m);
});

test('--help names every flag of the verb', async () => {
  const { code, out } = await cli('check', '--help');
  assert.equal(code, 0);
  for (const flag of 'model labels labels-file bank templates score threshold calibration device precision no-exif top json trace'.split(
    ' ',
  )) {
    assert.match(out, new RegExp(`--${flag}\\b`));
  }
});
