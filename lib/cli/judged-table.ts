/** Verdicts that are in a table already: Parquet files of a batch (docs/batch.md), as answers. */
import { ClipnError, type ClipnErrorCode } from '../base/errors';
import { isParquet, openParquetTable, parquetRows, tableError } from '../base/parquet-rows';
import type { Calibration } from '../decide/calibration';
import { decide } from '../decide/rule';
import type { CheckResult } from '../model/detector';
import { DECIDING_SCORES, type Scores } from '../scores/names';
import { UsageError } from './command';
import type { GateAnswer } from './gate-formats';

const NEEDED = ['image', 'verdict', 'rule', 'label', 'error'];
const SCORES = [...DECIDING_SCORES, 'logPOut'] as const;
const OTHERS = ['message', 'nearestWord', 'p', 'pYes', 'pValue', 'quality', ...SCORES];
const VERDICTS: readonly unknown[] = ['in', 'out', 'review'];

/** Whether these operands are tables, not images. @throws UsageError for both together */
export function areTables(operands: readonly string[]): boolean {
  const tables = operands.filter(isParquet).length;
  if (tables === 0) return false;
  if (tables === operands.length) return true;
  throw new UsageError('either images or .parquet files of a batch, not both');
}

/**
 * Answers in order. Only verdicts of this calibration are taken: it says what their shares mean.
 *
 * @throws ERR_CLIPN_SCORES naming file and row or column; ERR_CLIPN_CALIBRATION for a verdict that it does not give;
 *   ERR_CLIPN_IO
 */
export async function* judgedIn(files: readonly string[], calibration: Calibration): AsyncGenerator<GateAnswer> {
  for (const path of files) {
    try {
      const table = await openParquetTable(path);
      const names = table.columns.map(({ element }) => element.name);
      const missing = NEEDED.find((name) => !names.includes(name));
      if (missing !== undefined) throw refused(path, `there is no column ${missing}: it is no result of a batch`);
      let row = 0;
      for await (const values of parquetRows(table, [...NEEDED, ...OTHERS.filter((name) => names.includes(name))])) {
        const where = `${path}, row ${++row}`;
        const answer = answerOf(values, where);
        assertJudgedBy(calibration, answer, where);
        yield answer;
      }
    } catch (cause) {
      throw tableError(path, cause, 'ERR_CLIPN_SCORES');
    }
  }
}

const refused = (where: string, what: string) =>
  new ClipnError('ERR_CLIPN_SCORES', `${where}: ${what}`, {
    hint: 'Give results.parquet, and dead.parquet for what could not be read, of `clipn-native-serve collect`.',
  });

function answerOf(row: Record<string, unknown>, where: string): GateAnswer {
  const text = (name: string) => (typeof row[name] === 'string' ? row[name] : undefined);
  const number = (name: string) => (typeof row[name] === 'number' ? row[name] : Number.NaN);
  const image = text('image') ?? '';
  const code = text('error');
  if (code !== undefined) return { image, error: errorOf(code, text('message') ?? '') };
  const verdict = row['verdict'];
  const label = text('label');
  if (!VERDICTS.includes(verdict) || label === undefined) throw refused(where, 'it has no verdict and no error');
  if (row['rule'] !== 'calibrated') {
    throw refused(where, `its verdict is that of the rule ${row['rule']}, not of a calibration`);
  }
  const pValue = number('pValue');
  return {
    image,
    label,
    verdict: verdict as CheckResult['verdict'],
    rule: 'calibrated',
    scores: Object.fromEntries(SCORES.map((name) => [name, number(name)])) as Scores,
    top: [{ label, p: number('p'), pYes: number('pYes') }],
    ...(text('nearestWord') !== undefined && { nearestWord: text('nearestWord') }),
    ...(!Number.isNaN(pValue) && { pValue }),
    ...(text('quality') !== undefined && { quality: text('quality') as CheckResult['quality'] }),
  };
}

/** Tables keep scores in fp32, so that the one that decided is within this share of what stands there. */
const ROUNDING = 2 ** -24;

/**
 * Whether the calibration gives this verdict to the score that stands beside it. Where classes have thresholds of their own
 * that cannot be told: a table names labels, and a calibration counts them.
 */
function assertJudgedBy(calibration: Calibration, answer: GateAnswer, where: string): void {
  if ('error' in answer || ('offsets' in calibration && calibration.offsets !== undefined)) return;
  const { score: name } = calibration;
  const score = answer.scores[name];
  const other = (what: string) =>
    new ClipnError('ERR_CLIPN_CALIBRATION', `${where}: its verdict is not one of this calibration: ${what}`, {
      hint: 'Give the calibration that the batch was judged with, or judge the images with this one.',
    });
  if (score === undefined || Number.isNaN(score)) throw other(`there is no score ${name}`);
  const possible = [score - Math.abs(score) * ROUNDING, score + Math.abs(score) * ROUNDING].map((value) =>
    decide({ rule: 'calibrated', calibration }, { ...answer.scores, [name]: value }, UNUSED),
  );
  if (possible.includes(answer.verdict)) return;
  throw other(`with ${name} ${score} it would be ${possible[0]}, and is ${answer.verdict}`);
}

/** What a calibration without thresholds by class does not look at. */
const UNUSED = { logQMax: Number.NaN, wordMax: Number.NaN, top: 0 };

/** Of this package or of clipn-native-serve, whose codes are told as they are. */
function errorOf(code: string, message: string): ClipnError {
  const own = code.startsWith('ERR_CLIPN');
  return new ClipnError(
    code as ClipnErrorCode,
    message,
    own ? {} : { hint: 'docs/serve-errors.md says what it means.' },
  );
}
