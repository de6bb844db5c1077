import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import {
  exportModel,
  fetchLibtorch,
  fetchModel,
  loadLabelBank,
  loadModel,
  type Model,
  readCalibration,
  teach,
} from '../lib';
import { ClipnError, type ClipnErrorCode, ERROR_HINTS } from '../lib/base/errors';
import { conformalThreshold } from '../lib/decide/conformal';
import { parseDriftState } from '../lib/decide/drift-state';
import { FeatureStore } from '../lib/features/store';
import { readImageFolder } from '../lib/images/folder';
import { matchClasses } from '../lib/labels/class-names';
import { readWordNet } from '../lib/labels/wordnet';
import { resolveLibtorch } from '../lib/libtorch/find';
import { oodMetrics } from '../lib/metrics/metrics';
import { runTask, withLane } from '../lib/native/lane';
import { apiModel } from './support/api-model';
import { builtLibrary } from './support/built';
import { type FakeCuda, skipFakeCuda, withFakeCuda } from './support/fake-cuda';
import { elf, fakeMachine, wheelTree, writeTree } from './support/fake-libtorch';
import { clipRepository } from './support/hub-clip';
import { type Repository, serveHub } from './support/hub-server';
import { repository } from './support/paths';
import { smallestTeaching } from './support/teaching';
import { smallestFiles } from './support/tiny-model';
import { pickle } from './support/torch-zip';
import { closeServers } from './support/wheel-server';
import { zip } from './support/zip';

const read = (file: string) => readFileSync(path.join(repository, file), 'utf8');
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-errors-'));
const at = (name: string): string => path.join(folder, name);
const text = at('text');
let model: Model;
let closed: Model;
let imageOnly: Model;

before(async () => {
  writeFileSync(text, 'only a text');
  model = await loadModel(await apiModel());
  imageOnly = await loadModel(await apiModel('image'));
  closed = await loadModel(await apiModel('image'));
  await closed.close();
});
after(async () => {
  closeServers();
  await Promise.all([model.close(), imageOnly.close()]);
  rmSync(folder, { recursive: true });
});

/** A torch archive that holds this value. */
function checkpoint(name: string, value: Buffer): string {
  writeFileSync(at(name), zip({ 'top/data.pkl': pickle.file(value) }));
  return at(name);
}
const exported = (source: string) => exportModel(source, at('out.model'));

/** Resolves libtorch on a machine with what `tree` puts into its cache, and a core for 2.13 unless `core` is false. */
function onMachine(name: string, { tree = {}, core = true, glibc = '2.36' as string | null } = {}) {
  const machine = { ...fakeMachine(at(name)), glibc };
  writeTree(path.join(at(name), 'cache/libtorch/2.13.0+cpu'), tree);
  if (!core) rmSync(path.join(machine.packageRoot, 'build'), { recursive: true });
  return async () => resolveLibtorch({}, machine);
}

/** Opens the engine of a copy of this package, in a process of its own, with these libraries in build/Release. */
function inPackage(name: string, libraries: (real: string, release: string) => void) {
  return async () => {
    const release = path.join(at(name), 'build/Release');
    mkdirSync(release, { recursive: true });
    cpSync(builtLibrary(), path.join(at(name), 'dist'), { recursive: true });
    symlinkSync(path.join(repository, 'node_modules'), path.join(at(name), 'node_modules'));
    writeFileSync(path.join(at(name), 'package.json'), '{ "name": "clipn-native" }');
    libraries(path.join(repository, 'build/Release'), release);
    const script = `require(${JSON.stringify(path.join(at(name), 'dist'))}).describeCore()
      .catch(({ name, code, message, hint }) => console.log(JSON.stringify({ name, code, message, hint })))`;
    const said = await new Promise<string>((resolve, reject) => {
      execFile(process.execPath, ['-e', script], { cwd: repository }, (error, out) =>
        error ? reject(error) : resolve(out),
      );
    });
    const { name: kind, code, message, hint } = JSON.parse(said);
    assert.equal(kind, 'ClipnError');
    throw new ClipnError(code, message, { hint });
  };
}
/** Encodes an image on a CUDA that only seems to be there, in a process of its own. */
function onFakeCuda(name: string, fake: FakeCuda) {
  return async () => {
    const script = `const model = await lib.loadModel(${JSON.stringify(await apiModel())}, { device: 'cuda' });
      await model.encodeImages([{ data: new Uint8Array(3), width: 1, height: 1, channels: 3 }]);`;
    const { error } = (await withFakeCuda(at(name), fake, script)) as { error: ClipnError };
    throw new ClipnError(error.code, error.message, { hint: error.hint });
  };
}

/** Fetches a model of a hub with these repositories. */
async function onHub(repositories: Record<string, Repository>) {
  const { endpoint } = await serveHub(repositories);
  return await fetchModel('a/b', {}, { CLIPN_CACHE_DIR: at('hub'), HF_HOME: at('hub'), HF_ENDPOINT: endpoint });
}
/** File name of the core that this process would open. */
const core = () => path.basename(resolveLibtorch().core);
const glue = 'clipn_native.node';

/** The shortest way to each code. One that nothing here can raise has no place in lib/base/errors.ts. */
const PROVOCATIONS: Record<ClipnErrorCode, () => Promise<unknown>> = {
  ERR_CLIPN_PLATFORM: onMachine('musl', { glibc: null }),
  ERR_CLIPN_GLUE_NOT_FOUND: inPackage('without-glue', () => {}),
  ERR_CLIPN_GLUE_LOAD: inPackage('text-for-glue', (_, release) => writeFileSync(path.join(release, glue), 'text')),
  ERR_CLIPN_LIBTORCH_NOT_FOUND: onMachine('without-libtorch'),
  ERR_CLIPN_LIBTORCH_LOAD: inPackage('no-library', (real, release) => {
    cpSync(path.join(real, glue), path.join(release, glue));
    writeFileSync(path.join(release, core()), elf());
  }),
  ERR_CLIPN_LIBTORCH_VERSION: onMachine('other-minor', { tree: wheelTree('2.9.0+cpu') }),
  ERR_CLIPN_CORE_NOT_FOUND: onMachine('without-core', { tree: wheelTree(), core: false }),
  ERR_CLIPN_CORE_ABI: inPackage('other-core', (real, release) => {
    cpSync(path.join(real, glue), path.join(release, glue));
    // A library that loads, but is no core.
    symlinkSync(path.join(resolveLibtorch().dir, 'libc10.so'), path.join(release, core()));
  }),
  ERR_CLIPN_CUDA_UNAVAILABLE: onFakeCuda('no-gpu', { gpu: '13000,0,0' }),
  ERR_CLIPN_DEVICE_LOST: onFakeCuda('lost', { fails: 'lost' }),
  ERR_CLIPN_FETCH: () => fetchLibtorch({ from: at('absent.whl') }, fakeMachine(at('fetch'))),
  ERR_CLIPN_FETCH_HASH: () => fetchLibtorch({ from: text, sha256: '0'.repeat(64) }, fakeMachine(at('fetch-hash'))),
  ERR_CLIPN_HUB_NOT_FOUND: () => onHub({}),
  ERR_CLIPN_HUB_ACCESS: async () => onHub({ 'a/b': await clipRepository({ gated: 'hf_another' }) }),
  ERR_CLIPN_MODEL_NOT_FOUND: () => loadModel(at('absent')),
  ERR_CLIPN_MODEL_FORMAT: () => loadModel(text),
  ERR_CLIPN_MODEL_UNTRUSTED: async () => loadModel(await apiModel(), { trustedSha256: '0'.repeat(64) }),
  ERR_CLIPN_MODEL_CONTRACT: () => imageOnly.createLabelBank(['cat']),
  ERR_CLIPN_CHECKPOINT_FORMAT: () => exported(text),
  ERR_CLIPN_CHECKPOINT_UNSAFE: () => exported(checkpoint('unsafe.pt', pickle.global('os', 'system'))),
  ERR_CLIPN_CHECKPOINT_KEYS: () => exported(checkpoint('keys.pt', pickle.dict([]))),
  ERR_CLIPN_CHECKPOINT_AMBIGUOUS: async () => {
    const { checkpoint: source } = await smallestFiles(folder, { kind: 'clip' });
    return await exportModel(source, at('out.model'), { tokenizer: at('tokenizer.json') });
  },
  ERR_CLIPN_TOKENIZER: async () => {
    const { checkpoint: source, options } = await smallestFiles(folder);
    return await exportModel(source, at('out.model'), { ...options, tokenizer: text });
  },
  ERR_CLIPN_LABELS: () => model.createLabelBank([]),
  ERR_CLIPN_BANK_FORMAT: () => loadLabelBank(text),
  ERR_CLIPN_BANK_MISMATCH: async () => {
    const bank = await model.createLabelBank(['cat'], { cache: false, templates: 'plain' });
    return await model.createDetector({ ...bank, model: { ...bank.model, contentId: 'another' } });
  },
  ERR_CLIPN_TEMPLATES: () => model.createLabelBank(['cat'], { templates: at('absent') }),
  ERR_CLIPN_WORDNET: () => readWordNet(at('absent')),
  ERR_CLIPN_TEACH_DATA: async () => {
    const { base, options } = await smallestTeaching(at('teaching'));
    return await teach(base, at('absent'), at('taught'), options);
  },
  ERR_CLIPN_TEACH_DIVERGED: async () => {
    const { base, data, options } = await smallestTeaching(at('diverging'));
    return await teach(base, data, at('diverged'), { ...options, lr: 1e30 });
  },
  ERR_CLIPN_CALIBRATION: () => readCalibration(text),
  ERR_CLIPN_DATA_FOLDER: () => readImageFolder(at('absent')),
  ERR_CLIPN_DATA_CLASSES: async () => matchClasses(['owl'], ['cat']),
  ERR_CLIPN_STORE_MISMATCH: async () => {
    const identity = { contentId: 'a', precision: 'fp32', preprocessing: '', dim: 1, patches: '' };
    const store = await FeatureStore.open(at('store'), identity, []);
    store.addFile({ path: 'a', size: 1, mtime: 1n, sha256: new Uint8Array(32) });
    await store.flush();
    return await FeatureStore.open(at('store'), { ...identity, contentId: 'b' }, []);
  },
  ERR_CLIPN_STORE_FORMAT: async () => {
    mkdirSync(at('damaged-store'));
    writeFileSync(at('damaged-store/1.safetensors'), 'only a text');
    const identity = { contentId: 'a', precision: 'fp32', preprocessing: '', dim: 1, patches: '' };
    return await FeatureStore.open(at('damaged-store'), identity, []);
  },
  ERR_CLIPN_TOO_FEW_IMAGES: async () => conformalThreshold([1, 2, 3], 0.95),
  ERR_CLIPN_DRIFT_STATE: async () => parseDriftState({}),
  ERR_CLIPN_SCORES: async () => oodMetrics([], [0]),
  ERR_CLIPN_IMAGE_NOT_FOUND: () => model.encodeImages([at('absent.jpg')]),
  ERR_CLIPN_IMAGE_DECODE: () => model.encodeImages([text]),
  ERR_CLIPN_IMAGE_TOO_LARGE: () =>
    model.encodeImages([{ data: new Uint8Array(6), width: 2, height: 3, channels: 1 }], { limitPixels: 5 }),
  ERR_CLIPN_INVALID_ARG: async () => loadModel(await apiModel(), { threads: 1025 }),
  ERR_CLIPN_IO: () => loadLabelBank(at('absent')),
  ERR_CLIPN_OUT_OF_MEMORY: () => {
    const [features, no] = [new Float32Array(1), undefined];
    // More than a process can address; the core itself would refuse k > c.
    const input = {
      features,
      yes: features,
      no,
      n: 1,
      c: 1,
      d: 1,
      k: 2 ** 47,
      scale: 100,
      logits: false,
      device: 'cpu',
      bankId: 0,
    } as const;
    return withLane((lane) => runTask(lane, undefined, () => lane.score(input)));
  },
  ERR_CLIPN_QUEUE_FULL: async () => {
    await using narrow = await loadModel(await apiModel(), { queue: { max: 1, whenFull: 'reject' } });
    const detector = await narrow.createDetector(['cat'], { labelBank: { cache: false, templates: 'plain' } });
    const image = { data: new Uint8Array(3), width: 1, height: 1, channels: 3 } as const;
    const [first, second] = await Promise.allSettled([detector.check(image), detector.check(image)]);
    assert.equal(first.status, 'fulfilled');
    if (second.status === 'rejected') throw second.reason;
  },
  ERR_CLIPN_CLOSED: () => closed.encodeImages([{ data: new Uint8Array(3), width: 1, height: 1, channels: 3 }]),
  ERR_CLIPN_INTERNAL: () =>
    withLane((lane) => runTask(lane, undefined, () => lane.encodeText({}, 'yes', new BigInt64Array(1), 1, 1, 1))),
};

test('every code has a way to provoke it, and every way its code', () => {
  assert.deepEqual(Object.keys(PROVOCATIONS).sort(), Object.keys(ERROR_HINTS).sort());
});

for (const [code, provoke] of Object.entries(PROVOCATIONS)) {
  const skip = /CUDA|DEVICE/.test(code) && skipFakeCuda;
  test(`${code} is raised as a ClipnError with a message and a hint`, { skip }, async () => {
    // BANK_MISMATCH and others throw before they return a promise.
    const error = await provoke().then(
      () => assert.fail('nothing was thrown'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof ClipnError, String(error));
    assert.equal(error.code, code, error.message);
    assert.ok(error.message.length > 10 && error.hint.length > 10, `${error.message} / ${error.hint}`);
  });
}

test('every code has its heading in docs/errors.md, and every heading its code', () => {
  const headings = [...read('docs/errors.md').matchAll(/^### (\S+)$/gm)].map(([, code]) => code);
  assert.deepEqual(headings.sort(), Object.keys(ERROR_HINTS).sort());
});

test('every heading in docs/errors.md is followed by what happened and by a fix', () => {
  for (const section of read('docs/errors.md').split(/^### /m).slice(1)) {
    assert.match(section, /^\S+\n[^\n]+[\s\S]*\*\*Fix:\*\* \S/, section);
  }
});

test('every code that the addon can give is one of the table', () => {
  const sources = readdirSync(path.join(repository, 'binding')).filter((file) => /\.(cc|h)$/.test(file));
  assert.ok(sources.length > 0);
  for (const [code] of sources
    .map((file) => read(`binding/${file}`))
    .join()
    .matchAll(/ERR_CLIPN_[A-Z_]+/g)) {
    if (code !== 'ERR_CLIPN_') assert.ok(code in ERROR_HINTS, code);
  }
});

test('JSON of an error keeps its message, for logs', () => {
  const error = new ClipnError('ERR_CLIPN_IO', 'cannot read a.jpg', { details: { path: 'a.jpg' } });
  assert.deepEqual(JSON.parse(JSON.stringify({ image: 'a.jpg', error })).error, {
    code: 'ERR_CLIPN_IO',
    message: 'cannot read a.jpg',
    hint: error.hint,
    details: { path: 'a.jpg' },
  });
});
