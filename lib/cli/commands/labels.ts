/** `labels`: class names to a label bank file. */

import { saveLabelBank } from '../../labels/bank-file';
import { bankWarnings } from '../../model/bank-warnings';
import { type Args, type Command, UsageError } from '../command';
import { bankOptions, LABEL_FLAGS, labelsFrom, MODEL_FLAGS, modelFrom } from '../model-flags';
import { note, Progress, say, sayJson } from '../terminal';

export const labelsCommand: Command = {
  summary: 'Encode class names once and save them as a label bank, for `check --bank` and image-only models.',
  usage: 'OUT [--model M] (--labels A,B,C | --labels-file F)',
  operands: { least: 1, most: 1, missing: 'give one file to write, e.g. bank.safetensors' },
  flags: { ...MODEL_FLAGS, ...LABEL_FLAGS, json: { doc: 'one JSON object' } },
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const [out] = args.operands as [string];
  const labels = await labelsFrom(args);
  if (labels === undefined) throw new UsageError('give --labels or --labels-file');
  const progress = new Progress();
  await using model = await modelFrom(args, signal);
  const bank = await model.createLabelBank(labels, bankOptions(args, progress, signal));
  progress.done();
  for (const warning of bankWarnings(model.info, bank)) note(`warning: ${warning}`);
  await saveLabelBank(bank, out);
  const { name, count, sha256: templates } = bank.templates;
  const labelCount = bank.labels.length;
  if (args.on('json')) sayJson({ out, labels: labelCount, dim: bank.dim, templates });
  else say(`${out}: ${labelCount} labels, ${count} templates (${name})`);
  return 0;
}
