/** The packed packages, installed from their tarballs where there is no compiler, on every supported Node. */
import assert from 'node:assert/strict';
import { createReadStream, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { findLibtorch } from '../../lib/libtorch/find';
import { LIBTORCH_VERSION } from '../../lib/libtorch/release';
import { repository } from '../support/paths';
import { StoredZip } from '../support/torch-zip';
import {
  app,
  assertSameVerdicts,
  checkArgs,
  fromLines,
  installed,
  installPackage,
  PACKAGES,
  photos,
  programArgs,
  SERVER,
  tarball,
} from './installed';
import { folder, must, programOf, removeFolder, run, userEnv } from './processes';
import { describeRuntimes } from './runtimes';
import { describeServer } from './server';
import { NODES } from './tried';

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

before(installPackage);
after(removeFolder);

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
      /^ERR_CLIPN_PLATFORM: There are binaries for linux-x64 and linux-arm64 only, and this is win32-x64\.\n +Use WSL/,
    );
  });

  for (const tried of NODES) {
    const { name } = tried;
    test(`works on ${name}: command line, require, import, a worker that is terminated`, async (t) => {
      const env = userEnv(await programOf(tried));
      assert.equal(
        `v${name.slice('Node '.length)}`,
        (await must('node', ['--version'], { cwd: app, env })).split('.')[0],
      );
      await t.test('npx clipn-native quickstart', async () => {
        const table = await must('npx', ['clipn-native', 'quickstart'], { cwd: app, env });
        for (const photo of photos()) assert.match(table, new RegExp(`^${path.basename(photo)} +(in|out) `, 'm'));
      });
      for (const program of ['by-require.cjs', 'by-import.mjs', 'by-worker.cjs']) {
        await t.test(program, async () => {
          assertSameVerdicts(JSON.parse(await must('node', [program, ...programArgs()], { cwd: app, env })));
        });
      }
    });
  }

  describeRuntimes();
  describeServer();

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

describe('what a release brings beside the code (slow)', () => {
  test('a checksum of every native file, which sha256sum confirms', async () => {
    const prebuilds = path.join(installed('clipn-native'), 'prebuilds');
    const natives = readdirSync(prebuilds, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('/'));
    const confirmed = await must('sha256sum', ['--strict', '-c', 'SHA256SUMS'], { cwd: prebuilds });
    assert.deepEqual(confirmed.trim().split('\n').sort(), natives.map((name) => `${name}: OK`).sort());
  });

  test('no tarballs where the binaries of a published system are missing; those that there are stay', async () => {
    const before = PACKAGES.map((name) => statSync(tarball(name)).size);
    const { code, stderr } = await run(process.execPath, ['scripts/pack.mjs', '--prebuilt'], { cwd: repository });
    assert.equal(code, 1);
    assert.match(stderr, /prebuilds\/linux-arm64 holds no addon/);
    assert.deepEqual(
      PACKAGES.map((name) => statSync(tarball(name)).size),
      before,
    );
  });

  test('a bill of materials with every dependency in its version, and libtorch with its checksum', async () => {
    await must(process.execPath, ['scripts/sbom.mjs'], { cwd: repository });
    const bill = JSON.parse(readFileSync(tarball('clipn-native').replace(/\.tgz$/, '.cdx.json'), 'utf8'));
    assert.deepEqual([bill.bomFormat, bill.metadata.component.name], ['CycloneDX', 'clipn-native']);
    const versions = new Map<string, string>(
      bill.components.map((each: { name: string; version: string }) => [each.name, each.version]),
    );
    const { dependencies } = JSON.parse(readFileSync(path.join(repository, 'package.json'), 'utf8'));
    for (const [name, version] of Object.entries(dependencies)) {
      assert.equal(versions.get(name), version, name);
    }
    const libtorch = bill.components.find(({ name }: { name: string }) => name === 'libtorch');
    assert.equal(libtorch.version, LIBTORCH_VERSION);
    assert.match(libtorch.hashes[0].content, /^[0-9a-f]{64}$/);
    for (const other of ['typescript', 'fastify']) assert.equal(versions.has(other), false); // a tool; of the server
  });
});

describe('the tarballs (slow)', () => {
  for (const name of [...PACKAGES, SERVER]) {
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
