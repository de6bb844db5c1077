import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import known from '../../lib/data/known-weights.json';
import { type ExportOptions, exportModel } from '../../lib/weights/export';
import { knownFile } from '../../lib/weights/known-weights';
import { type CheckpointOptions, writeCheckpoint } from '../support/checkpoint-writer';
import { NETWORKS } from '../support/seeded-weights';
import { tinyTokenizer } from '../support/tiny-model';
import { pickle } from '../support/torch-zip';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-activation-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);
writeFileSync(at('tokenizer.json'), tinyTokenizer());
const config = (name: string, json: object) => {
  writeFileSync(at(name), JSON.stringify({ vision_cfg: {}, text_cfg: {}, ...json }));
  return at(name);
};

/** Heads are known, so that nothing but the activation is open. */
const NETWORK = { ...NETWORKS.tiny, textWidth: 64, textLayers: 1, visionLayers: 1 };
const openAi = (shapes: Map<string, number[]>) => {
  for (const key of ['input_resolution', 'context_length', 'vocab_size']) shapes.set(key, []);
};
let files = 0;
async function written(options: CheckpointOptions): Promise<string> {
  const file = at(`weights-${files++}.pt`);
  await writeCheckpoint(file, NETWORK, options);
  return file;
}
const exported = (file: string, options: ExportOptions = {}) =>
  exportModel(file, at('model.pt'), { tokenizer: at('tokenizer.json'), ...options });
const activationOf = async (file: string, options: ExportOptions = {}) =>
  (await exported(file, options)).architecture.activation;

describe('a plain CLIP in the layout of OpenCLIP', () => {
  test('of which nothing tells the activation is refused with the question and the ways to answer it', async () => {
    const file = await written({ kind: 'clip' });
    const before = readdirSync(folder).length;
    await assert.rejects(exported(file), (error: Error & { code: string; hint: string }) => {
      assert.equal(error.code, 'ERR_CLIPN_CHECKPOINT_AMBIGUOUS');
      assert.match(error.message, /weights-\d+\.pt need GELU or QuickGELU/);
      assert.match(error.hint, /`act` \(--act\): gelu \(LAION-2B,.* quickgelu \(OpenAI.*`config` \(--config\)/);
      return true;
    });
    assert.equal(readdirSync(folder).length, before, 'no file is left');
  });

  test('has the one that is asked for, or that its config says', async () => {
    const file = await written({ kind: 'clip' });
    assert.equal(await activationOf(file, { act: 'gelu' }), 'gelu');
    assert.equal(await activationOf(file, { act: 'quickgelu' }), 'quickgelu');
    assert.equal(await activationOf(file, { config: config('quick.json', { quick_gelu: true }) }), 'quickgelu');
    // OpenCLIP's own default.
    assert.equal(await activationOf(file, { config: config('silent.json', {}) }), 'gelu');
  });

  test('whose hash is known has what was published with it, and is called by its name', async () => {
    const file = await written({ kind: 'clip', edit: (shapes) => shapes.set('attn_mask', [1]) });
    const hash = createHash('sha256').update(readFileSync(file)).digest('hex');
    Object.assign(known.files[0]!.sha256, { [hash]: 'a published CLIP' });
    const { architecture, source } = await exported(file);
    assert.deepEqual([architecture.activation, source.knownAs], ['quickgelu', 'a published CLIP']);
    await assert.rejects(exported(file, { act: 'gelu' }), {
      code: 'ERR_CLIPN_INVALID_ARG',
      message: /the weights of a published CLIP, which need 'quickgelu'/,
    });
  });

  test('is not known by its name', async () => {
    const file = at('ViT-B-16.pt');
    await writeCheckpoint(file, NETWORK, { kind: 'clip' });
    await assert.rejects(exported(file), { code: 'ERR_CLIPN_CHECKPOINT_AMBIGUOUS' });
  });
});

describe("OpenAI's own weights, known by their keys,", () => {
  test('need no option for their QuickGELU', async () => {
    const file = await written({ kind: 'clip', edit: openAi });
    const { architecture, source } = await exported(file);
    assert.deepEqual([architecture.activation, source.kind], ['quickgelu', 'openai']);
  });

  test('are refused with another activation, whoever asks for it', async () => {
    const file = await written({ kind: 'clip', edit: openAi });
    const contradicts = { code: 'ERR_CLIPN_INVALID_ARG', message: /OpenAI's own weights.*need 'quickgelu'/ };
    await assert.rejects(exported(file, { act: 'gelu' }), contradicts);
    await assert.rejects(exported(file, { config: config('gelu.json', { quick_gelu: false }) }), contradicts);
    // A config that does not say it does not contradict.
    assert.equal(await activationOf(file, { config: config('silent.json', {}) }), 'quickgelu');
  });
});

describe('a CLIPN', () => {
  test('has GELU, as the published ones', async () => {
    assert.equal(await activationOf(await written({})), 'gelu');
  });

  test('has what our training recorded; another is refused', async () => {
    const recorded = (value: Buffer) => (stateDict: Buffer) =>
      pickle.dict([
        [pickle.string('state_dict'), stateDict],
        [pickle.string('activation'), value],
      ]);
    const file = await written({ root: recorded(pickle.string('quickgelu')) });
    assert.equal(await activationOf(file), 'quickgelu');
    await assert.rejects(exported(file, { act: 'gelu' }), { code: 'ERR_CLIPN_INVALID_ARG', message: /recorded/ });
    assert.equal(await activationOf(await written({ root: recorded(pickle.string('relu')) })), 'gelu');
  });
});

test('an option and a config that contradict each other are refused', async () => {
  const file = await written({ kind: 'clip' });
  const options = { act: 'gelu', config: config('quick.json', { quick_gelu: true }) } as const;
  await assert.rejects(exported(file, options), {
    code: 'ERR_CLIPN_INVALID_ARG',
    message: /act 'gelu' contradicts .*quick\.json, which asks for 'quickgelu'/,
  });
});

test("OpenAI's four ViT files are known by their hashes, others by no part of theirs", () => {
  // clip.py of openai/CLIP.
  const hashes = {
    'ViT-B/32': '40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af',
    'ViT-B/16': '5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f',
    'ViT-L/14': 'b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836',
    'ViT-L/14@336px': '3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02',
  };
  for (const [name, hash] of Object.entries(hashes)) {
    assert.deepEqual(knownFile(hash), { name: `OpenAI ${name}`, activation: 'quickgelu' });
    assert.equal(knownFile(hash.replace(/.$/, 'e')), undefined);
  }
  // OpenCLIP publishes the first eight digits, in the names of its files.
  assert.equal(knownFile(`d867053b${'0'.repeat(56)}`)?.activation, 'quickgelu');
  assert.equal(knownFile(`3d133497${'0'.repeat(56)}`)?.activation, 'gelu');
});
