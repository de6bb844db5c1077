/**
 * `npm test`: set-up, then what a change should pass before it is committed; `npm run test:all` also has what takes long.
 *   node scripts/test.mjs [--all] [--only PART]… [--in ROOM]…
 * PART: lint, native, cuda, node (the TypeScript tests) or package (the packed packages), and of --all also reliability
 * (load and faults, test/reliability/), sanitize (the native tests under sanitisers) or python (the comparison with PyTorch).
 * ROOM: a folder of test/; of the TypeScript tests those in it alone.
 * What cannot run here is named; when CI=true it is a failure.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { referencePython } from './reference-python.mjs';
import {
  filesBelow,
  inCi,
  isStale,
  main,
  nativeSources,
  output,
  root,
  runAside,
  runNode,
  Stop,
  step,
} from './steps.mjs';
import { add, numberIn, tell } from './tally.mjs';

const PARTS = ['lint', 'native', 'cuda', 'node', 'package'];
const LONG_PARTS = ['reliability', 'sanitize', 'python'];

function missing(message) {
  if (inCi) throw new Stop(message);
  console.log(`SKIPPED: ${message}`);
}

/** The core's own tests, which set-up leaves out, and the stand-ins for CUDA that the TypeScript tests use. */
async function buildTests() {
  if (!isStale('build/Release/.tests-built-for', [...nativeSources(), 'build/Release/.built-for'])) return;
  await step('build of the native tests (a minute when fresh)', () => runNode(['scripts/build-native.mjs', '--tests']));
}

/**
 * Test processes share the cores: threads of libgomp that spin for work (a call of the tower is over in a millisecond) take
 * them from the others. Spinning less halves the processor time of tests that start processes.
 */
const SHARED_CORES = { GOMP_SPINCOUNT: '1000' };

const NO_GTEST = 'the native tests are not built, for GoogleTest is missing (Debian: apt-get install libgtest-dev)';

/** Runs the tests in several parts at once, more than there are cores, for a few tests take most of the time. */
async function nativeTests(runner = 'native', folder = 'build') {
  const program = join(root, folder, 'Release/clipn_core_test');
  if (!existsSync(program)) {
    missing(NO_GTEST);
    return;
  }
  const shards = 3 * availableParallelism();
  const parts = await Promise.all(
    Array.from({ length: shards }, async (_, shard) => {
      const report = `${folder}/native-tests-${shard}.xml`;
      const args = ['--gtest_brief=1', `--gtest_output=xml:${join(root, report)}`];
      const env = { ...SHARED_CORES, ...process.env, GTEST_TOTAL_SHARDS: shards, GTEST_SHARD_INDEX: shard };
      const { status, said } = await runAside(program, args, { env });
      process.stdout.write(said);
      const count = (name) => numberIn(report, new RegExp(`<testsuites[^>]*\\b${name}="(\\d+)"`));
      const [failed, skipped] = [count('failures'), count('disabled') + skippedIn(report)];
      return { passed: count('tests') - failed - skipped, failed, skipped, status };
    }),
  );
  const sum = (key) => parts.reduce((total, part) => total + part[key], 0);
  const status = parts.find((part) => part.status !== 0)?.status ?? 0;
  add({ runner, passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped'), status });
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

/** Of a file of tests, many times what the longest takes: a handle that a test leaves open would wait without end. */
const LONGEST_FILE_MS = 15 * 60_000;

/** Runs TypeScript tests with this many files at once; resolves with what they said, unless they say it as they go. */
async function nodeTests(runner, files, { atOnce, live }) {
  if (files.length === 0) throw new Stop(`${runner}: no tests were found`);
  mkdirSync(join(root, 'build'), { recursive: true });
  const report = `build/${runner}-tests.tap`;
  const reporters = ['spec:stdout', `tap:${report}`].flatMap((pair) => {
    const [reporter, destination] = pair.split(':');
    return [`--test-reporter=${reporter}`, `--test-reporter-destination=${destination}`];
  });
  // Not --import tsx: the tests are CommonJS, and its thread for ES modules costs every process half a second.
  const bounds = [`--test-concurrency=${atOnce}`, `--test-timeout=${LONGEST_FILE_MS}`];
  const args = ['--require', 'tsx/cjs', ...reporters, '--test', ...bounds, ...files];
  const { status, said } = await runAside(process.execPath, args, { live, env: { ...SHARED_CORES, ...process.env } });
  const count = (name) => numberIn(report, new RegExp(`^# ${name} (\\d+)$`, 'm'));
  const failed = count('fail') + count('cancelled');
  add({ runner, passed: count('pass'), failed, skipped: count('skipped') + count('todo'), status });
  return said;
}

/** Those of a part or of the rooms named; load and faults are a part of their own. */
function roomFiles(wanted, rooms) {
  if (rooms.length > 0) return rooms.flatMap((room) => filesBelow(`test/${room}`, ['.test.ts']));
  const long = filesBelow('test/reliability', ['.test.ts']);
  const ofPackage = filesBelow('test/package', ['.test.ts']);
  const short = filesBelow('test', ['.test.ts']).filter((file) => !long.includes(file) && !ofPackage.includes(file));
  return [...(wanted('reliability') ? long : []), ...(wanted('node') ? short : [])];
}

/** Those of the rooms and, beside them, those of the packed packages, which mostly wait for one process after another. */
async function typescriptTests(wanted, rooms) {
  const ofPackage = filesBelow('test/package', ['.test.ts']);
  const others = roomFiles(wanted, rooms);
  const cores = availableParallelism();
  // Many tests wait for processes: one file more than there are cores keeps all of them at work.
  const atOnce = wanted('package') ? cores : cores + 1;
  const [, ofPackageSaid = ''] = await Promise.all([
    others.length > 0 && nodeTests('node', others, { atOnce, live: true }),
    wanted('package') ? nodeTests('package', ofPackage, { atOnce: 1, live: others.length === 0 }) : '',
  ]);
  process.stdout.write(ofPackageSaid);
}

/** The ViT-B/16 in the published layout that the TypeScript tests write too. */
function seededCheckpoint() {
  const program =
    "require('./test/support/checkpoint-writer').cachedCheckpoint('ViT-B-16', { optimizer: true }).then(console.log)";
  const path = output(process.execPath, ['--import', 'tsx', '-e', program]);
  if (path === null) throw new Stop('the seeded checkpoint cannot be written');
  return path.trim();
}

async function pythonReference(whenReady) {
  const python = await whenReady;
  if (python === null) {
    missing('the comparison with PyTorch, for there is no Python 3 with venv (Debian: apt-get install python3-venv)');
    return;
  }
  const args = ['-u', 'test/reference/check.py', seededCheckpoint()];
  const { status, said } = await runAside(python, args, { onWords: (words) => process.stdout.write(words) });
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(said) ?? [];
  if (passed === undefined) throw new Stop('the comparison with PyTorch broke off');
  add({ runner: 'PyTorch reference', passed: Number(passed), failed: Number(failed), status });
}

function readFlags() {
  const text = { type: 'string', multiple: true };
  const options = { all: { type: 'boolean', default: false }, only: text, in: text };
  const { all, only = [], in: rooms = [] } = parseArgs({ options }).values;
  const refuse = (flag, names, asked) => {
    const unknown = asked.find((name) => !names.includes(name));
    if (unknown !== undefined) throw new Stop(`${flag} takes ${names.join(', ')}; not '${unknown}'`);
  };
  refuse('--only', [...PARTS, ...LONG_PARTS], only);
  const folders = readdirSync(join(root, 'test'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const withTests = folders
    .map(({ name }) => name)
    .filter((name) => filesBelow(`test/${name}`, ['.test.ts']).length > 0);
  refuse('--in', withTests, rooms);
  if (rooms.length > 0 && only.join() !== 'node') throw new Stop('--in goes with --only node alone');
  return { parts: only.length > 0 ? only : [...PARTS, ...(all ? LONG_PARTS : [])], rooms };
}

await main(async () => {
  const { parts, rooms } = readFlags();
  const wanted = (part) => parts.includes(part);
  runNode(['scripts/setup.mjs']);
  if (wanted('lint')) runNode(['scripts/lint.mjs']);
  // Installed while other parts run, for it waits for a network.
  const python = wanted('python') ? referencePython() : null;
  python?.catch(() => {}); // told where it is waited for
  if (['native', 'sanitize', 'node', 'reliability'].some(wanted)) await buildTests();
  if (wanted('native')) await step('native tests', () => nativeTests());
  if (wanted('cuda')) await step('CUDA kernels, compiled', () => runNode(['scripts/check-cuda.mjs']));
  if (wanted('sanitize')) await step('native tests under sanitisers (minutes when fresh)', sanitizedTests);
  if (['node', 'package', 'reliability'].some(wanted))
    await step('TypeScript tests', () => typescriptTests(wanted, rooms));
  if (wanted('python')) await step('comparison with PyTorch', () => pythonReference(python));
  tell();
  const left = PARTS.concat(LONG_PARTS).filter((part) => !wanted(part));
  if (left.length > 0) console.log(`Not run: ${left.join(', ')} (all: npm run test:all)`);
});
