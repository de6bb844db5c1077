/** `calibrate`: a folder of in-distribution images to a threshold that accepts a chosen share of such images. */

import { statSync } from 'node:fs';
import { ClipnError } from '../../base/errors';
import { saveCalibration } from '../../decide/calibration';
import { assertEnough, DEFAULT_TARGET } from '../../decide/conformal';
import { findImages } from '../../images/find';
import { type CalibrationRun, calibrate } from '../../model/calibrate';
import { DECIDING_SCORES, type DecidingScore } from '../../scores/names';
import type { Args, Command } from '../command';
import {
  BANK_FLAG,
  bankOptions,
  bankSourceFrom,
  comparedFrom,
  DECODING_FLAGS,
  decodingFrom,
  LABEL_FLAGS,
  MODEL_FLAGS,
  modelFrom,
  NEGATIVES_FLAG,
} from '../model-flags';
import { leftOut, note, Progress } from '../terminal';

export const calibrateCommand: Command = {
  summary: 'Fit a threshold that accepts a chosen share of your own images, for `check --calibration`.',
  usage: '--id DIR --out FILE [--model M] (--labels A,B,C | --labels-file F | --bank F) [--negatives W]',
  operands: 'none',
  flags: {
    ...MODEL_FLAGS,
    ...LABEL_FLAGS,
    ...BANK_FLAG,
    ...NEGATIVES_FLAG,
    id: { value: 'DIR', doc: 'folder of in-distribution images, with or without subfolders' },
    target: { value: 'T', number: true, doc: 'share of such images to accept on average, default 0.95' },
    score: {
      value: 'S',
      choices: DECIDING_SCORES,
      doc: 'score that will decide, default atd; of a plain CLIP with --negatives negLabel',
    },
    out: { value: 'FILE', doc: 'calibration file to write' },
    ...DECODING_FLAGS,
    json: { doc: 'one JSON object' },
  },
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const [folder, out] = [args.required('id'), args.required('out')];
  const source = await bankSourceFrom(args);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new ClipnError('ERR_CLIPN_IMAGE_NOT_FOUND', `there is no folder ${folder}`);
  }
  const images = await findImages([folder], leftOut);
  const target = args.number('target') ?? DEFAULT_TARGET;
  assertEnough(images.length, target);
  const progress = new Progress();
  await using model = await modelFrom(args, signal);
  const { bank, negatives } = await comparedFrom(args, source, model, bankOptions(args, progress, signal));
  progress.done();
  const fitted = await calibrate(model, bank, images, {
    score: args.text('score') as DecidingScore | undefined,
    negatives,
    target,
    ...decodingFrom(args),
    signal,
    onProgress: (done) => progress.show(`${done} of ${images.length} images`),
  })
    .catch((error: unknown) => {
      if (error instanceof ClipnError) tellUnreadable((error.details['unreadable'] ?? []) as Unreadable);
      throw error;
    })
    .finally(() => progress.done());
  for (const warning of fitted.warnings) note(`warning: ${warning}`);
  tellUnreadable(fitted.unreadable);
  await saveCalibration(fitted.calibration, out);
  process.stdout.write(args.on('json') ? `${JSON.stringify(forMachines(fitted, out))}\n` : forPeople(fitted, out));
  return fitted.unreadable.length > 0 ? 1 : 0;
}

type Unreadable = CalibrationRun['unreadable'];

function tellUnreadable(unreadable: Unreadable): void {
  for (const { error } of unreadable) note(`${error.code}: ${error.message}`);
  if (unreadable.length > 0) note(`left out, for they cannot be read: ${unreadable.length}`);
}

function forMachines({ calibration, accepted, tied, unreadable }: CalibrationRun, file: string): object {
  const listed = unreadable.map(({ image, error: { code, message } }) => ({ image, error: { code, message } }));
  return { file, ...calibration, accepted, tied, unreadable: listed };
}

function forPeople({ calibration, accepted, tied }: CalibrationRun, file: string): string {
  const { score, target, images, in: threshold } = calibration;
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const lines = [
    `${file}: in when ${score} >= ${threshold}`,
    `fitted on ${images} images, of which it accepts ${accepted}; of new ones like them ${percent(target)} on average, at least`,
  ];
  if (tied > 1) lines.push(`${tied} images lie exactly on the threshold: more than that may be accepted`);
  return `${lines.join('\n')}\n`;
}
