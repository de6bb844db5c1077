/**
 * One package with a core for each minor version of libtorch: `npm run minors`, which builds the cores and names a libtorch
 * for each (CLIPN_MINORS). Takes a minute.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { minorOf } from '../../lib/libtorch/inspect';
import { LIBTORCH_VERSIONS } from '../../lib/libtorch/release';
import { ANSWERS_PROGRAM, assertSameAnswers, type Told } from '../support/package-answers';
import { repository } from '../support/paths';

const run = promisify(execFile);
const MINORS = LIBTORCH_VERSIONS.map(minorOf);
const libtorches = process.env['CLIPN_MINORS']?.split(':');

describe('one package, several libtorch (slow)', {
  skip: libtorches === undefined && 'it is for `npm run minors`',
}, () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-minors-'));
  const inApp = (...names: string[]) => path.join(folder, 'node_modules', ...names);
  const told = async (libtorch: string) => {
    const env = { ...process.env, CLIPN_LIBTORCH: libtorch, CLIPN_CACHE_DIR: path.join(folder, 'cache') };
    const args = ['program.cjs', 'clipn-native', inApp('clipn-native-model-small')];
    const { stdout } = await run(process.execPath, args, { cwd: folder, env, maxBuffer: 1 << 26 });
    return JSON.parse(stdout) as Told;
  };
  after(() => rmSync(folder, { recursive: true, force: true }));

  before(async () => {
    await run(process.execPath, ['scripts/pack.mjs'], { cwd: repository, maxBuffer: 1 << 26 });
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, 'package.json'), '{ "private": true }');
    writeFileSync(path.join(folder, 'program.cjs'), ANSWERS_PROGRAM);
    const packed = path.join(repository, 'build/pack');
    const tarballs = readdirSync(packed).filter(
      (name) => /^clipn-native-(\d|model-small)/.test(name) && name.endsWith('.tgz'),
    );
    const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
    await run('npm', ['install', ...flags, ...tarballs.map((name) => path.join(packed, name))], { cwd: folder });
  });

  test('it holds a core for each', () => {
    const files = readdirSync(inApp('clipn-native/prebuilds', `${process.platform}-${process.arch}`));
    for (const minor of MINORS) assert.ok(files.includes(`libclipn_core-${minor}-cpu.so`), `${minor}: ${files}`);
    const sums = readFileSync(inApp('clipn-native/prebuilds/SHA256SUMS'), 'utf8');
    for (const minor of MINORS) assert.match(sums, new RegExp(`libclipn_core-${minor.replace('.', '\\.')}-cpu`));
  });

  test('the libtorch that is found chooses the core, and each gives the same answers', async () => {
    const answers: Told[] = [];
    for (const libtorch of libtorches!) answers.push(await told(libtorch));
    assert.deepEqual(
      answers.map(({ core }) => minorOf(core.torchVersion)),
      MINORS,
    );
    for (const other of answers.slice(1)) assertSameAnswers(other, answers[0]!);
  });

  test('doctor names the core that is used', async () => {
    for (const [i, libtorch] of libtorches!.entries()) {
      const env = { ...process.env, CLIPN_LIBTORCH: libtorch };
      const { stdout } = await run(process.execPath, [inApp('clipn-native/dist/cli/main.js'), 'doctor'], { env });
      assert.match(stdout, new RegExp(`probe +works: core for libtorch ${MINORS[i]!.replace('.', '\\.')}\\.`));
    }
  });
});
