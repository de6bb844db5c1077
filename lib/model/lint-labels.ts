/** Looks for labels that will give trouble, before an image is asked about. docs/label-lint.md */
import { assertArguments, assertOptionNames, optionsNamed } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { firstFew } from '../base/wording';
import imagenet from '../data/imagenet-classnames.json';
import type { LabelBank } from '../labels/bank';
import type { LabelFinding } from '../labels/label-finding';
import { lintNames } from '../labels/lint-names';
import { type NounKinds, readNounKinds } from '../labels/wordnet-kinds';
import type { NegativeBank } from '../scores/negatives';
import { cleanText } from '../text/clean-text';
import { loadTemplates, makeTemplateSet } from '../text/templates';
import { unknownLabels, vocabularyWarning } from '../weights/vocabulary';
import { MINED_TEMPLATES, NEGATIVES_OPTIONS, type NegativesOptions } from './choose-words';
import { MOVES, movements, nearGroups, nearWords, usualDistance } from './label-distances';
import type { Model } from './model';
import type { NegativesInput } from './negatives';
import { LABEL_BANK_OPTIONS, type LabelBankOptions } from './options';

/** Options of `lintLabels`. */
export interface LintOptions extends LabelBankOptions {
  /** Words that are none of the labels, as for `createDetector`: looked through, too. Default none. */
  negatives?: NegativesInput | undefined;
}

/** What `lintLabels` found. */
export interface LabelLint {
  /** What is amiss; empty when nothing was found. */
  findings: LabelFinding[];
  /** What was not looked at, and why. */
  skipped: string[];
}

/** Single templates that are tried: of a larger set these many, evenly spread. */
const MOST_TEMPLATES = 16;
/** Names between which the usual distance is measured: of ImageNet's classes every sixteenth. */
const REFERENCE = imagenet.filter((_, i) => i % 16 === 0);

const quoted = (label: string) => JSON.stringify(label);

/**
 * Looks through labels, and the negative words beside them, for what will give trouble: names that the model can hardly tell
 * apart, names that hang on their template, words that are kinds of a label, sentences and the like.
 *
 * @throws ERR_CLIPN_LABELS, ERR_CLIPN_TEMPLATES, ERR_CLIPN_MODEL_CONTRACT (a model without text tower), what reading the
 *   negatives throws, or `signal.reason`
 */
export async function lintLabels(
  model: Model,
  labels: readonly string[],
  options: LintOptions = {},
): Promise<LabelLint> {
  assertArguments({ model: ['model', model], labels: ['list', labels], options: ['options', options] });
  assertOptionNames('lintLabels', options, { ...LABEL_BANK_OPTIONS, negatives: true });
  const { negatives: input, ...encoding } = options;
  const bank = await model.createLabelBank(labels, encoding);
  const negatives =
    input === undefined
      ? undefined
      : await model.createNegatives(bank, input, optionsNamed<NegativesOptions>(NEGATIVES_OPTIONS, encoding));
  const skipped: string[] = [];
  const kinds = await nounKinds(skipped);
  const findings = lintNames(labels);
  const names = [...new Set(labels)];
  findings.push(...neverLearnt(model, names));
  if (kinds !== undefined) findings.push(...byWordNet(names, kinds));
  const near = await hardlyApart(model, bank, encoding);
  const moved = await byTemplate(model, bank, encoding, skipped);
  // Beside a label that is near every movement is large, and that label is told of.
  const told = new Set(near.flatMap((finding) => finding.labels));
  findings.push(...near, ...moved.filter((finding) => !told.has(finding.labels[0]!)));
  if (negatives !== undefined) findings.push(...(await amongWords(model, bank, negatives, kinds, encoding, skipped)));
  return { findings, skipped };
}

function neverLearnt({ info }: Model, names: readonly string[]): LabelFinding[] {
  const { vocabulary } = info.config;
  const advice = vocabularyWarning(vocabulary, names);
  if (advice === undefined) return [];
  const labels = unknownLabels(vocabulary, names);
  return [{ kind: 'unknown', labels, value: labels.length, advice }];
}

async function nounKinds(skipped: string[]): Promise<NounKinds | undefined> {
  try {
    return await readNounKinds();
  } catch (error) {
    if (!(error instanceof ClipnError)) throw error;
    skipped.push(`kinds of labels, since ${error.message}: ${error.hint}`);
    return undefined;
  }
}

function byWordNet(names: readonly string[], kinds: NounKinds): LabelFinding[] {
  const findings: LabelFinding[] = [];
  for (const [i, name] of names.entries()) {
    for (const [j, other] of names.entries()) {
      if (i === j || cleanText(name) === cleanText(other)) continue;
      const relation = kinds.relation(name, other);
      const pair = { labels: [name, other], value: 1 };
      if (relation === 'same' && i < j) {
        const advice = `${quoted(name)} and ${quoted(other)} are names of one thing: leave one.`;
        findings.push({ kind: 'synonyms', ...pair, advice });
      } else if (relation === 'kind') {
        const advice = `${quoted(name)} is a kind of ${quoted(other)}, so that its photos fit both: leave one, or name the other kinds instead of ${quoted(other)}.`;
        findings.push({ kind: 'kind', ...pair, advice });
      }
    }
  }
  return findings;
}

/** The usual distance between names, in the templates of a bank. */
async function usual(model: Model, { templates: { name, lines, sha256 } }: LabelBank, options: LabelBankOptions) {
  const templates = { name, templates: lines, sha256 };
  return usualDistance(await model.createLabelBank(REFERENCE, { ...options, templates, yesOnly: true }));
}

/** @internal Labels that this model can hardly tell apart, in groups. */
export async function hardlyApart(model: Model, bank: LabelBank, options: LabelBankOptions): Promise<LabelFinding[]> {
  if (bank.labels.length < 2) return [];
  const groups = nearGroups(bank, await usual(model, bank, options));
  return groups.map(({ rows, value }) => {
    const labels = rows.map((row) => bank.labels[row]!);
    const share = `${Math.round(100 * value)} %`;
    const advice = `${firstFew(labels.map(quoted))} lie at ${share} of the usual distance between names, so that this model can hardly tell them apart: leave one, or reword them.`;
    return { kind: 'near', labels, value, advice };
  });
}

async function byTemplate(
  model: Model,
  bank: LabelBank,
  options: LabelBankOptions,
  skipped: string[],
): Promise<LabelFinding[]> {
  if (new Set(bank.labels).size < 2) return [];
  const { lines } = bank.templates;
  if (lines.length < 2) {
    skipped.push('how far labels hang on their template, since there is a single one');
    return [];
  }
  const count = Math.min(MOST_TEMPLATES, lines.length);
  const singles: LabelBank[] = [];
  for (let i = 0; i < count; i++) {
    const templates = makeTemplateSet('one', [lines[Math.floor((i * lines.length) / count)]!]);
    singles.push(await model.createLabelBank(bank.labels, { ...options, templates, cache: false, yesOnly: true }));
  }
  const moved = movements(bank, singles);
  return bank.labels.flatMap((label, row) => {
    const value = moved[row]!;
    if (!(value >= MOVES) || bank.labels.indexOf(label) !== row) return [];
    const share = `${Math.round(100 * value)} %`;
    const advice = `${quoted(label)} moves with the sentence it is put into, by ${share} of the way to the nearest label: take a more common name.`;
    return [{ kind: 'template' as const, labels: [label], value, advice }];
  });
}

async function amongWords(
  model: Model,
  bank: LabelBank,
  negatives: NegativeBank,
  kinds: NounKinds | undefined,
  options: LabelBankOptions,
  skipped: string[],
): Promise<LabelFinding[]> {
  const beside = await besideWords(model, bank, negatives, options);
  if (beside === undefined) skipped.push('how near the words are, since they went through templates of their own');
  const near = beside && nearWords(beside, negatives.rows, await usual(model, beside, options));
  return bank.labels.flatMap((label, row) => {
    if (bank.labels.indexOf(label) !== row) return [];
    const isNear = new Set(near?.[row]);
    const words = negatives.words.filter((word, i) => isNear.has(i) || kinds?.relation(word, label) !== undefined);
    if (words.length === 0) return [];
    const them = words.length === 1 ? 'is' : 'are';
    const advice = `${firstFew(words.map(quoted))} among the negatives ${them} near ${quoted(label)} or a kind of it, and will take its photos: leave ${words.length === 1 ? 'it' : 'them'} out.`;
    return [{ kind: 'negatives' as const, labels: [label], words, value: words.length, advice }];
  });
}

/** The labels in the templates of the words; undefined where these are not known. */
async function besideWords(
  model: Model,
  bank: LabelBank,
  { templates }: NegativeBank,
  options: LabelBankOptions,
): Promise<LabelBank | undefined> {
  if (templates.sha256 === bank.templates.sha256) return bank;
  const mined = await loadTemplates(MINED_TEMPLATES);
  if (templates.sha256 !== mined.sha256) return undefined;
  return await model.createLabelBank(bank.labels, { ...options, templates: MINED_TEMPLATES, yesOnly: true });
}
