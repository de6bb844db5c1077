/** `gate`: whether a batch of images may pass a pipeline. */
import { type Calibration, readCalibration } from '../../decide/calibration';
import { assertGateCanPass, type GateResult, gate } from '../../decide/gate';
import { findImages } from '../../images/find';
import { type Args, type Command, UsageError } from '../command';
import { exitCodeOf, type GateAnswer, gateSentence, junitOf, sarifOf } from '../gate-formats';
import { areTables, judgedIn } from '../judged-table';
import { bankSourceFrom, COMPARED_FLAGS, comparedFrom, DECODING_FLAGS, decodingFrom, modelFrom } from '../model-flags';
import { plainAnswer } from '../plain-answer';
import { resultTable } from '../result-table';
import { leftOut, note, Progress, say, sayJson } from '../terminal';

export const gateCommand: Command = {
  summary: 'Fail a pipeline when more images of a batch than may be belong to none of your classes.',
  usage:
    '(DIR... [--model M] (--labels A,B,C | --labels-file F | --bank F) | RESULTS.parquet...) --calibration C --max-out SHARE',
  operands: { least: 1, missing: 'no image given' },
  flags: {
    ...COMPARED_FLAGS,
    calibration: { value: 'F', doc: 'calibration file, whose verdicts are counted' },
    'max-out': { value: 'SHARE', doc: 'share of images that may be out, such as 10% or 0.1' },
    confidence: { value: 'C', number: true, doc: 'how sure a failure must be, default 0.95' },
    ...DECODING_FLAGS,
    json: { doc: 'one JSON object' },
    junit: { doc: "JUnit's XML" },
    sarif: { doc: 'SARIF 2.1.0' },
  },
  run,
};

/** What chooses a model and what it is asked. */
const NOT_FOR_TABLES = Object.keys({ ...COMPARED_FLAGS, ...DECODING_FLAGS });

const FORMATS = {
  json: (result: GateResult, answers: readonly GateAnswer[]) => sayJson(forMachines(result, answers)),
  junit: (result: GateResult, answers: readonly GateAnswer[]) => say(junitOf(result, answers)),
  sarif: (result: GateResult, answers: readonly GateAnswer[]) => sayJson(sarifOf(result, answers), 2),
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const [format, second] = (['json', 'junit', 'sarif'] as const).filter((each) => args.on(each));
  if (second !== undefined) throw new UsageError(`--${format} and --${second} exclude each other`);
  const maxOut = shareOf(args.required('max-out'));
  const calibration = await readCalibration(args.required('calibration'));
  assertGateCanPass(calibration, maxOut);
  const answers = areTables(args.operands)
    ? await readJudged(args, calibration, signal)
    : await judge(args, calibration, signal);
  const result = gate(answers, { maxOut, confidence: args.number('confidence') });
  if (format === undefined) say(forPeople(result, answers));
  else {
    FORMATS[format](result, answers);
    note(gateSentence(result));
  }
  return exitCodeOf(result);
}

/** Verdicts that a batch came to with this calibration. */
async function readJudged(args: Args, calibration: Calibration, signal: AbortSignal): Promise<GateAnswer[]> {
  for (const flag of NOT_FOR_TABLES) {
    if (args.has(flag)) throw new UsageError(`--${flag} goes with images: a table has its verdicts already`);
  }
  const answers: GateAnswer[] = [];
  for await (const answer of judgedIn(args.operands, calibration)) {
    signal.throwIfAborted();
    answers.push(answer);
  }
  return answers;
}

async function judge(args: Args, calibration: Calibration, signal: AbortSignal): Promise<GateAnswer[]> {
  const source = await bankSourceFrom(args);
  const images = await findImages(args.operands, leftOut);
  const progress = new Progress();
  await using model = await modelFrom(args, signal);
  const { bank, negatives } = await comparedFrom(args, source, model, progress, signal);
  const detector = await model.createDetector(bank, { ...decodingFrom(args), calibration, negatives });
  for (const warning of detector.warnings) note(`warning: ${warning}`);

  const answers: GateAnswer[] = [];
  for await (const answer of detector.stream(images, { signal })) {
    answers.push(answer);
    progress.show(`${answers.length} of ${images.length} images`);
  }
  progress.done();
  return answers;
}

/** 10% or 0.1. */
function shareOf(text: string): number {
  const number = text.endsWith('%') ? text.slice(0, -1) : text;
  const share = number.trim() === '' ? Number.NaN : Number(number) / (number === text ? 1 : 100);
  if (share >= 0 && share < 1) return share;
  throw new UsageError(`--max-out must be a share such as 10% or 0.1, not ${text}`);
}

const isIn = (answer: GateAnswer) => 'verdict' in answer && answer.verdict === 'in';

/** Images that are in are counted only. */
function forMachines(result: GateResult, answers: readonly GateAnswer[]): object {
  const notIn = answers
    .filter((answer) => !isIn(answer))
    .map((answer) => {
      if ('error' in answer) return plainAnswer(answer);
      const { image, verdict, label, nearestWord, pValue, quality } = answer;
      return { image, verdict, label, nearestWord, pValue, quality };
    });
  return { ...result, images: notIn };
}

function forPeople(result: GateResult, answers: readonly GateAnswer[]): string {
  const notIn = answers.filter((answer) => !isIn(answer));
  const listed = notIn.length === 0 ? '' : `${resultTable(notIn)}\n\n`;
  const { review, failures } = result;
  const more = [review > 0 && `review: ${review}`, failures > 0 && `could not be read: ${failures}`].filter(Boolean);
  return `${listed}${gateSentence(result)}${more.length > 0 ? ` Also ${more.join(', ')}.` : ''}`;
}
