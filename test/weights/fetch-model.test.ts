/** `fetchModel` and hub names against a hub on the loopback: what comes, where it lies, and what is left after a failure. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, before, beforeEach, describe, test } from 'node:test';
import { exportModel, type FetchModelOptions, fetchModel, loadModel, teach } from '../../lib';
import { cachedModels, modelPath } from '../../lib/weights/model-cache';
import { builtLibrary } from '../support/built';
import { writeCheckpoint } from '../support/checkpoint-writer';
import { clipRepository, shardedRepository } from '../support/hub-clip';
import { COMMIT, etagOf, type HubServer, type Repository, serveHub, sibling } from '../support/hub-server';
import { hfGolden } from '../support/hugging-face';
import { assertRows, encodeImages, encodeText, FP32, type Golden, readGolden, withModel } from '../support/model-file';
import { keepLibtorch } from '../support/run-cli';
import { NETWORKS } from '../support/seeded-weights';
import { smallestTeaching } from '../support/teaching';
import { closeServers } from '../support/wheel-server';

const NAME = 'seeded/tiny-clip';
const NEXT = 'facade'.padEnd(40, '1');
let clip: Repository;
let root: string;
let hub: HubServer;
let env: NodeJS.ProcessEnv;

before(async () => {
  keepLibtorch();
  clip = await clipRepository({ license: 'mit' });
});
beforeEach(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'clipn-fetch-model-'));
  hub = await serveHub({ [NAME]: { ...clip } });
  env = { CLIPN_CACHE_DIR: path.join(root, 'cache'), HF_ENDPOINT: hub.endpoint, HF_HOME: path.join(root, 'no-token') };
});
afterEach(() => {
  closeServers();
  rmSync(root, { recursive: true });
});

const fetched = (options: FetchModelOptions = {}, name = NAME) => fetchModel(name, options, env);
const names = (folder: string) =>
  existsSync(path.join(root, 'cache', folder)) ? readdirSync(path.join(root, 'cache', folder)).sort() : [];
/** What was downloaded, without what was asked of the API. */
const downloaded = () => hub.asked.filter((url) => !url.includes('/api/')).map((url) => path.posix.basename(url));
const MODEL = `seeded--tiny-clip@${COMMIT}.fp32.pt`;
const RECORD = 'seeded--tiny-clip@main.json';
const WEIGHTS = () => clip.files['model.safetensors']!;

/** Runs with the environment of this process changed, as `loadModel` reads it. */
async function within<T>(use: () => Promise<T>): Promise<T> {
  const before = { ...process.env };
  Object.assign(process.env, env);
  try {
    return await use();
  } finally {
    for (const name of Object.keys(env)) delete process.env[name];
    Object.assign(process.env, before);
  }
}

describe('a model that is fetched', () => {
  test("gives transformers' features, under its name, and the downloaded files are gone", async () => {
    const said: string[] = [];
    const onProgress: FetchModelOptions['onProgress'] = ({ phase, message }) =>
      void (phase === 'size' && said.push(`${downloaded().length} ${message}`));
    const model = await fetched({ onProgress });
    const { path: file, bytes, ...rest } = model;
    const expected = {
      name: NAME,
      revision: 'main',
      commit: COMMIT,
      license: 'mit',
      dtype: 'fp32',
      alreadyThere: false,
    };
    assert.deepEqual(rest, expected);
    assert.deepEqual([file, bytes], [path.join(root, 'cache/models', MODEL), readFileSync(file).length]);
    await withModel(file, async (opened) => {
      assertRows(await encodeImages(opened, hfGolden.images), hfGolden.gelu.image_features, FP32);
      assertRows(await encodeText(opened, 'yes', hfGolden.token_ids), hfGolden.gelu.text_yes, FP32);
    });
    assert.deepEqual([names('models'), names('hub')], [[MODEL, RECORD], []]);
    // Three small files had come when the size was said, and nothing that is not read came at all.
    const size = (WEIGHTS().length / 1e6).toFixed(1);
    assert.match(said.join(), new RegExp(`^3 seeded/tiny-clip \\(c0ffee0000\\), licence mit: ${size} MB to download`));
    assert.deepEqual([...new Set(downloaded())].sort(), [
      'config.json',
      'model.safetensors',
      'preprocessor_config.json',
      'tokenizer.json',
    ]);
  });

  test('is found by loadModel by that name, by revision and by commit; a file of that path goes before', async () => {
    await assert.rejects(
      within(() => loadModel(NAME)),
      { code: 'ERR_CLIPN_MODEL_NOT_FOUND', hint: /npx clipn-native fetch model seeded\/tiny-clip`/ },
    );
    assert.equal(hub.asked.length, 0, 'loadModel downloads nothing');
    const { path: file } = await fetched();
    for (const name of [NAME, `${NAME}@main`, `${NAME}@${COMMIT}`, `${NAME}@c0ffee0`]) {
      assert.equal(await modelPath(name, env), file, name);
    }
    await within(async () => {
      await using model = await loadModel(NAME);
      assert.equal(model.info.config.source.fileName, `seeded--tiny-clip@${COMMIT}`);
    });
    await assert.rejects(modelPath(`${NAME}@other`, env), { hint: /fetch model seeded\/tiny-clip@other`/ });
    mkdirSync(path.join(root, 'seeded'));
    writeFileSync(path.join(root, 'seeded/tiny-clip'), 'a file');
    const here = process.cwd();
    process.chdir(root);
    try {
      assert.equal(await modelPath(NAME, env), NAME);
    } finally {
      process.chdir(here);
    }
  });

  test('is not downloaded again, also not under another revision of the same commit', async () => {
    await fetched();
    const before = downloaded().length;
    const again = await fetched();
    assert.equal(again.alreadyThere, true);
    const { revision, alreadyThere } = await fetched({ revision: COMMIT });
    assert.deepEqual([revision, alreadyThere], [COMMIT, true]);
    assert.equal(downloaded().length, before);
    assert.deepEqual(names('models'), [MODEL, `seeded--tiny-clip@${COMMIT}.json`, RECORD]);
  });

  test('whose branch has moved on, or that is wanted in another precision, takes the place of the old one', async () => {
    await fetched();
    hub.repositories[NAME] = { ...clip, commit: NEXT };
    const next = await fetched();
    assert.deepEqual([next.commit, next.alreadyThere], [NEXT, false]);
    assert.deepEqual(names('models'), [`seeded--tiny-clip@${NEXT}.fp32.pt`, RECORD]);
    // As a process leaves it that is killed while it exports.
    writeFileSync(path.join(root, 'cache/models', `.seeded--tiny-clip@${NEXT}.fp16.pt.x.tmp`), 'half-written');
    const half = await fetched({ dtype: 'fp16' });
    assert.equal(half.alreadyThere, false);
    assert.ok(half.bytes < next.bytes);
    assert.deepEqual(names('models'), [`seeded--tiny-clip@${NEXT}.fp16.pt`, RECORD]);
  });

  test('is fetched again when its file is gone or cut short; doctor and loadModel say which', async () => {
    const { path: file, bytes } = await fetched();
    truncateSync(file, 12);
    assert.deepEqual(
      (await cachedModels(env)).map(({ problem }) => problem),
      [`the model file has 12 bytes, not ${bytes}`],
    );
    rmSync(file);
    await assert.rejects(modelPath(NAME, env), {
      code: 'ERR_CLIPN_MODEL_NOT_FOUND',
      message: /the model file is missing/,
    });
    assert.equal((await fetched()).alreadyThere, false);
    assert.equal(readFileSync(file).length, bytes);
  });

  test('comes in shards too', async () => {
    hub.repositories[NAME] = await shardedRepository();
    const { path: file } = await fetched();
    await withModel(file, async (opened) => {
      assertRows(await encodeImages(opened, hfGolden.images), hfGolden.gelu.image_features, FP32);
    });
  });

  test("comes in OpenCLIP's layout too, where a repository has both", async () => {
    const file = path.join(root, 'open_clip_pytorch_model.bin');
    await writeCheckpoint(file, { ...NETWORKS.tiny, vocabSize: 49408 }, { scheme: 'flat' });
    const config = { model_cfg: { embed_dim: 8, vision_cfg: { head_width: 16 }, text_cfg: { heads: 4 } } };
    const openClip = {
      'open_clip_config.json': Buffer.from(JSON.stringify(config)),
      'open_clip_pytorch_model.bin': readFileSync(file),
    };
    hub.repositories[NAME] = { files: { ...clip.files, ...openClip } };
    const golden = await readGolden<Golden>('tiny-rgb.json');
    await withModel((await fetched()).path, async (opened) => {
      assertRows(await encodeImages(opened, golden.images), golden.image_features, FP32);
    });
    assert.deepEqual([...new Set(downloaded())].sort(), Object.keys(openClip));
  });
});

describe('a fetch that fails leaves what was there', () => {
  /** Fetches after a first fetch of the older commit, which must be there still. */
  async function failing(expected: object, options: FetchModelOptions = {}): Promise<void> {
    const { path: file } = await fetched();
    hub.repositories[NAME] = { ...hub.repositories[NAME]!, commit: NEXT };
    await assert.rejects(fetched(options), expected);
    assert.equal(await modelPath(NAME, env), file);
    assert.deepEqual(names('models'), [MODEL, RECORD]);
  }
  const weightsOf = (url: string) => url.endsWith('/model.safetensors') && !url.includes('resolve');

  test('a corrupted transfer, which the next call begins afresh', async () => {
    let corrupt = true;
    hub.instead = (url, response) => {
      if (!weightsOf(url) || !corrupt || hub.repositories[NAME]!.commit !== NEXT) return false;
      const body = Buffer.from(WEIGHTS());
      body[body.length - 5]! ^= 1;
      response.writeHead(200, { etag: '"x"', 'content-length': body.length }).end(body);
      return true;
    };
    await failing({
      code: 'ERR_CLIPN_FETCH_HASH',
      message: /model\.safetensors of seeded\/tiny-clip came with SHA-256/,
    });
    corrupt = false;
    assert.equal((await fetched()).commit, NEXT);
    assert.equal(hub.cdn.at(-1)!.headers.range, undefined);
  });

  test('one that is aborted half-way, which the next call goes on with', async () => {
    const half = Math.floor(WEIGHTS().length / 2);
    const stop = new AbortController();
    const reason = new Error('enough');
    hub.instead = (url, response, _, count) => {
      if (!weightsOf(url) || count !== 2) return false;
      response
        .writeHead(200, { etag: etagOf(WEIGHTS()), 'content-length': WEIGHTS().length })
        .write(WEIGHTS().subarray(0, half));
      return true;
    };
    const onProgress: FetchModelOptions['onProgress'] = ({ phase, done }) => {
      if (phase === 'download' && (done ?? 0) >= half) setTimeout(() => stop.abort(reason), 20);
    };
    await failing((error: unknown) => error === reason, { signal: stop.signal, onProgress });
    await fetched();
    assert.equal(hub.cdn.at(-1)!.headers.range, `bytes=${half}-`);
    assert.deepEqual(names('hub'), []);
  });

  test('a disk that has not the room', async () => {
    const absurd = 2 ** 50;
    const { files, ...rest } = clip;
    const lfs = { sha256: '0'.repeat(64), size: absurd };
    const siblings = ['config.json', 'preprocessor_config.json', 'model.safetensors'].map((name) => {
      const body = files[name]!;
      return name === 'model.safetensors' ? { rfilename: name, size: absurd, lfs } : sibling(name, body);
    });
    await fetched();
    hub.repositories[NAME] = { files, ...rest, commit: NEXT, listing: { siblings } };
    await assert.rejects(fetched(), {
      code: 'ERR_CLIPN_IO',
      message: /1125899\.9 GB to download.*more than the .* free/,
    });
    assert.equal(hub.cdn.length, 1, 'nothing of it was asked for');
    assert.deepEqual(names('models'), [MODEL, RECORD]);
  });

  test('another network, before its weights have come', async () => {
    for (const [config, message] of [
      [{ model_type: 'siglip' }, /^seeded\/tiny-clip: config\.json is the config of a SigLIP/],
      [{ model_type: 'clip', vision_config: { hidden_act: 'swish' } }, /hidden_act is 'swish'/],
    ] as const) {
      hub.repositories[NAME] = { files: { ...clip.files, 'config.json': Buffer.from(JSON.stringify(config)) } };
      await assert.rejects(fetched(), { code: 'ERR_CLIPN_INVALID_ARG', message });
    }
    assert.equal(hub.cdn.length, 0);
    assert.deepEqual(names('hub'), []);
  });

  test('weights that are none of the network that the config says: they are not kept', async () => {
    hub.repositories[NAME] = { files: { ...clip.files, 'model.safetensors': Buffer.from('only a text') } };
    await assert.rejects(fetched(), { code: 'ERR_CLIPN_CHECKPOINT_FORMAT' });
    assert.deepEqual([names('hub'), names('models')], [[], []]);
  });

  test('a repository without a CLIP, or with a shard too few or one that leads out of the folder', async () => {
    const index = (map: object) => Buffer.from(JSON.stringify({ weight_map: map }));
    const { 'model.safetensors': _, 'pytorch_model.bin': __, ...rest } = clip.files;
    for (const [files, code, message] of [
      [{ 'README.md': Buffer.from('#') }, 'ERR_CLIPN_CHECKPOINT_FORMAT', /holds no CLIP/],
      [rest, 'ERR_CLIPN_CHECKPOINT_FORMAT', /holds no CLIP/],
      [
        { ...rest, 'model.safetensors.index.json': index({ a: 'one.safetensors' }) },
        'ERR_CLIPN_CHECKPOINT_FORMAT',
        /index\.json names one\.safetensors, which the repository does not hold/,
      ],
      [
        { ...rest, 'model.safetensors.index.json': index({ a: '../../one.safetensors' }) },
        'ERR_CLIPN_INVALID_ARG',
        /weight_map names \.\.\/\.\.\/one/,
      ],
    ] as const) {
      hub.repositories[NAME] = { files };
      await assert.rejects(fetched(), { code, message });
      assert.deepEqual([names('hub'), names('models')], [[], []]);
    }
  });

  test('a name that is none, a precision that is none', async () => {
    for (const name of ['clip', 'a/b/c', '../x', 'a/..', 'a/model.pt', '']) {
      await assert.rejects(fetched({}, name), { code: 'ERR_CLIPN_INVALID_ARG' }, name);
    }
    await assert.rejects(fetched({ revision: 'v2' }, `${NAME}@v1`), { code: 'ERR_CLIPN_INVALID_ARG' });
    await assert.rejects(fetched({ dtype: 'int8' as 'fp16' }), { code: 'ERR_CLIPN_INVALID_ARG' });
    assert.equal(hub.asked.length, 0);
  });
});

describe('several at once', () => {
  test('download once, in one process or in two', async () => {
    // The second request of the API tells that both are at work.
    hub.instead = (url, response, request, count) => {
      if (!url.includes('/config.json') || count > 1) return false;
      setTimeout(() => {
        hub.instead = () => false;
        const body = clip.files['config.json']!;
        response.writeHead(200, { 'content-length': body.length }).end(body);
        request.resume();
      }, 300);
      return true;
    };
    const program = `require(${JSON.stringify(builtLibrary())}).fetchModel('${NAME}').then((model) => console.log(JSON.stringify(model)))`;
    const child = spawn(process.execPath, ['-e', program], { env: { ...process.env, ...env } });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
    const ended = new Promise((resolve) => child.once('close', resolve));
    const [one, two] = await Promise.all([fetched(), fetched(), ended]);
    const three = JSON.parse(out) as typeof one;
    assert.deepEqual([one.path, two.path], [three.path, three.path]);
    assert.equal([one, two, three].filter(({ alreadyThere }) => !alreadyThere).length, 1);
    assert.equal(hub.cdn.length, 1);
  });
});

describe('HF_HUB_OFFLINE', () => {
  test('takes what was fetched and asks for nothing; what was not is refused', async () => {
    env['HF_HUB_OFFLINE'] = '1';
    await assert.rejects(fetched(), {
      code: 'ERR_CLIPN_FETCH',
      message: /HF_HUB_OFFLINE is set, and seeded\/tiny-clip/,
    });
    env['HF_HUB_OFFLINE'] = '0';
    await fetched();
    const before = hub.asked.length;
    env['HF_HUB_OFFLINE'] = 'true';
    assert.equal((await fetched()).alreadyThere, true);
    assert.equal((await fetched({}, `${NAME}@c0ffee00`)).alreadyThere, true);
    await assert.rejects(fetched({ dtype: 'bf16' }), { code: 'ERR_CLIPN_FETCH' });
    assert.equal(hub.asked.length, before);
  });
});

describe('export of a hub name', () => {
  const out = () => path.join(root, 'out.pt');
  const FOLDER = `seeded--tiny-clip@${COMMIT}`;

  test('downloads its folder, which stays, also for one without a network and for fetch', async () => {
    const config = await within(() => exportModel(NAME, out()));
    assert.deepEqual([config.source.fileName, config.source.kind], [FOLDER, 'huggingface']);
    assert.deepEqual(names('hub'), [FOLDER, `${FOLDER}.json`, RECORD]);
    const before = hub.asked.length;
    env['HF_HUB_OFFLINE'] = '1';
    await within(() => exportModel(NAME, out()));
    await fetched({ dtype: 'fp16' });
    assert.equal(hub.asked.length, before);
    assert.deepEqual(names('hub'), [FOLDER, `${FOLDER}.json`, RECORD]);
    rmSync(path.join(root, 'cache/hub', FOLDER, 'tokenizer.json'));
    await assert.rejects(
      within(() => exportModel(NAME, out())),
      { code: 'ERR_CLIPN_FETCH', message: /HF_HUB_OFFLINE is set, and tokenizer\.json/ },
    );
  });

  test('keeps the folder of a commit that the branch has left behind: a training may be using it', async () => {
    await within(() => exportModel(NAME, out()));
    hub.repositories[NAME] = { ...clip, commit: NEXT };
    await within(() => exportModel(NAME, out()));
    assert.deepEqual(
      names('hub').filter((name) => !name.endsWith('.json')),
      [FOLDER, `seeded--tiny-clip@${NEXT}`],
    );
  });

  test('a path that is missing and no name on the hub is told as both', async () => {
    await assert.rejects(
      within(() => exportModel('runs/clip', out())),
      {
        code: 'ERR_CLIPN_HUB_NOT_FOUND',
        message: /^there is no path runs\/clip here, and the model runs\/clip is not on/,
      },
    );
  });

  test('a file that is missing is no hub name', async () => {
    await assert.rejects(
      within(() => exportModel('models/clip.safetensors', out())),
      { code: 'ERR_CLIPN_IO' },
    );
    assert.equal(hub.asked.length, 0);
  });
});

test('teach takes a hub name as its base, and goes on without a network', async () => {
  const { data, options } = await smallestTeaching(path.join(root, 'teaching'));
  // Config and tokenizer are the repository's.
  const { config: _, tokenizer: __, ...settings } = options;
  const taught = () => within(() => teach(NAME, data, path.join(root, 'run'), settings));
  const { model, steps } = await taught();
  await withModel(model, async (opened) => {
    assert.equal(opened.config.kind, 'clipn');
    assertRows(await encodeImages(opened, hfGolden.images), hfGolden.gelu.image_features, FP32);
  });
  const before = hub.asked.length;
  env['HF_HUB_OFFLINE'] = '1';
  assert.equal((await taught()).steps, steps);
  assert.equal(hub.asked.length, before);
});
