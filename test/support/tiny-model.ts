/** The toy network as files: what an export of it needs. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ExportOptions } from '../../lib/weights/export';
import { type CheckpointOptions, writeCheckpoint } from './checkpoint-writer';
import { NETWORKS } from './seeded-weights';

/** A tokenizer.json of 40 tokens, start 38 and end 39, as the toy network's vocabulary has. */
export function tinyTokenizer(): string {
  const letters = [...'abcdefghijklmnopqrs'];
  const words = [...letters, ...letters.map((letter) => `${letter}</w>`), '<|startoftext|>', '<|endoftext|>'];
  const vocab = Object.fromEntries(words.map((word, id) => [word, id]));
  return JSON.stringify({
    version: '1.0',
    added_tokens: [38, 39].map((id) => ({ id, content: words[id], special: true, lstrip: false, rstrip: false })),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab, merges: [], end_of_word_suffix: '</w>', unk_token: null },
  });
}

/** The toy network with one block a tower. */
export const SMALLEST = { ...NETWORKS.tiny, visionLayers: 1, textLayers: 1 };

/** Writes a checkpoint of it, config and tokenizer into `folder`. */
export async function smallestFiles(
  folder: string,
  options: CheckpointOptions = {},
): Promise<{ checkpoint: string; options: ExportOptions }> {
  const [checkpoint, config, tokenizer] = ['small.pt', 'config.json', 'tokenizer.json'].map((name) =>
    path.join(folder, name),
  ) as [string, string, string];
  await writeCheckpoint(checkpoint, SMALLEST, { scheme: 'flat', ...options });
  await writeFile(config, JSON.stringify({ embed_dim: 8, vision_cfg: { head_width: 16 }, text_cfg: { heads: 4 } }));
  await writeFile(tokenizer, tinyTokenizer());
  return { checkpoint, options: { config, tokenizer } };
}
