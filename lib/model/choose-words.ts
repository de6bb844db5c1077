/** Goes through many words, a dictionary's, and keeps those that are far from the labels or from photos of them. */
import type { OptionNames } from '../base/arguments';
import { freezeBank, joinBanks, type LabelBank } from '../labels/bank';
import { cachedLabelBank, cachedSelection } from '../labels/bank-cache';
import { buildLabelBank, type LabelProgress, type TextTowers } from '../labels/build-bank';
import { readWordNet } from '../labels/wordnet';
import type { NativeLane } from '../native/addon';
import { INTER_NEG, Lowest, NEG_LABEL, nearnessToImages, nearnessToLabels } from '../scores/mine-negatives';
import { scoreOn } from '../scores/score';
import { cleanText } from '../text/clean-text';
import { loadTemplates, type TemplateSet } from '../text/templates';

/** The sentence of words that are chosen, and of the labels that they are chosen for. */
export const MINED_TEMPLATES = 'nice';
/** Words that are encoded and kept together: 8 MB of rows at D = 512. */
const PART = 4096;
/** Cosines held at once: 64 MB. */
const MOST_COSINES = 1 << 24;

/** How words are encoded. */
export interface NegativesOptions {
  /** Keep and reuse rows on disk, in the cache folder. Default true. */
  cache?: boolean | undefined;
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal | undefined;
  /** Called as words are encoded. */
  onProgress?: ((progress: LabelProgress) => void) | undefined;
}

export const NEGATIVES_OPTIONS: OptionNames<NegativesOptions> = { cache: true, signal: true, onProgress: true };

/** What words need of a model. */
export interface WordEncoder {
  readonly lane: NativeLane;
  /** Without the no tower: words have none. */
  readonly towers: TextTowers;
}

/** Encodes words, or takes them from the cache; reports from `before` on, of `total`. */
export async function encodeWords(
  { towers }: WordEncoder,
  words: readonly string[],
  templates: TemplateSet,
  { cache = true, signal, onProgress }: NegativesOptions,
  before = 0,
  all?: number,
): Promise<LabelBank> {
  const told =
    onProgress &&
    (({ done, total }: LabelProgress) => onProgress({ stage: 'words', done: before + done, total: all ?? total }));
  return await (cache ? cachedLabelBank : buildLabelBank)(towers, words, { templates, signal, onProgress: told });
}

/**
 * WordNet's words as NegLabel chooses them: of the nouns and of the adjectives the share that is furthest from the labels.
 *
 * @throws ERR_CLIPN_WORDNET, what encoding throws, or `signal.reason`
 */
export async function wordsFarFromLabels(
  encoder: WordEncoder,
  labels: readonly string[],
  options: NegativesOptions,
): Promise<LabelBank> {
  const { nouns, adjectives } = await readWordNet();
  const templates = await loadTemplates(MINED_TEMPLATES);
  const names = [...new Set(labels)].sort();
  const choose = async () => {
    const { yes } = await encodeWords(encoder, names, templates, { ...options, onProgress: undefined });
    const nearness = (cosines: Float32Array) => nearnessToLabels(cosines, names.length);
    const total = nouns.length + adjectives.length;
    const among = (words: readonly string[], before: number) => {
      const choice = { templates, beside: yes, nearness, most: Math.floor(NEG_LABEL.share * words.length) };
      return lowest(encoder, words, choice, options, before, total);
    };
    return joinBanks(await among(nouns, 0), await among(adjectives, nouns.length));
  };
  if (options.cache === false) return await choose();
  return await cachedSelection(encoder.towers, templates, ['NegLabel', NEG_LABEL, names, nouns, adjectives], choose);
}

/**
 * The words that InterNeg's static rule chooses with photos of the labels, the furthest first; at most 2,000, none of them
 * a label.
 *
 * @param means [C, D]: of each label the unit mean of its photos' features
 */
export async function wordsFarFromImages(
  encoder: WordEncoder,
  labels: readonly string[],
  means: Float32Array,
  words: readonly string[],
  options: NegativesOptions,
): Promise<readonly string[]> {
  const templates = await loadTemplates(MINED_TEMPLATES);
  const { yes, dim } = await encodeWords(encoder, labels, templates, { ...options, onProgress: undefined });
  const own = Float32Array.from(labels, (_, c) => {
    let sum = 0;
    for (let d = c * dim; d < (c + 1) * dim; d++) sum += means[d]! * yes[d]!;
    return sum;
  });
  const taken = new Set(labels.map(cleanText));
  const nearness = (cosines: Float32Array, part: readonly string[]) =>
    nearnessToImages(cosines, own).map((value, i) => (taken.has(cleanText(part[i]!)) ? Number.NaN : value));
  const choice = { templates, beside: means, nearness, most: INTER_NEG.words };
  return (await lowest(encoder, words, choice, options, 0, words.length)).labels;
}

interface Choice {
  templates: TemplateSet;
  /** [C, D], unit rows that each word's cosines are taken to. */
  beside: Float32Array;
  /** Of n words from their cosines [n, C]; NaN for one that is out of the question. */
  nearness(cosines: Float32Array, words: readonly string[]): Float64Array;
  most: number;
}

/** The `most` words of lowest nearness. Goes part by part: memory holds one of them and what is kept. */
async function lowest(
  encoder: WordEncoder,
  words: readonly string[],
  { templates, beside, nearness, most }: Choice,
  options: NegativesOptions,
  before: number,
  total: number,
): Promise<LabelBank> {
  const { contentId, dim } = encoder.towers;
  const { signal, onProgress } = options;
  const kept = new Lowest(most);
  const warnings: string[] = [];
  const compared = beside.length / dim;
  const block = Math.max(1, Math.floor(MOST_COSINES / compared));
  for (let from = 0; from < words.length; from += PART) {
    const part = await encodeWords(encoder, words.slice(from, from + PART), templates, options, before + from, total);
    warnings.push(...part.warnings);
    // What the words are compared with takes the place of the labels.
    const other = { ...part, labels: Array<string>(compared).fill(''), yes: beside };
    for (let first = 0; first < part.labels.length; first += block) {
      const rows = part.yes.subarray(first * dim, (first + block) * dim);
      const some = part.labels.slice(first, first + block);
      const scored = await scoreOn(encoder.lane, rows, other, { topK: 0, scale: 1, logits: true, signal });
      kept.add(some, nearness(scored.logitsYes!, some), rows);
    }
    onProgress?.({ stage: 'words', done: before + Math.min(from + PART, words.length), total });
  }
  const yes = new Float32Array(kept.kept.length * dim);
  for (const [i, { row }] of kept.kept.entries()) yes.set(row, i * dim);
  const { name, sha256, templates: lines } = templates;
  return freezeBank(
    {
      labels: kept.kept.map(({ word }) => word),
      dim,
      yes,
      no: null,
      templates: { name, sha256, count: lines.length, lines },
      model: { contentId },
      truncated: [],
    },
    // What is said of one part's file holds for all: a cache that cannot be written, say.
    warnings.slice(0, 1),
  );
}
