import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { diagnose } from '../../lib/doctor/diagnose';
import { formatDiagnosis } from '../../lib/doctor/format';
import type { Machine } from '../../lib/libtorch/machine';
import { fakeMachine, wheelTree, writeTree } from '../support/fake-libtorch';
import { repository } from '../support/paths';

let root: string;
let machine: Machine;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'clipn-doctor-'));
  machine = fakeMachine(root);
  writeTree(machine.packageRoot, { 'build/Release/clipn_native.node': '' });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Diagnoses the fake machine with a libtorch in its cache and this script as the probe. */
async function withProbe(script: string, timeout = 30_000) {
  writeTree(join(root, 'cache/libtorch/2.13.0+cpu'), wheelTree());
  writeTree(root, { 'probe.cjs': script });
  return await diagnose({ probe: { file: join(root, 'probe.cjs'), timeout } }, machine);
}

const WORKING = `process.send({ ok: true, core: { torchVersion: '2.13.0', cpuTarget: 'avx2', cpuCapability: 'AVX2', cpuBf16: false, cpuInt8: false } })`;

describe('doctor', () => {
  it('says how many names the small model knows, and which model knows more', async () => {
    const d = await withProbe(WORKING);
    // models/small/vocabulary.json, which its recipe wrote
    const names: string[] = JSON.parse(readFileSync(join(repository, 'models/small/vocabulary.json'), 'utf8'));
    assert.match(formatDiagnosis(d), new RegExp(`model +\\S+: knows ${names.length} names, others are guesses`));
    assert.match(d.next, /All is ready.*fetch model laion\//);
  });

  it('reports the machine, the package and the process it runs in', async () => {
    const d = await diagnose({}, machine);
    assert.deepEqual(
      [d.package, d.platform, d.arch, d.libc, d.node, d.electron],
      ['1.2.3', 'linux', 'x64', 'glibc 2.36', process.versions.node, null],
    );
    assert.equal(d.cacheDir, join(root, 'cache'));
    assert.equal(d.glue, join(machine.packageRoot, 'build/Release/clipn_native.node'));
    assert.deepEqual(
      d.cores.map((core) => core.minor),
      ['2.13'],
    );
  });

  it('reports the version of sharp that package.json asks for', async () => {
    const { dependencies } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
    const { sharp } = await diagnose({}, machine);
    assert.ok('sharp' in sharp, JSON.stringify(sharp));
    assert.equal(sharp.sharp, dependencies.sharp);
  });

  it('lists the models that were fetched, with the command that mends one', async () => {
    const model = { name: 'a/b', revision: 'main', commit: 'c0ffee'.padEnd(40, '0'), license: 'mit', dtype: 'fp16' };
    const other = { ...model, revision: 'v2', file: 'gone.pt', bytes: 3e6 };
    writeTree(join(root, 'cache/models'), {
      'a--b@main.json': JSON.stringify({ ...model, file: 'here.pt', bytes: 4 }),
      'a--b@v2.json': JSON.stringify(other),
      'a--b@v3.json': '{"name":',
      'here.pt': 'four',
    });
    const d = await diagnose({}, machine);
    assert.deepEqual(
      d.models.map(({ revision, problem }) => [revision, problem]),
      [
        ['main', null],
        ['v2', 'the model file is missing'],
      ],
    );
    const text = formatDiagnosis(d);
    assert.match(text, /^fetched +a\/b \(c0ffee0000\), fp16, 0\.0 MB, licence mit$/m);
    assert.match(text, /unusable a\/b@v2: the model file is missing; `npx clipn-native fetch model a\/b@v2`/);
  });

  it('names the libtorch in use and what the core said', async () => {
    const d = await withProbe(WORKING);
    assert.ok('dir' in d.libtorch, JSON.stringify(d.libtorch));
    assert.deepEqual([d.libtorch.version, d.libtorch.source], ['2.13.0', 'cache']);
    assert.ok(d.probe.ok);
    assert.equal(d.probe.core.cpuTarget, 'avx2');
  });

  it('survives a core that kills its process, and quotes its last words', async () => {
    const d = await withProbe(
      `console.error('cannot allocate'); process.kill(process.pid, 'SIGSEGV'); setTimeout(() => {}, 9000)`,
    );
    assert.deepEqual(d.probe, {
      ok: false,
      code: 'crashed',
      message: 'the process ended with SIGSEGV: cannot allocate',
    });
    assert.match(d.next, /does not load/);
  });

  it('gives up on a core that hangs', async () => {
    const d = await withProbe('setTimeout(() => {}, 60_000)', 300);
    assert.deepEqual(d.probe, { ok: false, code: 'timeout', message: 'no answer within 0.3 s' });
  });

  it('passes on the code of an error in the core', async () => {
    const d = await withProbe(`process.send({ ok: false, code: 'ERR_CLIPN_CORE_ABI', message: 'other major' })`);
    assert.deepEqual(d.probe, { ok: false, code: 'ERR_CLIPN_CORE_ABI', message: 'other major' });
  });

  it('lists every refused libtorch with its reason, and says which command to run', async () => {
    writeTree(join(root, 'cache/libtorch/2.14.1+cpu'), wheelTree('2.14.1+cpu'));
    const d = await diagnose({}, machine);
    const text = formatDiagnosis(d);
    assert.match(text, /refused cache .*2\.14\.1\+cpu: version 2\.14\.1 has no core here \(cores: 2\.13\)/);
    assert.match(text.split('\n').at(-1)!, /fetch --variant cpu/);
    assert.deepEqual([d.probe.ok, d.probe.ok || d.probe.code], [false, 'skipped']);
  });

  it('says to build when there is no core, and to leave musl when there is no glibc', async () => {
    rmSync(join(machine.packageRoot, 'build'), { recursive: true });
    assert.match((await diagnose({}, machine)).next, /npm run build/);
    machine.glibc = null;
    assert.match((await diagnose({}, machine)).next, /glibc/);
  });

  it('is plain data: what JSON carries is all there is', async () => {
    const d = await withProbe(WORKING);
    assert.deepEqual(JSON.parse(JSON.stringify(d)), d);
  });
});
