/** Other runtimes, package managers, bundlers and test runners (docs/runtimes.md); each gives the clone's verdicts. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import {
  app,
  assertSameVerdicts,
  checkArgs,
  cloneVerdicts,
  installed,
  labels,
  model,
  newApp,
  PACKAGES,
  photos,
  programArgs,
  tarball,
} from './installed';
import { folder, must, npmEnv, programOf, run, userEnv } from './processes';
import { BUN, DENO, ESBUILD, JEST, NODES, PNPM, type Tried, VITEST, WEBPACK, YARN } from './tried';

/** What a worker that kept its model would add to the process, at least: the weights of the small one. */
const MODEL_MB = 10;

/** All of these are in docs/runtimes.md. */
const DENO_FLAGS = ['run', '--allow-read', '--allow-write', '--allow-env', '--allow-sys', '--allow-ffi'];

function describeRuntime(tried: Tried, flags: readonly string[]): void {
  describe(tried.name, () => {
    const program = async (...args: string[]) =>
      must(await programOf(tried), [...flags, ...args], { cwd: app, env: userEnv(process.execPath) });

    for (const file of ['by-require.cjs', 'by-import.mjs', 'by-worker.cjs']) {
      test(file, async () => assertSameVerdicts(JSON.parse(await program(file, ...programArgs()))));
    }

    test('gives the memory of a terminated worker back', async () => {
      const grown = Number(await program('terminated-workers.cjs', model()));
      assert.ok(grown < (4 * MODEL_MB) / 2, `four workers left ${grown} MB`);
    });
  });
}

/** An app whose manifest names both tarballs; `settings` are those of its package manager. */
function appOf(name: string, settings: NodeJS.ProcessEnv = {}) {
  const root = path.join(folder, name);
  newApp(root, { dependencies: Object.fromEntries(PACKAGES.map((each) => [each, `file:${tarball(each)}`])) });
  return { cwd: root, env: { ...npmEnv(), ...settings } };
}

/** The environment of its own that a program has in such an app. */
const inApp = ({ cwd, env }: ReturnType<typeof appOf>) => ({ cwd, env: { ...env, HOME: path.join(folder, 'home') } });

/** Yarn reads no .npmrc. */
function yarnSettings(linker: string, registry: string): NodeJS.ProcessEnv {
  return {
    YARN_NODE_LINKER: linker,
    YARN_NPM_REGISTRY_SERVER: registry,
    YARN_GLOBAL_FOLDER: path.join(folder, 'yarn'),
    YARN_ENABLE_IMMUTABLE_INSTALLS: 'false',
    YARN_ENABLE_SCRIPTS: 'false',
    YARN_ENABLE_TELEMETRY: 'false',
  };
}

function describeManagers(): void {
  // Two at once: mostly they wait for the registry.
  describe('package managers other than npm', { concurrency: 2 }, () => {
    let registry: string;
    before(async () => {
      registry = (await must('npm', ['config', 'get', 'registry'], { cwd: folder, env: npmEnv() })).trim();
    });

    test('pnpm, whose packages see their own dependencies alone', async () => {
      const own = appOf('pnpm');
      const flags = ['--ignore-scripts', '--store-dir', path.join(folder, 'pnpm-store')];
      await must(await programOf(PNPM), ['install', ...flags], own);
      assertSameVerdicts(JSON.parse(await must('node', ['by-import.mjs', ...programArgs()], inApp(own))));
    });

    test('Yarn with the linker node-modules', async () => {
      const own = appOf('yarn', yarnSettings('node-modules', registry));
      writeFileSync(path.join(own.cwd, 'yarn.lock'), '');
      await must('node', [await programOf(YARN), 'install'], own);
      assertSameVerdicts(JSON.parse(await must('node', ['by-import.mjs', ...programArgs()], inApp(own))));
    });

    test("Yarn with Plug'n'Play: import, a worker, the command line", async () => {
      const own = appOf('pnp', yarnSettings('pnp', registry));
      writeFileSync(path.join(own.cwd, 'yarn.lock'), '');
      const yarn = await programOf(YARN);
      await must('node', [yarn, 'install'], own);
      assert.ok(!readdirSync(own.cwd).includes('node_modules'));
      for (const file of ['by-import.mjs', 'by-worker.cjs']) {
        const stdout = await must('node', [yarn, 'node', file, ...programArgs()], inApp(own));
        assertSameVerdicts(JSON.parse(stdout));
      }
      const table = await must('node', [yarn, 'clipn-native', 'quickstart'], inApp(own));
      assert.match(table, /^boats\.jpg +in +ferry/m); // of the small model, which Yarn must have unpacked
    });
  });
}

/** Bundles a program of the app; resolves with how that ended and where the bundle lies. */
async function bundle(bundler: Tried, name: string, externals: readonly string[]) {
  const out = path.join(app, 'bundles', name);
  const file = await programOf(bundler);
  const where = { cwd: app, env: { ...userEnv(process.execPath), WEBPACK: file } };
  const flags = ['--bundle', '--platform=node', `--outfile=${out}`, ...externals.map((each) => `--external:${each}`)];
  const ended =
    bundler === ESBUILD
      ? await run(file, ['by-require.cjs', ...flags], where)
      : await run('node', ['webpack.cjs', './by-require.cjs', out, ...externals], where);
  return { out, ...ended };
}

function describeBundlers(): void {
  describe('bundlers', () => {
    for (const bundler of [ESBUILD, WEBPACK]) {
      test(`a bundle of ${bundler.name} with clipn-native as external runs`, async () => {
        const { out, code, stdout, stderr } = await bundle(bundler, `${bundler.name}.cjs`, ['clipn-native']);
        assert.equal(code, 0, `${stdout}\n${stderr}`);
        const verdicts = await must('node', [out, ...programArgs()], { cwd: app, env: userEnv(process.execPath) });
        assertSameVerdicts(JSON.parse(verdicts));
      });
    }

    test('without externals there is no bundle: esbuild has no loader for native files', async () => {
      const { code, stderr } = await bundle(ESBUILD, 'inside.cjs', []);
      assert.equal(code, 1);
      assert.match(stderr, /No loader is configured for "\.node" files/);
    });

    test('with sharp alone as external the bundle says what to set', async () => {
      const { out, code, stderr } = await bundle(ESBUILD, 'inside.cjs', ['sharp']);
      assert.equal(code, 0, stderr);
      const ended = await run('node', [out, ...programArgs()], { cwd: app, env: userEnv(process.execPath) });
      assert.equal(ended.code, 1);
      assert.match(ended.stderr, /ERR_CLIPN_GLUE_NOT_FOUND/);
      assert.match(ended.stderr, /Mark clipn-native as external/);
    });
  });
}

function describeTestRunners(): void {
  describe('test runners', () => {
    const given = () =>
      JSON.stringify({ model: model(), labels: labels(), photos: photos(), verdicts: cloneVerdicts() });

    test('Jest, without flags', async () => {
      const env = { ...userEnv(process.execPath), GIVEN: given() };
      const args = ['--rootDir', app, '--testMatch', '**/jest.test.cjs'];
      const { code, stderr } = await run('node', [await programOf(JEST), ...args], { cwd: app, env });
      assert.equal(code, 0, stderr);
      assert.match(stderr, /^Tests: +2 passed, 2 total$/m);
    });

    test('Vitest', async () => {
      const vitest = await programOf(VITEST);
      // A test file imports vitest from where the app's packages lie.
      symlinkSync(path.dirname(vitest), path.join(app, 'node_modules/vitest'));
      const env = { ...userEnv(await programOf(NODES[2]!)), GIVEN: given(), NO_COLOR: '1' };
      const { code, stdout, stderr } = await run('node', [vitest, 'run', '--root', app, 'vitest.test'], {
        cwd: app,
        env,
      });
      assert.equal(code, 0, `${stdout}\n${stderr}`);
      assert.match(stdout, /^ *Tests +2 passed \(2\)$/m);
    });
  });
}

function describeRefusals(): void {
  describe('systems without the right libc', () => {
    test('Alpine is refused with a system to use instead', async () => {
      const cli = path.join(installed('clipn-native'), 'dist/cli/main.js');
      const env = userEnv(process.execPath);
      const { code, stderr } = await run('node', ['--require', './as-alpine.cjs', cli, ...checkArgs()], {
        cwd: app,
        env,
      });
      assert.equal(code, 1);
      assert.match(stderr, /^ERR_CLIPN_PLATFORM: libtorch is published for glibc only.*\(musl\)\.\n +Use an image/);
    });

    // The loader itself refuses: the addon of a copy of the package asks for a glibc that there is not.
    test('a glibc that is too old is refused with the version that is needed', async () => {
      const root = path.join(folder, 'old-glibc');
      const copy = installed('clipn-native', root);
      mkdirSync(path.dirname(copy), { recursive: true });
      for (const name of readdirSync(path.join(app, 'node_modules')).filter((each) => !each.startsWith('.'))) {
        if (name === 'clipn-native') cpSync(installed(name), copy, { recursive: true });
        else symlinkSync(installed(name), installed(name, root));
      }
      const prebuilds = path.join(copy, `prebuilds/${process.platform}-${process.arch}`);
      const addon = path.join(prebuilds, readdirSync(prebuilds).find((name) => name.endsWith('.node'))!);
      const bytes = readFileSync(addon, 'latin1');
      assert.match(bytes, /GLIBC_2\.34\0/);
      writeFileSync(addon, bytes.replaceAll('GLIBC_2.34\0', 'GLIBC_9.34\0'), 'latin1');
      const { code, stderr } = await run('node', [path.join(copy, 'dist/cli/main.js'), ...checkArgs()], {
        cwd: root,
        env: userEnv(process.execPath),
      });
      assert.equal(code, 1);
      assert.match(stderr, /^ERR_CLIPN_PLATFORM: The addon needs GLIBC_9\.34; this system has glibc 2\.\d+: /);
      assert.match(stderr, /Debian 12, Ubuntu 22\.04, RHEL 9 or later/);
    });
  });
}

/** After the package was installed and libtorch fetched. */
export function describeRuntimes(): void {
  describeRuntime(BUN, []);
  describeRuntime(DENO, DENO_FLAGS);
  describeManagers();
  describeBundlers();
  describeTestRunners();
  describeRefusals();
}
