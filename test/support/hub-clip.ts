/** A small CLIP with seeded weights as a repository of the hub. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Repository, repositoryOf } from './hub-server';
import { hfConfig, hfFolder, hfGolden, hfWeights, writeHfSafetensors } from './hugging-face';
import { clipTokenizer } from './paths';

/** In transformers' layout; `files` as for `hfFolder`. */
export async function clipRepository(
  more: Omit<Repository, 'files'> = {},
  files: Readonly<Record<string, object | null>> = {},
): Promise<Repository> {
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-hub-clip-'));
  try {
    hfFolder(folder, files);
    await writeHfSafetensors(path.join(folder, 'model.safetensors'), hfWeights());
    const repository = repositoryOf(folder, more);
    // What a repository holds beside, which nobody needs.
    repository.files['README.md'] = Buffer.from('# A CLIP');
    repository.files['pytorch_model.bin'] = Buffer.from('never downloaded');
    return repository;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The same weights in two shards with an index, as transformers splits what is large. */
export async function shardedRepository(): Promise<Repository> {
  const repository = await clipRepository();
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-hub-clip-'));
  try {
    const all = [...hfWeights()];
    const shards = [all.slice(0, 20), all.slice(20)];
    const map: Record<string, string> = {};
    for (const [i, shard] of shards.entries()) {
      const name = `model-0000${i + 1}-of-00002.safetensors`;
      await writeHfSafetensors(path.join(folder, name), new Map(shard));
      repository.files[name] = readFileSync(path.join(folder, name));
      for (const [key] of shard) map[key] = name;
    }
    delete repository.files['model.safetensors'];
    repository.files['model.safetensors.index.json'] = Buffer.from(JSON.stringify({ weight_map: map }));
    return repository;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** One with CLIP's own tokenizer, so that every label and template has tokens. */
export async function hubClip(): Promise<Repository> {
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-hub-clip-'));
  try {
    const { text_config: text, ...config } = hfConfig('gelu');
    hfFolder(folder, {
      'config.json': { ...config, text_config: { ...text, vocab_size: 49408, eos_token_id: 49407 } },
    });
    copyFileSync(clipTokenizer, path.join(folder, 'tokenizer.json'));
    const shapes = { ...hfGolden.shapes, 'text_model.embeddings.token_embedding.weight': [49408, text.hidden_size] };
    await writeHfSafetensors(path.join(folder, 'model.safetensors'), hfWeights(shapes));
    return repositoryOf(folder, { license: 'mit' });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
