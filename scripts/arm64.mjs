/**
 * `npm run arm64`: builds the linux-arm64 binaries on linux-x64, into build/arm64/prebuilds, and runs them under emulation.
 *   node scripts/arm64.mjs [--no-tests]
 * The compiler is Debian's cross compiler; the libtorch, 2.14.1, is the one that Debian's sid has for arm64. apt downloads it
 * from the mirror that this computer uses, with another suite and architecture, into the cache folder; nothing is installed.
 * Tested by qemu's user emulation: the native tests, then the package with an arm64 Node (test/arm64/).
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  compileJobs,
  filesBelow,
  main,
  minorOf,
  output,
  require,
  root,
  run,
  runNode,
  runQuietly,
  Stop,
  step,
} from './steps.mjs';

const TRIPLET = 'aarch64-linux-gnu';
const TOOLS = {
  [`${TRIPLET}-g++`]: 'g++-aarch64-linux-gnu',
  'qemu-aarch64-static': 'qemu-user-static',
  cmake: 'cmake',
  ninja: 'ninja-build',
  'apt-get': 'apt',
  'dpkg-deb': 'dpkg',
};
const GOOGLETEST = '/usr/src/googletest';
/** Native tests that would take hours under emulation, and those that start a process, which it does not let them. */
const LEFT_OUT = ['*Fuzz*', '*Teach*', '*DeathTest*'];

const work = join(root, 'build/arm64');
const prebuilds = join(work, 'prebuilds/linux-arm64');

await main(async () => {
  const { values } = parseArgs({ options: { tests: { type: 'boolean', default: true } }, allowNegative: true });
  const missing = Object.entries(TOOLS).filter(([tool]) => output('which', [tool]) === null);
  if (values.tests && !existsSync(GOOGLETEST)) missing.push([GOOGLETEST, 'libgtest-dev']);
  if (missing.length > 0) {
    const packages = missing.map(([, name]) => name).join(' ');
    throw new Stop(`There is no ${missing.map(([tool]) => tool).join(', ')}. Debian: apt-get install ${packages}`);
  }
  const system = await unpackedSystem();
  await step('Binaries for linux-arm64', () => build(system, values.tests));
  if (!values.tests) return;
  await step('Native tests under emulation', () => nativeTests(system));
  await step('The package on an emulated arm64', () => {
    const env = { ...process.env, CLIPN_ARM64_SYSTEM: system };
    runNode(['--require', 'tsx/cjs', '--test', ...filesBelow('test/arm64', ['.test.ts'])], { env });
  });
});

/** Folder with sid's arm64 libraries, headers of libtorch among them. */
async function unpackedSystem() {
  const { cacheDir } = require('./dist/base/cache-dir.js');
  const { LIBTORCH_VERSIONS } = require('./dist/libtorch/release.js');
  const version = LIBTORCH_VERSIONS.at(-1);
  const folder = join(cacheDir(process.env), 'arm64', version);
  if (existsSync(join(folder, 'complete'))) return folder;
  await step(`libtorch ${version} of Debian's sid for arm64 (150 MB to download, 800 MB on disk)`, () => {
    rmSync(folder, { recursive: true, force: true });
    const apt = aptFor(join(folder, 'apt'));
    apt('apt-get', ['update']);
    apt('apt-get', ['install', '--yes', '--download-only', `libtorch${minorOf(version)}`]);
    apt('apt-get', ['download', 'libtorch-dev'], join(folder, 'apt/cache/archives'));
    for (const each of readdirSync(join(folder, 'apt/cache/archives')).filter((name) => name.endsWith('.deb'))) {
      runQuietly('dpkg-deb', ['--extract', join(folder, 'apt/cache/archives', each), folder]);
    }
    rmSync(join(folder, 'apt'), { recursive: true });
    arrange(folder);
    writeFileSync(join(folder, 'complete'), '');
  });
  return folder;
}

/** apt with lists, cache and status of its own: sid and arm64 for it alone. */
function aptFor(folder) {
  const mirrors = output('apt-get', ['indextargets', '--format', '$(ORIGIN) $(REPO_URI)', 'Created-By: Packages']);
  const mirror = /^Debian (\S+\/debian\/)$/m.exec(mirrors ?? '')?.[1];
  if (mirror === undefined) throw new Stop('apt on this computer has no mirror of Debian.');
  for (const each of ['state/lists/partial', 'cache/archives/partial', 'etc/none']) {
    mkdirSync(join(folder, each), { recursive: true });
  }
  writeFileSync(join(folder, 'state/status'), '');
  const keys = '/usr/share/keyrings/debian-archive-keyring.gpg';
  writeFileSync(join(folder, 'etc/sources.list'), `deb [arch=arm64 signed-by=${keys}] ${mirror} sid main\n`);
  const settings = {
    'APT::Architecture': 'arm64',
    'APT::Architectures': 'arm64',
    'APT::Install-Recommends': 'false',
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    'Debug::NoLocking': 'true',
    'Dir::State': join(folder, 'state'),
    'Dir::State::status': join(folder, 'state/status'),
    'Dir::Cache': join(folder, 'cache'),
    'Dir::Etc::sourcelist': join(folder, 'etc/sources.list'),
    'Dir::Etc::sourceparts': join(folder, 'etc/none'),
    'Dir::Etc::preferencesparts': join(folder, 'etc/none'),
  };
  const config = join(folder, 'apt.conf');
  writeFileSync(
    config,
    `${Object.entries(settings)
      .map(([name, value]) => `${name} "${value}";`)
      .join('\n')}\n`,
  );
  return (command, args, cwd = root) => runQuietly(command, args, { cwd, env: { ...process.env, APT_CONFIG: config } });
}

/** What dpkg's scripts would have done, and libtorch as it is laid out elsewhere. */
function arrange(folder) {
  const libraries = join(folder, 'usr/lib', TRIPLET);
  if (!existsSync(join(folder, 'lib'))) symlinkSync('usr/lib', join(folder, 'lib'));
  for (const each of ['blas/libblas.so.3', 'lapack/liblapack.so.3']) {
    symlinkSync(each, join(libraries, each.split('/')[1]));
  }
  mkdirSync(join(folder, 'torch'));
  symlinkSync('../usr/include', join(folder, 'torch/include'));
  symlinkSync(`../usr/lib/${TRIPLET}`, join(folder, 'torch/lib'));
}

/**
 * Debian's libtorch carries its version in its name, libtorch_cpu.so.2.14; PyTorch's own wheels do not, and a core that asks
 * for the former would not find it there. What it asks for is a string that may be cut short.
 */
function askForPlainNames(core) {
  const bytes = readFileSync(core);
  for (const name of ['libtorch_cpu.so', 'libc10.so', 'libtorch.so']) {
    for (let at = bytes.indexOf(`${name}.`); at >= 0; at = bytes.indexOf(`${name}.`, at + 1)) {
      bytes.fill(0, at + name.length, bytes.indexOf(0, at));
    }
  }
  writeFileSync(core, bytes);
  const asked = output(`${TRIPLET}-readelf`, ['--dynamic', core]) ?? '';
  if (!/\[libtorch_cpu\.so\]/.test(asked)) throw new Stop(`${core} does not ask for libtorch_cpu.so:\n${asked}`);
}

function build(system, tests) {
  const options = {
    CMAKE_BUILD_TYPE: 'Release',
    CMAKE_SYSTEM_NAME: 'Linux',
    CMAKE_SYSTEM_PROCESSOR: 'aarch64',
    CMAKE_C_COMPILER: `${TRIPLET}-gcc`,
    CMAKE_CXX_COMPILER: `${TRIPLET}-g++`,
    // libtorch's own needs are newer than this compiler's system; they are met where it runs.
    CMAKE_SHARED_LINKER_FLAGS: '-Wl,--allow-shlib-undefined',
    CMAKE_EXE_LINKER_FLAGS: '-Wl,--allow-shlib-undefined',
    CMAKE_JS_INC: join(root, 'node_modules/node-api-headers/include'),
    CLIPN_TORCH: join(system, 'torch'),
    CLIPN_TESTS: tests ? 'ON' : 'OFF',
    CLIPN_GOOGLETEST: GOOGLETEST,
  };
  const defines = Object.entries(options).map(([name, value]) => `-D${name}=${value}`);
  runQuietly('cmake', ['-S', root, '-B', work, '-G', 'Ninja', ...defines]);
  run('ninja', ['-C', work, '-j', String(compileJobs())]);

  rmSync(prebuilds, { recursive: true, force: true });
  mkdirSync(prebuilds, { recursive: true });
  cpSync(join(work, 'clipn_native.node'), join(prebuilds, 'clipn-native.glibc.node'));
  for (const name of readdirSync(work).filter((each) => /^libclipn_core-[\d.]+-cpu\.so$/.test(each))) {
    cpSync(join(work, name), join(prebuilds, name));
    askForPlainNames(join(prebuilds, name));
  }
  for (const name of readdirSync(prebuilds))
    runQuietly(`${TRIPLET}-strip`, ['--strip-unneeded', join(prebuilds, name)]);
}

function nativeTests(system) {
  const env = { ...process.env, QEMU_LD_PREFIX: system, LD_LIBRARY_PATH: '' };
  const filter = `--gtest_filter=-${LEFT_OUT.join(':')}`;
  const libraries = `LD_LIBRARY_PATH=${join(system, 'usr/lib', TRIPLET)}`;
  run('qemu-aarch64-static', ['-E', libraries, join(work, 'Release/clipn_core_test'), '--gtest_brief=1', filter], {
    env,
  });
}
