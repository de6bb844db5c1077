/** The packed packages, installed from their tarballs where there is no compiler, on every supported Node. */
import assert from 'node:assert/strict';
import { type ExecFileException, execFile } from 'node:child_process';
import {
  cpSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { findLibtorch } from '../../lib/libtorch/find';
import type { CheckResult } from '../../lib/model/detector';
import { repository } from '../support/paths';
import { StoredZip } from '../support/torch-zip';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-package-'));
const app = path.join(folder, 'app');
const tarball = (name: string) => path.join(repository, 'build/pack', `${name}-${version}.tgz`);
const { version } = JSON.parse(readFileSync(path.join(repository, 'package.json'), 'utf8')) as { version: string };
const PACKAGES = ['clipn-native', 'clipn-native-model-small'];

interface Ended {
  code: number | string | null;
  stdout: string;
  stderr: string;
}

/** A crash shows as a code that is not a number. */
function run(command: string, args: readonly string[], options: { cwd: string; env?: NodeJS.ProcessEnv }) {
  return new Promise<Ended>((resolve) => {
    execFile(command, args, { maxBuffer: 1 << 26, ...options }, (error: ExecFileException | null, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? error.signal ?? null) : 0, stdout, stderr });
    });
  });
}

async function must(command: string, args: readonly string[], options: { cwd: string; env?: NodeJS.ProcessEnv }) {
  const ended = await run(command, args, options);
  assert.equal(ended.code, 0, `${command} ${args.join(' ')}\n${ended.stdout}\n${ended.stderr}`);
  return ended.stdout;
}

/** npm's own program: named by npm when it runs us, else found as a shell would. */
function npmProgram(name: 'npm' | 'npx'): string {
  const running = process.env['npm_execpath'];
  if (running?.endsWith('npm-cli.js')) return path.join(path.dirname(running), `${name}-cli.js`);
  const folders = (process.env['PATH'] ?? '').split(':').map((each) => path.join(each, name));
  const found = folders.find((file) => existsSync(file));
  assert.ok(found, `${name} is not on PATH`);
  return found;
}

/** The environment of a user who has this Node, npm and a shell, and an empty home. */
function userEnv(node: string): NodeJS.ProcessEnv {
  const bin = mkdtempSync(path.join(folder, 'bin-'));
  symlinkSync(node, path.join(bin, 'node'));
  for (const name of ['npm', 'npx'] as const) symlinkSync(npmProgram(name), path.join(bin, name));
  symlinkSync('/bin/sh', path.join(bin, 'sh'));
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(CLIPN_|NODE_OPTIONS$|VIRTUAL_ENV$|CONDA_)/.test(name),
  );
  return {
    ...Object.fromEntries(kept),
    PATH: bin,
    HOME: path.join(folder, 'home'),
    CLIPN_CACHE_DIR: path.join(folder, 'cache'),
    NO_PROXY: '127.0.0.1',
    no_proxy: '127.0.0.1',
  };
}

/** npm's settings and downloads are the caller's: only the product sees the empty home. */
const npmEnv = () => ({ ...userEnv(process.execPath), HOME: homedir() });

/** A Node of this major: the running one, else that of the npm package which holds only Node's binary. */
async function nodeOf(major: number): Promise<string> {
  if (Number(process.versions.node.split('.')[0]) === major) return process.execPath;
  const name = `node-${process.platform}-${process.arch}`;
  const prefix = path.join(repository, `build/node-${major}`);
  const binary = path.join(prefix, 'node_modules', name, 'bin/node');
  if (!existsSync(binary)) {
    mkdirSync(prefix, { recursive: true });
    await must('npm', ['install', '--ignore-scripts', '--no-save', '--prefix', prefix, `${name}@${major}`], {
      cwd: prefix,
    });
  }
  return binary;
}

/** A zip as PyTorch publishes it, but without headers, of the libtorch that the clone uses. */
async function mirrorArchive(): Promise<string> {
  const { dir, version: torch, flavour } = findLibtorch({ supported: 'any' });
  const file = path.join(folder, 'libtorch.zip');
  const zip = await StoredZip.create(file);
  for (const name of readdirSync(dir).filter((each) => /^lib(c10|gomp|torch|torch_cpu)[.-]/.test(each))) {
    const content = readFileSync(path.join(dir, name));
    await zip.add(`libtorch/lib/${name}`, content.length, [content]);
  }
  const text = Buffer.from(`${torch}+${flavour}\n`);
  await zip.add('libtorch/build-version', text.length, [text]);
  await zip.close();
  return file;
}

/** Serves one file on the loopback interface; resolves with its URL. */
async function serve(file: string) {
  const server = createServer((_, response) => {
    response.setHeader('content-length', statSync(file).size);
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/${path.basename(file)}`, close: () => server.close() };
}

const installed = (name: string) => path.join(app, 'node_modules', name);
let photos: string[];
let labels: string;
let ofClone: CheckResult[];

before(async () => {
  await must(process.execPath, ['scripts/pack.mjs'], { cwd: repository });
  mkdirSync(path.join(folder, 'home'));
  cpSync(path.join(repository, 'test/package/consumer'), app, { recursive: true });
  writeFileSync(path.join(app, 'package.json'), '{ "name": "app", "private": true }\n');
  const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  await must('npm', ['install', ...flags, ...PACKAGES.map(tarball)], { cwd: app, env: npmEnv() });

  const samples = path.join(installed('clipn-native-model-small'), 'photos');
  photos = readdirSync(samples)
    .filter((name) => name.endsWith('.jpg'))
    .map((name) => path.join(samples, name));
  labels = readFileSync(path.join(samples, 'labels.txt'), 'utf8').trim().split('\n').join();
});
after(() => rmSync(folder, { recursive: true, force: true }));

const model = () => path.join(installed('clipn-native-model-small'), 'model.pt');
const checkArgs = () => ['check', ...photos, '--model', model(), '--labels', labels, '--json'];
const fromLines = (text: string): CheckResult[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

/** The clone's verdicts; scores differ by rounding, for photos are batched as they come in. */
function assertSameVerdicts(results: CheckResult[]): void {
  const verdicts = (all: CheckResult[]) => all.map(({ image, verdict, label }) => ({ image, verdict, label }));
  assert.deepEqual(verdicts(results), verdicts(ofClone));
  results.forEach(({ scores }, i) => {
    for (const name of ['atd', 'msp'] as const)
      assert.ok(Math.abs(scores[name] - ofClone[i]!.scores[name]) < 1e-4, name);
  });
}

describe('the package, installed without a compiler and without scripts (slow)', () => {
  test('has no compiler in sight', async () => {
    const tools = ['c++', 'g++', 'gcc', 'cc', 'clang', 'cmake', 'make', 'ninja', 'python3'];
    const script = tools.map((tool) => `command -v ${tool}`).join('; ');
    const { stdout } = await run('sh', ['-c', `${script}; command -v node`], {
      cwd: app,
      env: userEnv(process.execPath),
    });
    assert.match(stdout, /^\S+\/node\n$/);
  });

  test('says first of all which command brings libtorch', async () => {
    const env = userEnv(process.execPath);
    const { code, stderr } = await run('npx', ['clipn-native', 'quickstart'], { cwd: app, env });
    assert.equal(code, 1, stderr);
    const said = stderr.replace(/^npm warn .*\n/gm, ''); // of the tester's own npm settings
    assert.match(said, /^ERR_CLIPN_LIBTORCH_NOT_FOUND: /);
    assert.match(said, /npx clipn-native fetch --variant cpu/);
  });

  test('fetches libtorch from a mirror', async () => {
    const archive = await mirrorArchive();
    const mirror = await serve(archive);
    try {
      const env = userEnv(process.execPath);
      await must('npx', ['clipn-native', 'fetch', '--from', mirror.url], { cwd: app, env });
    } finally {
      mirror.close();
      rmSync(archive);
    }
    assert.deepEqual(readdirSync(path.join(folder, 'cache/libtorch')), ['2.13.0+cpu']);
  });

  test('gives the verdicts of the clone', async () => {
    ofClone = fromLines(
      await must(process.execPath, [path.join(repository, 'dist/cli/main.js'), ...checkArgs()], { cwd: repository }),
    );
    assert.equal(ofClone.length, photos.length);
    const env = userEnv(process.execPath);
    assertSameVerdicts(fromLines(await must('npx', ['clipn-native', ...checkArgs()], { cwd: app, env })));
  });

  test('says on Windows that it has no binaries for it, and only when they are needed', async () => {
    const env = userEnv(process.execPath);
    const cli = path.join(installed('clipn-native'), 'dist/cli/main.js');
    const asWindows = ['--require', './as-windows.cjs'];
    assert.match(await must('node', [...asWindows, cli, '--help'], { cwd: app, env }), /quickstart/);
    const { code, stderr } = await run('node', [...asWindows, cli, ...checkArgs()], { cwd: app, env });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^ERR_CLIPN_PLATFORM: There are binaries for linux-x64 only, and this is win32-x64\.\n +Use WSL/,
    );
  });

  for (const major of [20, 22, 24]) {
    test(`works on Node ${major}: command line, require, import, a worker that is terminated`, async (t) => {
      const node = await nodeOf(major);
      const env = userEnv(node);
      assert.match(await must('node', ['--version'], { cwd: app, env }), new RegExp(`^v${major}\\.`));
      await t.test('npx clipn-native quickstart', async () => {
        const table = await must('npx', ['clipn-native', 'quickstart'], { cwd: app, env });
        for (const photo of photos) assert.match(table, new RegExp(`^${path.basename(photo)} +(in|out) `, 'm'));
      });
      for (const program of ['by-require.cjs', 'by-import.mjs', 'by-worker.cjs']) {
        await t.test(program, async () => {
          const stdout = await must('node', [program, model(), labels, ...photos], { cwd: app, env });
          assertSameVerdicts(JSON.parse(stdout));
        });
      }
    });
  }

  test('has types for both module systems, checked to the last library file', async () => {
    const compilerOptions = {
      module: 'node16',
      target: 'es2022',
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      types: ['node'],
      typeRoots: [path.join(repository, 'node_modules/@types')],
    };
    writeFileSync(
      path.join(app, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['types.mts', 'types.cts'] }),
    );
    await must(process.execPath, [path.join(repository, 'node_modules/typescript/bin/tsc'), '-p', app], { cwd: app });
  });
});

describe('the tarballs (slow)', () => {
  for (const name of PACKAGES) {
    test(`publint has nothing to say of ${name}`, async () => {
      const program = path.join(repository, 'node_modules/.bin/publint');
      assert.match(await must(program, ['--strict', tarball(name)], { cwd: app }), /All good!/);
    });
  }

  test('attw finds the types of clipn-native in every module system', async () => {
    const program = path.join(repository, 'node_modules/.bin/attw');
    assert.match(await must(program, [tarball('clipn-native'), '--no-emoji'], { cwd: app }), /No problems found/);
  });
});
