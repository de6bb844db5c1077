/** Everything a fresh clone needs to run: packages, the library, libtorch, the native build. Does only what is missing. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  filesBelow,
  isStale,
  main,
  minorOf,
  nativeSources,
  output,
  require,
  root,
  run,
  runNode,
  Stop,
  step,
} from './steps.mjs';

/** Tool → how it is named by each system's package manager. */
const TOOLS = {
  compiler: { debian: 'g++', fedora: 'gcc-c++', mac: 'xcode-select --install' },
  cmake: { debian: 'cmake', fedora: 'cmake', mac: 'brew install cmake' },
  make: { debian: 'make', fedora: 'make', mac: 'xcode-select --install' },
};

function checkNode() {
  const wanted = /\d+\.\d+/.exec(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node)[0];
  if (compareVersions(process.versions.node, wanted) < 0) {
    throw new Stop(`Node ${wanted} or newer is needed; this is ${process.versions.node}. See https://nodejs.org.`);
  }
}

/** Only when something is to be compiled. The versions are the first with the C++20 that the sources use. */
function checkTools() {
  const missing = [];
  const compiler = process.env.CXX ?? ['c++', 'g++', 'clang++'].find((name) => output(name, ['--version']) !== null);
  const banner = compiler === undefined ? null : output(compiler, ['--version']);
  if (banner === null) missing.push(['compiler', 'a C++20 compiler (g++ 11 or clang++ 14)']);
  else {
    const version = /(\d+\.\d+)\.\d+/.exec(banner.split('\n')[0])?.[1];
    const least = banner.includes('clang') ? '14.0' : '11.0';
    if (version !== undefined && compareVersions(version, least) < 0) {
      missing.push(['compiler', `a C++20 compiler: ${compiler} is ${version}, ${least} is needed`]);
    }
  }
  const cmake = /\d+\.\d+/.exec(output('cmake', ['--version']) ?? '')?.[0];
  if (cmake === undefined) missing.push(['cmake', 'CMake 3.22']);
  else if (compareVersions(cmake, '3.22') < 0) missing.push(['cmake', `CMake 3.22; this is ${cmake}`]);
  if (output('ninja', ['--version']) === null && output('make', ['--version']) === null)
    missing.push(['make', 'make or ninja']);
  if (missing.length === 0) return;

  const tools = missing.map(([tool]) => TOOLS[tool]);
  throw new Stop(
    [
      `Missing: ${missing.map(([, what]) => what).join('; ')}.`,
      `  Debian, Ubuntu: apt-get install ${tools.map((tool) => tool.debian).join(' ')}`,
      `  Fedora:         dnf install ${tools.map((tool) => tool.fedora).join(' ')}`,
      `  macOS:          ${[...new Set(tools.map((tool) => tool.mac))].join(' && ')}`,
    ].join('\n'),
  );
}

function compareVersions(a, b) {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** npm writes its own lock file into node_modules; a checkout may give both the same second. */
function packagesAreStale() {
  const installed = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(installed)) return true;
  return statSync(join(root, 'package-lock.json')).mtimeMs > statSync(installed).mtimeMs + 5000;
}

const librarySources = () => [
  'package.json',
  'tsconfig.json',
  'scripts/write-esm-wrapper.mjs',
  ...filesBelow('lib', ['.ts', '.json', '.js', '.css']),
];

/** The libtorch to compile against: any that CLIPN_LIBTORCH names, else one of the minor that `fetch` brings. */
async function ensureLibtorch() {
  const { findLibtorch } = require('./dist/libtorch/find.js');
  const { fetchLibtorch } = require('./dist/libtorch/fetch.js');
  const { LIBTORCH_VERSION } = require('./dist/libtorch/release.js');
  const minor = minorOf(LIBTORCH_VERSION);
  const find = () => findLibtorch({ supported: process.env.CLIPN_LIBTORCH ? 'any' : [minor], headers: true });
  try {
    const found = find();
    // The core's tests are programs, which link against a CUDA build only with all of its nvidia libraries at hand.
    if (found.flavour === 'cpu' || process.env.CLIPN_LIBTORCH) return found;
  } catch (error) {
    const absent = ['ERR_CLIPN_LIBTORCH_NOT_FOUND', 'ERR_CLIPN_LIBTORCH_VERSION'].includes(error.code);
    if (!absent || process.env.CLIPN_LIBTORCH) throw error;
  }
  await step(`libtorch ${LIBTORCH_VERSION} for the CPU (190 MB to download, 510 MB on disk)`, async () => {
    let said = '';
    const stop = new AbortController();
    const abort = () => stop.abort(new Stop('Stopped; run it again, and a download goes on where it ended.'));
    process.once('SIGINT', abort);
    const { dir } = await fetchLibtorch({
      variant: 'cpu',
      signal: stop.signal,
      onProgress: ({ message, done, total }) => {
        const line = total ? `${message} ${Math.floor((done / total) * 4) * 25} %` : message;
        if (line !== said) console.log(`  ${line}`);
        said = line;
      },
    });
    process.removeListener('SIGINT', abort);
    return dir;
  });
  return find();
}

function nativeIsStale(libtorch) {
  const record = join(root, 'build/Release/.built-for');
  return (
    !existsSync(record) ||
    readFileSync(record, 'utf8') !== libtorch.dir ||
    isStale('build/Release/.built-for', nativeSources())
  );
}

await main(async () => {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  checkNode();
  const start = performance.now();
  let done = 0;
  const todo = async (name, work) => {
    done++;
    await step(name, work);
  };
  if (packagesAreStale()) {
    await todo('npm packages', () => run(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error']));
  }
  if (isStale('dist/index.mjs', librarySources())) {
    await todo('library (TypeScript)', () => run(npm, ['run', '--silent', 'build:lib']));
  }
  // Its types are those of dist/.
  if (isStale('serve/dist/main.js', ['dist/index.mjs', 'serve/tsconfig.json', ...filesBelow('serve/src', [''])])) {
    await todo('server (TypeScript)', () => run(npm, ['run', '--silent', 'build:serve']));
  }
  const libtorch = await ensureLibtorch();
  if (nativeIsStale(libtorch)) {
    checkTools();
    await todo('native build (C++; minutes when fresh)', () =>
      runNode(['scripts/build-native.mjs', '--libtorch', libtorch.dir]),
    );
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(done === 0 ? `Set-up: all up to date (${seconds} s)` : `Set-up: ready after ${seconds} s`);
});
