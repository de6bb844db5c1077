/** Encodes class names with both text towers into a label bank (spec 2.1). */

import { setImmediate } from 'node:timers/promises';
import { assertArguments, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { cleanText } from '../text/clean-text';
import { fillTemplate, loadTemplates, makeTemplateSet, type TemplateSet, type TemplatesInput } from '../text/templates';
import { padIds, type Tokenizer } from '../text/tokenizer';
import { assertBankFits, freezeBank, joinBanks, type LabelBank, rowsOf, selectRows } from './bank';

/** The text side of a loaded model, in fp32 whatever the images' precision. */
export interface TextTowers {
  readonly contentId: string;
  /** Longest prompt in tokens, start and end included. */
  readonly contextLength: number;
  readonly tokenizer: Tokenizer;
  /** D, the width of the embedding. */
  readonly dim: number;
  /** False for a plain CLIP. */
  readonly hasNo: boolean;
  /** ids [n, l] to unit rows [n, D] (spec 1.3, 1.4). */
  encodeText(
    tower: 'yes' | 'no',
    ids: BigInt64Array,
    n: number,
    l: number,
    signal?: AbortSignal,
  ): Promise<Float32Array>;
}

/** How far encoding of names has come. */
export interface LabelProgress {
  /** What is encoded: labels, or negative `words`. */
  stage: 'labels' | 'words';
  /** Sentences encoded so far. */
  done: number;
  /** Sentences in all. */
  total: number;
}

export interface EncodingOptions {
  /**
   * The sentences that names are put into: 'clipn', 'openai', 'plain', 'nice', a file with one a line, or a set of
   * one's own. Default those of the model, mostly 'clipn'.
   */
  templates?: TemplatesInput | undefined;
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal | undefined;
  /** Called as names are encoded; not for what the cache has. */
  onProgress?: ((progress: LabelProgress) => void) | undefined;
}

export const ENCODING_OPTIONS: OptionNames<EncodingOptions> = { templates: true, signal: true, onProgress: true };

/** Sentences in one call of a tower. */
const CHUNK = 64;
/** Sentences sorted by length together: enough that most chunks need little padding, few enough to hold in memory. */
const GROUP = 16 * CHUNK;

/** @internal Looks at every name before the first is encoded: a thousand may take minutes. */
export function assertLabels(towers: TextTowers, labels: readonly string[]): void {
  if (!Array.isArray(labels) || labels.length === 0) throw new ClipnError('ERR_CLIPN_LABELS', 'there are no labels');
  labels.forEach((label: unknown, index) => {
    if (typeof label !== 'string') {
      throw new ClipnError('ERR_CLIPN_LABELS', `label ${index} is a ${typeof label}, not a string`, {
        details: { index },
      });
    }
    if (cleanText(label) === '') {
      const message = `label ${index} is empty or only white space: ${JSON.stringify(label)}`;
      throw new ClipnError('ERR_CLIPN_LABELS', message, { details: { index } });
    }
    towers.tokenizer.encode(label);
  });
}

interface Sentence {
  row: number;
  ids: number[];
}

/** Rows [C, D] summed over templates in double precision, then L2-normalised. */
function unitRows(sums: Float64Array, dim: number, tower: string): Float32Array {
  const rows = new Float32Array(sums.length);
  for (let start = 0; start < sums.length; start += dim) {
    let square = 0;
    for (let d = start; d < start + dim; d++) square += sums[d]! ** 2;
    if (!(square > 0 && square < Number.POSITIVE_INFINITY)) {
      const message = `the ${tower} tower returned features of a label that are zero or not finite`;
      throw new ClipnError('ERR_CLIPN_MODEL_CONTRACT', message);
    }
    const norm = Math.sqrt(square);
    for (let d = start; d < start + dim; d++) rows[d] = sums[d]! / norm;
  }
  return rows;
}

async function addFeatures(
  towers: TextTowers,
  tower: 'yes' | 'no',
  chunk: readonly Sentence[],
  sums: Float64Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  const rows = chunk.map((sentence) => sentence.ids);
  const { ids, l } = padIds(rows, towers.contextLength);
  const features = await towers.encodeText(tower, ids, chunk.length, l, signal);
  const { dim } = towers;
  if (features.length !== chunk.length * dim) {
    const message = `the ${tower} tower returned ${features.length} numbers for ${chunk.length} texts of width ${dim}`;
    throw new ClipnError('ERR_CLIPN_MODEL_CONTRACT', message);
  }
  chunk.forEach(({ row }, i) => {
    for (let d = 0; d < dim; d++) sums[row * dim + d]! += features[i * dim + d]!;
  });
}

/** @internal */
export async function encodeLabels(
  towers: TextTowers,
  labels: readonly string[],
  set: TemplateSet,
  options: EncodingOptions,
): Promise<LabelBank> {
  const { signal, onProgress } = options;
  // A repeated name is encoded once: its rows are then equal to the last bit.
  const names = [...new Set(labels)];
  const total = names.length * set.templates.length;
  const sums = {
    yes: new Float64Array(names.length * towers.dim),
    no: new Float64Array(towers.hasNo ? names.length * towers.dim : 0),
  };
  const truncated = new Set<string>();
  let group: Sentence[] = [];
  let done = 0;

  const flush = async (): Promise<void> => {
    group.sort((a, b) => a.ids.length - b.ids.length);
    for (let start = 0; start < group.length; start += CHUNK) {
      const chunk = group.slice(start, start + CHUNK);
      for (const tower of towers.hasNo ? (['yes', 'no'] as const) : (['yes'] as const)) {
        signal?.throwIfAborted();
        await addFeatures(towers, tower, chunk, sums[tower], signal);
      }
      done += chunk.length;
      onProgress?.({ stage: 'labels', done, total });
    }
    group = [];
  };

  for (const [row, name] of names.entries()) {
    signal?.throwIfAborted();
    for (const template of set.templates) {
      const { ids, truncated: cut } = towers.tokenizer.encode(fillTemplate(template, name));
      if (cut) truncated.add(name);
      group.push({ row, ids });
    }
    if (group.length >= GROUP) await flush();
    // Tokenizing 128 sentences takes milliseconds: let the event loop turn before the next name.
    else await setImmediate();
  }
  await flush();

  const bank = freezeBank({
    labels: names,
    dim: towers.dim,
    yes: unitRows(sums.yes, towers.dim, 'yes'),
    no: towers.hasNo ? unitRows(sums.no, towers.dim, 'no') : null,
    templates: { name: set.name, sha256: set.sha256, count: set.templates.length, lines: set.templates },
    model: { contentId: towers.contentId },
    truncated: names.flatMap((name, index) => (truncated.has(name) ? [index] : [])),
  });
  return rowsOf(bank, labels);
}

/** @internal */
export async function resolveTemplates(templates: TemplatesInput | undefined): Promise<TemplateSet> {
  if (typeof templates !== 'object') return loadTemplates(templates ?? 'clipn');
  return makeTemplateSet(templates.name, templates.templates);
}

/**
 * Encodes every name with every template by both towers: W[c] = L2(sum over t of the unit vector of t(c)) (spec 2.1).
 * The same sentences feed both towers. What is unusual but allowed (one name, a repeated one, one that is cut) is in
 * the bank's `warnings`.
 *
 * @throws ClipnError ERR_CLIPN_LABELS for no names, an empty one (naming its index) or one with a special token;
 *   ERR_CLIPN_TEMPLATES; ERR_CLIPN_MODEL_CONTRACT. Rejects with `signal.reason` when aborted.
 */
export async function buildLabelBank(
  towers: TextTowers,
  labels: readonly string[],
  options: EncodingOptions = {},
): Promise<LabelBank> {
  assertLabels(towers, labels);
  return encodeLabels(towers, labels, await resolveTemplates(options.templates), options);
}

/**
 * The bank with names appended; only those are encoded, with the bank's own templates.
 *
 * @throws ClipnError ERR_CLIPN_BANK_MISMATCH when the bank was made by another model; else as `buildLabelBank`.
 */
export async function addLabels(
  towers: TextTowers,
  bank: LabelBank,
  names: readonly string[],
  options: Omit<EncodingOptions, 'templates'> = {},
): Promise<LabelBank> {
  assertBankFits(bank, towers);
  assertLabels(towers, names);
  const { name, lines, sha256 } = bank.templates;
  return joinBanks(bank, await encodeLabels(towers, names, { name, templates: lines, sha256 }, options));
}

/**
 * The bank without every row of these names; nothing is encoded.
 *
 * @throws ClipnError ERR_CLIPN_LABELS for a name the bank lacks, or when no name would be left.
 */
export function removeLabels(bank: LabelBank, names: readonly string[]): LabelBank {
  assertArguments({ bank: ['bank', bank], names: ['list', names] });
  const gone = new Set(names);
  for (const name of gone) {
    if (!bank.labels.includes(name)) {
      const message = `the bank has no label ${JSON.stringify(name)}`;
      throw new ClipnError('ERR_CLIPN_LABELS', message, { hint: 'Names are compared exactly: list `bank.labels`.' });
    }
  }
  const kept = [...bank.labels.keys()].filter((index) => !gone.has(bank.labels[index]!));
  if (kept.length === 0) throw new ClipnError('ERR_CLIPN_LABELS', 'no label would be left in the bank');
  return selectRows(bank, kept);
}
