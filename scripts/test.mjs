/**
 * `npm test`: set-up, linters, the core's own tests, the TypeScript tests, the packed packages, and the comparison with PyTorch.
 *   node scripts/test.mjs [--only lint|native|cuda|sanitize|node|package|python]…
 * What cannot run here is named; when CI=true it is a failure.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  filesBelow,
  inCi,
  isStale,
  main,
  nativeSources,
  output,
  require,
  root,
  run,
  runAside,
  runNode,
  runQuietly,
  Stop,
  step,
} from './steps.mjs';

const PARTS = ['lint', 'native', 'cuda', 'sanitize', 'node', 'package', 'python'];
const LIBTORCH_VERSION = () => require('./dist/libtorch/release.js').LIBTORCH_VERSION;

/** What each runner counted itself. */
const counts = [];

function missing(message) {
  if (inCi) throw new Stop(message);
  console.log(`SKIPPED: ${message}`);
}

/** Runs to the end whether or not tests fail, so that the other runners have their say too. */
function runTests(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error) throw new Stop(`${command} cannot be started: ${error.message}`);
  return status;
}

/** A number in a runner's report; its absence means that the runner broke off. */
function numberIn(file, pattern) {
  const found = existsSync(join(root, file)) ? pattern.exec(readFileSync(join(root, file), 'utf8')) : null;
  if (found === null) throw new Stop(`${file} holds no test results: the runner broke off`);
  return Number(found[1]);
}

/** The core's own tests, which set-up leaves out, and the stand-ins for CUDA that the TypeScript tests use. */
async function buildTests() {
  if (!isStale('build/Release/.tests-built-for', [...nativeSources(), 'build/Release/.built-for'])) return;
  await step('build of the native tests (minutes when fresh)', () => runNode(['scripts/build-native.mjs', '--tests']));
}

const NO_GTEST = 'the native tests are not built, for GoogleTest is missing (Debian: apt-get install libgtest-dev)';

/** Runs one part of the tests a core, at the same time; prints what each said when it has ended. */
async function nativeTests(runner = 'native', folder = 'build') {
  const program = join(root, folder, 'Release/clipn_core_test');
  if (!existsSync(program)) {
    missing(NO_GTEST);
    return;
  }
  const shards = availableParallelism();
  const parts = await Promise.all(
    Array.from({ length: shards }, async (_, shard) => {
      const report = `${folder}/native-tests-${shard}.xml`;
      const args = ['--gtest_brief=1', `--gtest_output=xml:${join(root, report)}`];
      const env = { ...process.env, GTEST_TOTAL_SHARDS: shards, GTEST_SHARD_INDEX: shard };
      const { status, said } = await runAside(program, args, { env });
      process.stdout.write(said);
      const count = (name) => numberIn(report, new RegExp(`<testsuites[^>]*\\b${name}="(\\d+)"`));
      const [failed, skipped] = [count('failures'), count('disabled') + skippedIn(report)];
      return { passed: count('tests') - failed - skipped, failed, skipped, status };
    }),
  );
  const sum = (key) => parts.reduce((total, part) => total + part[key], 0);
  const status = parts.find((part) => part.status !== 0)?.status ?? 0;
  counts.push({ runner, passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped'), status });
}

/** The native tests again under AddressSanitizer with UBSan, and those of the lanes under ThreadSanitizer. */
async function sanitizedTests() {
  if (!existsSync(join(root, 'build/Release/clipn_core_test'))) {
    missing(NO_GTEST);
    return;
  }
  for (const sanitizer of ['address', 'thread']) {
    const folder = `build/sanitize-${sanitizer}`;
    if (isStale(`${folder}/Release/.built-for`, nativeSources())) {
      runNode(['scripts/build-native.mjs', '--sanitize', sanitizer]);
    }
    await nativeTests(`native under the ${sanitizer} sanitiser`, folder);
  }
}

/** GoogleTest marks a skipped test but does not count it. */
const skippedIn = (file) => readFileSync(join(root, file), 'utf8').split('<skipped').length - 1;

function nodeTests(runner, files) {
  if (files.length === 0) throw new Stop(`${runner}: no tests were found`);
  mkdirSync(join(root, 'build'), { recursive: true });
  const report = `build/${runner}-tests.tap`;
  const reporters = ['spec:stdout', `tap:${report}`].flatMap((pair) => {
    const [reporter, destination] = pair.split(':');
    return [`--test-reporter=${reporter}`, `--test-reporter-destination=${destination}`];
  });
  // Node's own choice, one less than there are cores, leaves a core of two idle; many tests wait for processes.
  const parallel = `--test-concurrency=${availableParallelism() + 1}`;
  const status = runTests(process.execPath, ['--import', 'tsx', ...reporters, '--test', parallel, ...files]);
  const count = (name) => numberIn(report, new RegExp(`^# ${name} (\\d+)$`, 'm'));
  const failed = count('fail') + count('cancelled');
  counts.push({ runner, passed: count('pass'), failed, skipped: count('skipped') + count('todo'), status });
}

/** A Python that has what the reference needs: a named or active one, else one made under build/. */
function referencePython() {
  const modules = 'import ftfy, importlib.util, numpy, PIL, regex, sklearn, torch';
  const right = `torch.__version__.split('+')[0] == '${LIBTORCH_VERSION()}' and importlib.util.find_spec('open_clip')`;
  const probe = `${modules}; assert ${right}`;
  const inEnvironment = (folder) => folder && join(folder, 'bin/python');
  const own = 'build/reference-venv';
  const requirements = 'test/reference/requirements.txt';
  const withoutDependencies = 'test/reference/requirements-no-deps.txt';
  const stale = isStale(`${own}/.complete`, [requirements, withoutDependencies]);
  const candidates = [
    process.env.CLIPN_PYTHON,
    inEnvironment(process.env.VIRTUAL_ENV),
    'python3',
    !stale && join(root, own, 'bin/python'),
  ];
  const ready = candidates.find((python) => python && output(python, ['-c', probe]) !== null);
  if (ready) return ready;
  if (output('python3', ['-c', 'import venv, ensurepip']) === null) return null;
  const python = join(root, own, 'bin/python');
  run('python3', ['-m', 'venv', '--clear', own]);
  const retries = process.env.PIP_RETRIES === undefined ? ['--retries', '2'] : [];
  const index = ['--extra-index-url', 'https://download.pytorch.org/whl/cpu'];
  // Without bytecode of modules that nothing imports: half of the time. pip warns of every retry.
  const install = ['-m', 'pip', 'install', '-qq', '--no-compile', '--disable-pip-version-check', ...retries];
  runQuietly(python, [...install, ...index, '-r', requirements]);
  runQuietly(python, [...install, '--no-deps', '-r', withoutDependencies]);
  run('touch', [`${own}/.complete`]);
  return python;
}

/** The ViT-B/16 in the published layout that the TypeScript tests write too. */
function seededCheckpoint() {
  const program =
    "require('./test/support/checkpoint-writer').cachedCheckpoint('ViT-B-16', { optimizer: true }).then(console.log)";
  const path = output(process.execPath, ['--import', 'tsx', '-e', program]);
  if (path === null) throw new Stop('the seeded checkpoint cannot be written');
  return path.trim();
}

function pythonReference() {
  const python = referencePython();
  if (python === null) {
    missing('the comparison with PyTorch, for there is no Python 3 with venv (Debian: apt-get install python3-venv)');
    return;
  }
  const { status, stdout, error } = spawnSync(python, ['test/reference/check.py', seededCheckpoint()], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (error) throw new Stop(`${python} cannot be started: ${error.message}`);
  process.stdout.write(stdout);
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(stdout) ?? [];
  if (passed === undefined) throw new Stop('the comparison with PyTorch broke off');
  counts.push({ runner: 'PyTorch reference', passed: Number(passed), failed: Number(failed), skipped: 0, status });
}

await main(async () => {
  const { values } = parseArgs({ options: { only: { type: 'string', multiple: true, default: PARTS } } });
  const unknown = values.only.find((part) => !PARTS.includes(part));
  if (unknown !== undefined) throw new Stop(`--only takes ${PARTS.join(', ')}; not '${unknown}'`);
  const wanted = (part) => values.only.includes(part);

  runNode(['scripts/setup.mjs']);
  if (wanted('lint')) runNode(['scripts/lint.mjs']);
  if (['native', 'sanitize', 'node'].some(wanted)) await buildTests();
  if (wanted('native')) await step('native tests', () => nativeTests());
  if (wanted('cuda')) await step('CUDA kernels, compiled', () => runNode(['scripts/check-cuda.mjs']));
  if (wanted('sanitize')) await step('native tests under sanitisers (minutes when fresh)', sanitizedTests);
  const files = filesBelow('test', ['.test.ts']);
  const ofPackage = filesBelow('test/package', ['.test.ts']);
  const others = files.filter((file) => !ofPackage.includes(file));
  if (wanted('node')) await step('TypeScript tests', () => nodeTests('node', others));
  if (wanted('package')) await step('packed packages', () => nodeTests('package', ofPackage));
  if (wanted('python')) await step('comparison with PyTorch', pythonReference);
  if (counts.length === 0) return;

  console.log();
  for (const { runner, passed, failed, skipped } of counts) {
    console.log(`${runner}: ${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  }
  const sum = (key) => counts.reduce((total, count) => total + count[key], 0);
  const broken = counts.filter(({ status, failed }) => status !== 0 && failed === 0);
  if (broken.length > 0)
    throw new Stop(`${broken.map(({ runner }) => runner).join(', ')}: all tests passed, but the runner failed`);
  if (sum('failed') > 0) process.exitCode = 1;
  console.log(
    `${sum('passed')} passed, ${sum('failed')} failed${sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : ''}`,
  );
});
