/** From negative words to their rows: a list as it is, or WordNet's words mined for the labels. docs/scores.md */
import { ClipnError } from '../base/errors';
import { firstFew } from '../base/wording';
import { type LabelBank, selectRows } from '../labels/bank';
import {
  labelSetHash,
  type MinedNegatives,
  type NegativeWords,
  parseMinedNegatives,
  readNegatives,
} from '../scores/mined-negatives';
import { groupNegatives, type NegativeBank } from '../scores/negatives';
import { cleanText } from '../text/clean-text';
import { makeTemplateSet } from '../text/templates';
import {
  encodeWords,
  MINED_TEMPLATES,
  type NegativesOptions,
  type WordEncoder,
  wordsFarFromLabels,
} from './choose-words';
import type { ModelInfo } from './info';

/** Words as a caller may name them: also by the path of a file, or encoded by `model.createNegatives`. */
export type NegativesInput = NegativeWords | string | NegativeBank;

export const isNegativeBank = (words: NegativeWords | NegativeBank | undefined): words is NegativeBank =>
  typeof words === 'object' &&
  words !== null &&
  'rows' in words &&
  words.rows instanceof Float32Array &&
  Array.isArray(words.words) &&
  Array.isArray(words.groupEnds) &&
  typeof words.model === 'object';

/** Reads the file where a path is given. @throws ERR_CLIPN_IO, ERR_CLIPN_LABELS */
export async function readWords(input: NegativesInput): Promise<NegativeWords | NegativeBank> {
  return typeof input === 'string' && input !== 'wordnet' ? await readNegatives(input) : input;
}

/**
 * The templates that labels go through beside these words, when none are asked for: of a plain CLIP those of mined words,
 * so that like is compared with like. A no tower is used with the templates that it was taught with.
 */
export function labelTemplates(info: ModelInfo, words: NegativeWords | NegativeBank | undefined): string {
  const mined = words !== undefined && !Array.isArray(words) && !isNegativeBank(words);
  return mined && !info.hasNo ? MINED_TEMPLATES : info.config.templates;
}

/**
 * Rows of the words that count, in their groups.
 *
 * A list goes through the templates of the labels, as it is. Of WordNet those words are kept that are far from the labels
 * (mine-negatives.ts); like words mined with photos they go through the one sentence that they were mined in.
 *
 * @throws ERR_CLIPN_LABELS (no word but labels; words mined for other labels or another model), ERR_CLIPN_WORDNET, what
 *   encoding throws, or `signal.reason`
 */
export async function negativeBank(
  encoder: WordEncoder,
  labels: LabelBank,
  words: NegativeWords,
  options: NegativesOptions,
): Promise<NegativeBank> {
  if (words === 'wordnet') {
    const mined = await wordsFarFromLabels(encoder, labels.labels, options);
    return grouped(mined, groupNegatives(mined.labels, labels.labels), []);
  }
  const { name, lines, sha256 } = labels.templates;
  if (Array.isArray(words)) {
    const groups = groupNegatives(words, labels.labels);
    const templates = { name, templates: lines, sha256 };
    return grouped(await encodeWords(encoder, groups.groups.flat(), templates, options), groups, []);
  }
  const mined = parseMinedNegatives(words, 'the negatives');
  assertMinedFor(mined, labels);
  const groups = groupNegatives(mined.words, labels.labels, mined.groups);
  const templates = makeTemplateSet('mined', [mined.template]);
  return grouped(await encodeWords(encoder, groups.groups.flat(), templates, options), groups, mined.photos);
}

function assertMinedFor({ minedFor }: MinedNegatives, { model, labels }: LabelBank): void {
  const others = [
    ...(minedFor.contentId === model.contentId ? [] : ['another model']),
    ...(minedFor.labels === labelSetHash(labels) ? [] : ['other labels']),
  ];
  if (others.length === 0) return;
  throw new ClipnError('ERR_CLIPN_LABELS', `the negatives were mined for ${others.join(' and ')}`, {
    hint: 'Mine them again for what you use: `npx clipn-native negatives`, `mineNegatives` in code.',
  });
}

/** @throws ERR_CLIPN_BANK_MISMATCH, ERR_CLIPN_LABELS when these words were made beside other labels or by another model */
export function assertNegativesFit({ model, words }: NegativeBank, labels: LabelBank): void {
  if (model.contentId !== labels.model.contentId) {
    throw new ClipnError('ERR_CLIPN_BANK_MISMATCH', 'the negatives were made by another model');
  }
  const taken = new Set(labels.labels.map(cleanText));
  const both = words.filter((word) => taken.has(cleanText(word)));
  if (both.length > 0) throw new ClipnError('ERR_CLIPN_LABELS', `labels are among the negatives: ${firstFew(both)}`);
}

/** The rows of a bank in the order of the groups. */
function grouped(
  bank: LabelBank,
  { groups, dropped }: ReturnType<typeof groupNegatives>,
  photos: readonly string[],
): NegativeBank {
  const rowOf = new Map(bank.labels.map((word, row) => [word, row]));
  const words = groups.flat();
  const { yes: rows } = selectRows(
    bank,
    words.map((word) => rowOf.get(word)!),
  );
  let end = 0;
  const groupEnds = groups.map(({ length }) => {
    end += length;
    return end;
  });
  const { templates, model } = bank;
  // What a bank says of a single label does not hold for a word.
  const warnings = words.length === 1 ? [] : bank.warnings;
  return Object.freeze({
    words: Object.freeze(words),
    rows,
    groupEnds: Object.freeze(groupEnds),
    dropped,
    templates,
    model,
    photos: Object.freeze([...photos]),
    warnings,
  });
}
