/**
 * Compiles the addon and the core with cmake-js. Needs the built library (dist/) to find libtorch.
 *   node scripts/build-native.mjs [--debug] [--tests] [--sanitize address|thread] [--libtorch DIR [--beside]] [--parallel N]
 * --tests: the core's own tests too.
 * --beside: into build/torch-<minor>, and the core beside that of another libtorch in build/Release.
 * --sanitize: the native tests alone, into build/sanitize-address (with UBSan) or build/sanitize-thread (of the lanes).
 */
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  compileJobs,
  isStale,
  main,
  minorOf,
  nativeSources,
  require,
  root,
  runNode,
  runQuietly,
  Stop,
} from './steps.mjs';

const CORE = /^libclipn_core-[\d.]+-cpu\.(so|dylib)$/;

await main(() => {
  const { values } = parseArgs({
    options: {
      debug: { type: 'boolean', default: false },
      tests: { type: 'boolean', default: false },
      sanitize: { type: 'string' },
      libtorch: { type: 'string' },
      beside: { type: 'boolean', default: false },
      parallel: { type: 'string' },
    },
  });
  const { findLibtorch } = require('./dist/libtorch/find.js');
  const { LIBTORCH_VERSION } = require('./dist/libtorch/release.js');
  const named = values.libtorch ?? process.env.CLIPN_LIBTORCH;
  const minor = minorOf(LIBTORCH_VERSION);
  const libtorch = findLibtorch({
    ...(named && { libtorch: named }),
    supported: named ? 'any' : [minor],
    headers: true,
  });
  if (basename(libtorch.dir) !== 'lib')
    throw new Stop(`${libtorch.dir} has no include/ folder beside it: name another libtorch.`);

  const config = values.debug ? 'Debug' : 'Release';
  if (values.sanitize !== undefined && !['address', 'thread'].includes(values.sanitize))
    throw new Stop(`--sanitize takes address or thread; not '${values.sanitize}'`);
  if (values.beside && (named === undefined || values.debug || values.sanitize !== undefined))
    throw new Stop('--beside goes with --libtorch, without --debug and --sanitize');
  const folder = folderOf(values, libtorch);
  const record = join(root, folder, config, '.built-for');
  // Tests that were once built stay part of the build: CMake deletes what it no longer builds.
  const testProgram = join(dirname(record), 'clipn_core_test');
  rmSync(record, { force: true });
  const jobs = values.parallel ?? String(compileJobs());
  const cmakeJs = require.resolve('cmake-js/bin/cmake-js');
  const common = ['-B', config, '-O', folder, '-l', 'warn'];
  const defines = [
    `--CDCLIPN_TORCH=${dirname(libtorch.dir)}`,
    `--CDCLIPN_SANITIZE=${values.sanitize ?? 'OFF'}`,
    `--CDCLIPN_TESTS=${values.tests || existsSync(testProgram) ? 'ON' : 'OFF'}`,
  ];
  // Not `compile`: when that fails it deletes the build folder and starts anew, which doubles the wait for an error.
  runQuietly(process.execPath, [cmakeJs, 'configure', ...common, ...defines]);
  runNode([cmakeJs, 'build', ...common, '-p', jobs]);
  mkdirSync(dirname(record), { recursive: true });
  writeFileSync(record, libtorch.dir);
  // Without GoogleTest there are none; once it is installed they are to be built.
  if (existsSync(testProgram)) writeFileSync(join(dirname(record), '.tests-built-for'), libtorch.dir);
  if (values.beside) layBeside(join(root, folder, config));
  else if (!values.sanitize) dropStaleCores(join(folder, config), minorOf(libtorch.version));
  console.log(`Built ${join(folder, config)} for libtorch ${libtorch.version}+${libtorch.flavour}`);
});

function folderOf({ sanitize, beside }, { version }) {
  if (sanitize) return `build/sanitize-${sanitize}`;
  return beside ? `build/torch-${minorOf(version)}` : 'build';
}

function layBeside(from) {
  const target = join(root, 'build/Release');
  mkdirSync(target, { recursive: true });
  for (const name of readdirSync(from).filter((each) => CORE.test(each))) {
    rmSync(join(target, name), { force: true }); // a process that has it open keeps the old one
    copyFileSync(join(from, name), join(target, name));
  }
  // Stand-ins for CUDA that the TypeScript tests use; each is for one minor.
  const fakes = join(from, 'fake-cuda');
  if (existsSync(fakes)) cpSync(fakes, join(target, 'fake-cuda'), { recursive: true });
}

/** Cores that were laid beside this build's own, of sources that have changed since. */
function dropStaleCores(folder, minor) {
  const sources = nativeSources().filter((path) => !path.startsWith('binding'));
  for (const name of readdirSync(join(root, folder)).filter((each) => CORE.test(each))) {
    if (!name.includes(`-${minor}-`) && isStale(join(folder, name), sources)) rmSync(join(root, folder, name));
  }
}
