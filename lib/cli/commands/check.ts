/** `check`: images to verdicts. */
import { basename } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { ClipnError } from '../../base/errors';
import { firstFew } from '../../base/wording';
import { type Calibration, readCalibration } from '../../decide/calibration';
import { imagesNeeded, select } from '../../decide/select';
import { findImages } from '../../images/find';
import type { CheckFailure, CheckResult } from '../../model/detector';
import { DECIDING_SCORES, type DecidingScore } from '../../scores/names';
import { type Args, type Command, UsageError } from '../command';
import { bankSourceFrom, COMPARED_FLAGS, comparedFrom, DECODING_FLAGS, decodingFrom, modelFrom } from '../model-flags';
import { plainAnswer } from '../plain-answer';
import { resultTable } from '../result-table';
import { leftOut, note, Progress, say, sayJson } from '../terminal';
import { mapName, writeMap } from '../why-maps';

type Answer = CheckResult | CheckFailure;

/** As an operand: the image comes on standard input. */
const STANDARD_INPUT = '-';

export const checkCommand: Command = {
  summary: 'Tell for each image which of your classes it belongs to, or that it belongs to none.',
  usage: '(IMAGE | -)... [--model M] (--labels A,B,C | --labels-file F | --bank F) [--negatives W]',
  operands: { least: 1, missing: 'no image given' },
  flags: {
    ...COMPARED_FLAGS,
    score: {
      value: 'S',
      choices: DECIDING_SCORES,
      doc: 'score that decides, default atd; of a plain CLIP with --negatives the nearest decides',
    },
    threshold: { value: 'X', number: true, doc: "in when the score is at least X; the paper's rule when absent" },
    calibration: { value: 'F', doc: 'calibration file: in, out or review' },
    alpha: {
      value: 'A',
      number: true,
      doc: 'with --calibration: flag images so that at most this share of the flagged is of your classes',
    },
    ...DECODING_FLAGS,
    present: { value: 'P', number: true, doc: 'also every class whose own p_yes is at least P, for images of several' },
    top: { value: 'K', number: true, doc: 'entries of the top list, default 5' },
    why: { doc: 'also why: a sentence below each image; with --json labels, margin and map, too' },
    'why-maps': { value: 'DIR', doc: 'also a PNG an image: where in it yes is ahead of no (implies --why)' },
    json: { doc: 'one JSON object a line' },
    trace: { doc: 'also logits, the hash of the pixels seen, and the feature (implies --json)' },
  },
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const source = await bankSourceFrom(args);
  const calibrationPath = args.text('calibration');
  const calibration = calibrationPath === undefined ? undefined : await readCalibration(calibrationPath);
  const alpha = args.number('alpha');
  if (alpha !== undefined) assertFlaggable(alpha, calibration);
  const images = await findImages(args.operands, leftOut);
  const progress = new Progress();
  await using model = await modelFrom(args, signal);
  const { bank, negatives } = await comparedFrom(args, source, model, progress, signal);
  const trace = args.on('trace');
  const detector = await model.createDetector(bank, { ...detectorOptions(args, calibration, trace), negatives });
  for (const warning of detector.warnings) note(`warning: ${warning}`);

  const json = trace || args.on('json');
  const results: Answer[] = [];
  let failed = false;
  let done = 0;
  const maps = args.text('why-maps');
  const why = maps !== undefined || args.on('why');
  // A map is drawn over the image after it was judged: a stream could not be read again.
  const standardInput =
    maps !== undefined && images.includes(STANDARD_INPUT)
      ? await buffer(addAbortSignal(signal, process.stdin))
      : process.stdin;
  const inputs = images.map((path) => (path === STANDARD_INPUT ? standardInput : path));
  for await (const answer of detector.stream(inputs, { why, signal })) {
    if (maps !== undefined && 'why' in answer && answer.why !== undefined) {
      const { map, mapAbsent } = answer.why;
      if (map) await writeMap(maps, mapName(done, images[done]!), inputs[done]!, map, decodingFrom(args));
      else if (done === 0) note(`no maps: ${mapAbsent}`);
    }
    const result = { ...answer, image: answer.image ?? STANDARD_INPUT };
    failed ||= 'error' in result;
    if (json && alpha === undefined) sayJson(plainAnswer(result));
    else results.push(result);
    progress.show(`${++done} of ${images.length} images`);
  }
  progress.done();
  if (!json) say(resultTable(results));
  if (alpha !== undefined) tellFlagged(results, alpha, json, calibration!);
  return failed ? 1 : 0;
}

/** @throws what `select` would throw after all images are judged */
function assertFlaggable(alpha: number, calibration: Calibration | undefined): void {
  if (calibration === undefined) throw new UsageError('--alpha needs --calibration');
  if (!(alpha > 0 && alpha < 1)) throw new UsageError(`--alpha must lie between 0 and 1, not be ${alpha}`);
  if (calibration.formatVersion === 3) return;
  throw new ClipnError('ERR_CLIPN_CALIBRATION', '--alpha needs p-values, and the calibration holds no scores', {
    hint: 'Use one of `calibrate`; one written by hand, or by an earlier version, has none.',
  });
}

/** Which images of the batch are flagged: lines of JSON with `flagged`, or a sentence. */
function tellFlagged(results: readonly Answer[], alpha: number, json: boolean, calibration: Calibration): void {
  const { flagged, judged } = select(results, { alpha });
  if (json) {
    const indices = new Set(flagged);
    for (const [i, result] of results.entries()) sayJson({ ...plainAnswer(result), flagged: indices.has(i) });
    return;
  }
  const share = `${Number((100 * alpha).toFixed(4))} %`;
  const names = firstFew(flagged.map((i) => basename(results[i]!.image!)));
  const told = flagged.length === 0 ? '' : `: ${names}`;
  say(
    `\nFlagged: ${flagged.length} of ${judged}${told}. Of images flagged so, at most ${share} are of your classes, on average.`,
  );
  if (flagged.length > 0 || judged === 0 || calibration.formatVersion !== 3) return;
  const has = calibration.images;
  // With offsets half of the images give p-values.
  const needed = imagesNeeded({ images: judged, flagged: 1, alpha }) * (calibration.offsets ? 2 : 1);
  if (has < needed) {
    note(
      `to flag one image of ${judged} takes a calibration on ${needed} images; this one has ${has} (docs/calibration.md)`,
    );
  }
}

function detectorOptions(args: Args, calibration: Calibration | undefined, trace: boolean) {
  return {
    ...decodingFrom(args),
    trace,
    topK: args.number('top'),
    present: args.number('present'),
    threshold: args.number('threshold'),
    score: args.text('score') as DecidingScore | undefined,
    calibration,
  };
}
