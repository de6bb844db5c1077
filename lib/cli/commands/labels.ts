/** `labels`: class names to a label bank file, or what is amiss with the names. */
import { saveLabelBank } from '../../labels/bank-file';
import { bankWarnings, ruleWarningOf } from '../../model/bank-warnings';
import { lintLabels } from '../../model/lint-labels';
import type { Model } from '../../model/model';
import { type Args, type Command, UsageError } from '../command';
import { formatLint } from '../lint-text';
import { bankOptions, LABEL_FLAGS, labelsFrom, MODEL_FLAGS, modelFrom, NEGATIVES_FLAG } from '../model-flags';
import { note, Progress, say, sayJson } from '../terminal';

export const labelsCommand: Command = {
  summary: 'Encode class names once and save them as a label bank, for `check --bank`; or look for bad names (--lint).',
  usage: '(OUT | --lint [--negatives W]) [--model M] (--labels A,B,C | --labels-file F)',
  operands: { least: 0, most: 1, missing: '' },
  flags: {
    ...MODEL_FLAGS,
    ...LABEL_FLAGS,
    lint: { doc: 'write nothing; tell of names that will give trouble' },
    ...NEGATIVES_FLAG,
    json: { doc: 'one JSON object' },
  },
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const [out] = args.operands;
  const lint = args.on('lint');
  if (out === undefined && !lint) throw new UsageError('give one file to write, e.g. bank.safetensors, or --lint');
  if (out !== undefined && lint) throw new UsageError('--lint writes nothing: leave out the file');
  if (args.text('negatives') !== undefined && !lint) throw new UsageError('--negatives is for --lint');
  const labels = await labelsFrom(args);
  if (labels === undefined) throw new UsageError('give --labels or --labels-file');
  await using model = await modelFrom(args, signal);
  return await (lint ? tell(args, model, labels, signal) : save(args, model, labels, out!, signal));
}

async function save(args: Args, model: Model, labels: string[], out: string, signal: AbortSignal): Promise<number> {
  const progress = new Progress();
  const bank = await model.createLabelBank(labels, bankOptions(args, progress, signal));
  progress.done();
  const few = ruleWarningOf(bank);
  for (const warning of [...bankWarnings(model.info, bank), ...(few === undefined ? [] : [few])]) {
    note(`warning: ${warning}`);
  }
  await saveLabelBank(bank, out);
  const { name, count, sha256: templates } = bank.templates;
  const labelCount = bank.labels.length;
  if (args.on('json')) sayJson({ out, labels: labelCount, dim: bank.dim, templates });
  else say(`${out}: ${labelCount} labels, ${count} templates (${name})`);
  return 0;
}

async function tell(args: Args, model: Model, labels: string[], signal: AbortSignal): Promise<number> {
  const progress = new Progress();
  const options = { ...bankOptions(args, progress, signal), negatives: args.text('negatives') };
  const found = await lintLabels(model, labels, options).finally(() => progress.done());
  if (args.on('json')) sayJson(found);
  else say(formatLint(found, labels.length));
  return 0;
}
