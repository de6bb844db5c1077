/**
 * `npm run minors`: a core for every other minor version of libtorch that is supported, beside that of the preferred one in
 * build/Release, and the tests on it.
 *   node scripts/minors.mjs [--libtorch DIR]… [--no-tests]
 * The libtorch is one that is named, one that is found on this computer, or the published one for the CPU, fetched. Tests:
 * the native ones, the TypeScript ones with CLIPN_LIBTORCH, and one package with all cores on each libtorch
 * (test/minors/). A quarter of an hour for each version.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { filesBelow, main, minorOf, require, root, run, runNode, Stop, step } from './steps.mjs';

/** They need no libtorch, or are run by a script of their own; the packed app takes a libtorch for the CPU along. */
const LEFT_OUT = ['test/package', 'test/arm64', 'test/minors', 'test/libtorch', 'test/download', 'test/examples/asar'];

await main(async () => {
  const { values } = parseArgs({
    options: { libtorch: { type: 'string', multiple: true }, tests: { type: 'boolean', default: true } },
    allowNegative: true,
  });
  runNode(['scripts/setup.mjs']);
  const { LIBTORCH_VERSIONS } = require('./dist/libtorch/release.js');
  const { findLibtorch } = require('./dist/libtorch/find.js');
  const preferred = findLibtorch({ supported: [minorOf(LIBTORCH_VERSIONS[0])], headers: true });
  const found = [preferred];
  for (const version of LIBTORCH_VERSIONS.slice(1)) {
    const libtorch = await libtorchOf(version, values.libtorch ?? []);
    found.push(libtorch);
    const tests = values.tests ? ['--tests'] : [];
    await step(`Core for libtorch ${minorOf(version)}`, () =>
      runNode(['scripts/build-native.mjs', '--libtorch', libtorch.dir, '--beside', ...tests]),
    );
  }
  if (!values.tests) return;
  for (const libtorch of found.slice(1)) {
    const name = `on libtorch ${libtorch.version}+${libtorch.flavour}`;
    await step(`Native tests ${name}`, () => nativeTests(libtorch));
    await step(`TypeScript tests ${name}`, () => nodeTests(typescriptTests(), { CLIPN_LIBTORCH: libtorch.dir }));
  }
  const all = found.map(({ dir }) => dir).join(':');
  await step('One package on each libtorch', () =>
    nodeTests(filesBelow('test/minors', ['.test.ts']), { CLIPN_MINORS: all }),
  );
});

/** @throws Stop when none is named, found or to be had */
async function libtorchOf(version, named) {
  const { findLibtorch } = require('./dist/libtorch/find.js');
  const { fetchLibtorch } = require('./dist/libtorch/fetch.js');
  const supported = [minorOf(version)];
  const given = named.map((libtorch) => findLibtorch({ libtorch, supported: 'any', headers: true }));
  const wanted = given.find((each) => minorOf(each.version) === minorOf(version));
  if (wanted !== undefined) return wanted;
  try {
    return findLibtorch({ supported, headers: true });
  } catch (error) {
    if (!['ERR_CLIPN_LIBTORCH_NOT_FOUND', 'ERR_CLIPN_LIBTORCH_VERSION'].includes(error.code)) throw error;
  }
  await step(`libtorch ${version} for the CPU`, () => fetchLibtorch({ variant: 'cpu', version }));
  return findLibtorch({ supported, headers: true });
}

function nativeTests({ version }) {
  const program = join(root, `build/torch-${minorOf(version)}/Release/clipn_core_test`);
  if (!existsSync(program)) throw new Stop('GoogleTest is missing (Debian: apt-get install libgtest-dev)');
  run(program, ['--gtest_brief=1']);
}

const typescriptTests = () =>
  filesBelow('test', ['.test.ts']).filter((file) => !LEFT_OUT.some((start) => file.startsWith(start)));

function nodeTests(files, own) {
  const env = { GOMP_SPINCOUNT: '1000', ...process.env, ...own };
  runNode(['--require', 'tsx/cjs', '--test', '--test-reporter=dot', ...files], { env });
}
