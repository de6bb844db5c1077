/**
 * transformers.js's zero-shot-image-classification pipeline on images, as its users call it. Prints one JSON value: its
 * answers, an array of all labels by falling score for each image, or what is missing.
 *
 *   zero_shot.ts --files FOLDER --model NAME --labels a,b --template T IMAGE…
 */
import { parseArgs } from 'node:util';
import type { Missing } from './serve';
import { optionalPeer } from './serve';

export interface ZeroShotAnswers {
  version: string;
  answers: { label: string; score: number }[][];
}

type Classifier = (
  images: string[],
  labels: string[],
  options: { hypothesis_template: string },
) => Promise<ZeroShotAnswers['answers']>;
interface Transformers {
  env: { localModelPath: string; allowRemoteModels: boolean; version: string };
  pipeline(task: 'zero-shot-image-classification', model: string, options: { dtype: 'fp32' }): Promise<Classifier>;
}

async function main(): Promise<void> {
  const text = { type: 'string', default: '' } as const;
  const { values, positionals } = parseArgs({
    options: { files: text, model: text, labels: text, template: text },
    allowPositionals: true,
  });
  const hf = optionalPeer<Transformers>('@huggingface/transformers');
  hf.env.localModelPath = values.files;
  hf.env.allowRemoteModels = false;
  const classifier = await hf.pipeline('zero-shot-image-classification', values.model, { dtype: 'fp32' });
  const options = { hypothesis_template: values.template };
  const answers = await classifier(positionals, values.labels.split(','), options);
  const said: ZeroShotAnswers | Missing = { version: hf.env.version, answers };
  process.stdout.write(`${JSON.stringify(said)}\n`);
}

main();
