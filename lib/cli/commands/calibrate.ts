/** `calibrate`: a folder of in-distribution images to a threshold that accepts a chosen share of such images. */
import { ClipnError } from '../../base/errors';
import { percent } from '../../base/wording';
import { type FittedCalibration, saveCalibration } from '../../decide/calibration';
import { assertEnough } from '../../decide/conformal';
import { promiseOf, type ThresholdOptions } from '../../decide/fit-thresholds';
import { findImages, statUnlessAbsent } from '../../images/find';
import { type CalibrationRun, calibrate } from '../../model/calibrate';
import { DECIDING_SCORES, type DecidingScore } from '../../scores/names';
import { type Args, type Command, UsageError } from '../command';
import { bankSourceFrom, COMPARED_FLAGS, comparedFrom, DECODING_FLAGS, decodingFrom, modelFrom } from '../model-flags';
import { plainAnswer } from '../plain-answer';
import { leftOut, note, Progress, say, sayJson } from '../terminal';

export const calibrateCommand: Command = {
  summary: 'Fit a threshold that accepts a chosen share of your own images, for `check --calibration`.',
  usage: '--id DIR --out FILE [--model M] (--labels A,B,C | --labels-file F | --bank F) [--negatives W]',
  operands: 'none',
  flags: {
    ...COMPARED_FLAGS,
    id: { value: 'DIR', doc: 'folder of in-distribution images, with or without subfolders' },
    target: { value: 'T', number: true, doc: 'share of such images that must not be out, default 0.95' },
    confidence: { value: 'C', number: true, doc: 'how sure the target is, e.g. 0.95; on average when absent' },
    review: { value: 'R', number: true, doc: 'share of such images to look at instead, verdict review; default none' },
    'class-conditional': { doc: 'a threshold for each class, from half of the images' },
    ood: { value: 'DIR', doc: 'images of none of the classes: tells how many are accepted' },
    cost: {
      value: 'A:R',
      doc: 'with --ood, instead of --target: cost of a wrong accept and of a wrong reject, e.g. 5:1',
    },
    'ood-share': { value: 'S', number: true, doc: 'with --cost: share of such images among those to come' },
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
  const thresholds = thresholdOptions(args);
  const promised = promiseOf(thresholds);
  const images = await imagesOf(folder);
  if (promised) assertEnough(images.length, promised, { halves: thresholds.classConditional });
  const oodFolder = args.text('ood');
  const ood = oodFolder === undefined ? undefined : await imagesOf(oodFolder);
  const total = images.length + (ood?.length ?? 0);
  const progress = new Progress();
  await using model = await modelFrom(args, signal);
  const { bank, negatives } = await comparedFrom(args, source, model, progress, signal);
  const fitted = await calibrate(model, bank, images, {
    score: args.text('score') as DecidingScore | undefined,
    negatives,
    ...thresholds,
    ood,
    ...decodingFrom(args),
    signal,
    onProgress: (done) => progress.show(`${done} of ${total} images`),
  })
    .catch((error: unknown) => {
      if (error instanceof ClipnError) tellUnreadable((error.details['unreadable'] ?? []) as Unreadable);
      throw error;
    })
    .finally(() => progress.done());
  for (const warning of fitted.warnings) note(`warning: ${warning}`);
  tellUnreadable(fitted.unreadable);
  await saveCalibration(fitted.calibration, out);
  if (args.on('json')) sayJson(forMachines(fitted, out));
  else say(forPeople(fitted, out));
  return fitted.unreadable.length > 0 ? 1 : 0;
}

async function imagesOf(folder: string): Promise<string[]> {
  if (!(await statUnlessAbsent(folder))?.isDirectory()) {
    throw new ClipnError('ERR_CLIPN_IMAGE_NOT_FOUND', `there is no folder ${folder}`);
  }
  return await findImages([folder], leftOut);
}

function thresholdOptions(args: Args): ThresholdOptions {
  const [cost, oodShare] = [args.text('cost'), args.number('ood-share')];
  if ((cost === undefined) !== (oodShare === undefined)) throw new UsageError('--cost and --ood-share go together');
  if (cost !== undefined && args.text('ood') === undefined) throw new UsageError('--cost needs --ood');
  const [falseAccept, falseReject, ...more] = (cost ?? '').split(':').map(Number);
  const numbers = [falseAccept, falseReject].every((each) => each !== undefined && each > 0);
  if (cost !== undefined && (!numbers || more.length > 0)) {
    throw new UsageError(`--cost must be two numbers such as 5:1, not ${cost}`);
  }
  return {
    target: args.number('target'),
    confidence: args.number('confidence'),
    review: args.number('review'),
    classConditional: args.on('class-conditional'),
    ...(cost !== undefined && { cost: { falseAccept: falseAccept!, falseReject: falseReject!, oodShare: oodShare! } }),
  };
}

type Unreadable = CalibrationRun['unreadable'];

function tellUnreadable(unreadable: Unreadable): void {
  for (const { error } of unreadable) note(`${error.code}: ${error.message}`);
  if (unreadable.length > 0) note(`left out, for they cannot be read: ${unreadable.length}`);
}

function forMachines({ calibration, accepted, tied, ood, unreadable }: CalibrationRun, file: string): object {
  // The scores are in the file.
  const { scores: _, ...rest } = calibration;
  return { file, ...rest, accepted, tied, ...(ood && { ood }), unreadable: unreadable.map(plainAnswer) };
}

function forPeople({ calibration, accepted, tied, ood }: CalibrationRun, file: string): string {
  const { score, images, scores, offsets, in: threshold, out } = calibration;
  const compared = offsets ? `${score}, less the offset of the class,` : score;
  const review = out < threshold ? `, out when below ${out}, review between` : '';
  const halves = offsets ? `, ${scores.length} of them for the threshold` : '';
  const lines = [
    `${file}: in when ${compared} >= ${threshold}${review}`,
    `Fitted on ${images} images${halves}: ${accepted} are in. ${promiseInWords(calibration)}`,
  ];
  if (tied > 1) lines.push(`${tied} images lie exactly on the threshold: more than promised may be accepted.`);
  if (ood) {
    const { low, high } = ood.interval;
    lines.push(
      `Price: of ${ood.images} images of none of the classes ${ood.accepted} are in, ${percent(ood.share)} (95 % interval ` +
        `${percent(low)} to ${percent(high)}).`,
    );
  } else lines.push('How many images of none of your classes it lets in is not known: give some with --ood.');
  return lines.join('\n');
}

function promiseInWords({ target, confidence, review, cost }: FittedCalibration): string {
  if (target === undefined) {
    return `Cheapest at ${cost!.falseAccept}:${cost!.falseReject} on the images given; it promises nothing of new ones.`;
  }
  const sure = confidence === undefined ? 'on average at least' : `with ${percent(confidence)} confidence at least`;
  const rest = review === undefined ? 'in' : `in or review (review: ${percent(review)})`;
  return `Of new ones like them ${sure} ${percent(target)} are ${rest}.`;
}
