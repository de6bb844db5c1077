/** The base of a training: a CLIP, whose no tower begins as a copy of its yes tower, or a CLIPN to go on with. */
import type { TensorTable } from '../formats/tensor-table';
import { createTokenizer, type Tokenizer } from '../text/tokenizer';
import { settleActivation } from '../weights/activation';
import type { Checkpoint } from '../weights/checkpoint';
import { loadTokenizer } from '../weights/checkpoint-tokenizer';
import { hashFiles, hashTensors } from '../weights/content-id';
import type { Activation } from '../weights/known-weights';
import { type Network, readNetwork } from '../weights/network';
import { MEAN, STD } from '../weights/preprocessing';
import type { Source } from '../weights/source';
import { readTrainedScale } from '../weights/trained-scale';
import { PROMPTS, type TeachOptions } from './options';

export interface Base {
  /** The weights, and what stood beside them. */
  source: Source;
  checkpoint: Checkpoint;
  network: Network;
  activation: Activation;
  tokenizer: Tokenizer;
  /** Hash of the frozen tensors and of what else decides their features. */
  frozenId: string;
  /** Hash of the no side that the training begins with; of the frozen tensors again when it is their copy. */
  startId: string;
  /** s = exp(logit_scale), which the published training keeps within 1 … 100 (spec 1.6). */
  scale: number;
  /** Of the no side, under its published names: where the training begins. `prompt_no` is missing when it begins at 0. */
  start: TensorTable;
  /** What is trained. */
  trained: { name: string; shape: number[] }[];
}

const MAX_SCALE = 100;

/** The first word of each key that has a `_no` twin (spec 1.9). */
const TEXT_TOWER = /^(transformer|token_embedding|positional_embedding|ln_final|text_projection)(?=\.|$)/;

/** Whether a key belongs to the no side. */
export function isNoKey(key: string): boolean {
  return /^[^.]*_no(\.|$)/.test(key);
}

/** @throws ClipnError as `exportModel` does for a checkpoint that is neither a CLIP nor a CLIPN. */
export async function openBase(source: Source, options: TeachOptions): Promise<Base> {
  const { signal } = options;
  const { checkpoint, config } = source;
  const network = readNetwork(checkpoint.tensors, config);
  const said = { act: options.act, config, signal };
  const activation = await settleActivation(network, checkpoint, await hashFiles(source.files, { signal }), said);
  const { json } = await loadTokenizer(options.tokenizer ?? source.tokenizer, network);
  const { visionHeads, textHeads, contextLength, textWidth } = network.architecture;
  const hash = (keys: string[], closing: string) =>
    hashTensors(checkpoint.path, checkpoint.tensors, keys, `${closing}\n`, { signal });
  const frozen = network.keys.filter((key) => !isNoKey(key));
  const preparation = [config?.mean ?? MEAN, config?.std ?? STD].join(' ');
  const usual = preparation === [MEAN, STD].join(' ') ? '' : `, mean and deviation ${preparation}`;
  const quickGelu = activation === 'quickgelu';
  const frozenId = await hash(frozen, `frozen, heads ${visionHeads} ${textHeads}, quick gelu ${quickGelu}${usual}`);
  const own = network.keys.filter(isNoKey);

  const start: TensorTable = new Map();
  for (const key of network.kind === 'clipn' ? own : network.keys) {
    const name = network.kind === 'clipn' ? key : key.replace(TEXT_TOWER, '$1_no');
    if (isNoKey(name)) start.set(name, checkpoint.tensors.get(key)!);
  }
  const trained = [...start].map(([name, { shape }]) => ({ name, shape }));
  if (!start.has('prompt_no')) trained.push({ name: 'prompt_no', shape: [PROMPTS, contextLength, textWidth] });
  return {
    source,
    checkpoint,
    network,
    activation,
    tokenizer: createTokenizer(json, contextLength),
    frozenId,
    startId: own.length > 0 ? await hash(own, 'no side') : frozenId,
    scale: Math.min(MAX_SCALE, Math.max(1, await readTrainedScale(checkpoint))),
    start,
    trained,
  };
}
