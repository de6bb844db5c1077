/** Verdicts that are in a table already: Parquet files of a batch (docs/batch.md), as answers. */
import { ClipnError, type ClipnErrorCode } from '../base/errors';
import { isParquet, openParquetTable, parquetRows, tableError } from '../base/parquet-rows';
import { type Calibration, calibratedPValue } from '../decide/calibration';
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
 * @throws ERR_CLIPN_SCORES naming file and row or column; ERR_CLIPN_CALIBRATION for a verdict or p-value that it does not
 *   give; ERR_CLIPN_IO
 */
export async function* judgedIn(files: readonly string[], calibration: Calibration): AsyncGenerator<GateAnswer> {
  const assertJudged = judgedBy(calibration);
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
        assertJudged(answer, where);
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

/** From low scores to high ones. */
const ORDER: readonly CheckResult['verdict'][] = ['out', 'review', 'in'];

/**
 * Refuses a verdict or p-value that the calibration does not give to the score beside it. Where classes have thresholds of
 * their own, what lies between the lowest and the highest of them is taken: a table names labels, a calibration counts them.
 */
function judgedBy(calibration: Calibration): (answer: GateAnswer, where: string) => void {
  const { score: name } = calibration;
  const offsets = (calibration.formatVersion === 3 && calibration.offsets) || [];
  const most = offsets.reduce((top, offset, i) => (offset > offsets[top]! ? i : top), 0);
  const least = offsets.reduce((top, offset, i) => (offset < offsets[top]! ? i : top), 0);
  return (answer, where) => {
    if ('error' in answer) return;
    const other = (what: string) =>
      new ClipnError('ERR_CLIPN_CALIBRATION', `${where}: its verdict is not one of this calibration: ${what}`, {
        hint: 'Give the calibration that the batch was judged with, or judge the images with this one.',
      });
    const { scores, verdict, pValue } = answer;
    const score = scores[name];
    if (score === undefined || Number.isNaN(score)) throw other(`there is no score ${name}`);
    const low = { scores: { ...scores, [name]: score - Math.abs(score) * ROUNDING }, top: most };
    const high = { scores: { ...scores, [name]: score + Math.abs(score) * ROUNDING }, top: least };
    const [first, last] = [low, high].map(({ scores, top }) =>
      ORDER.indexOf(decide({ rule: 'calibrated', calibration }, scores, { ...UNUSED, top })),
    ) as [number, number];
    const possible = ORDER.slice(first, last + 1);
    if (!possible.includes(verdict)) {
      throw other(`with ${name} ${score} it would be ${possible.join(' or ')}, and is ${verdict}`);
    }
    // Other thresholds may give the same verdicts.
    const [from, to] = [low, high].map(({ scores, top }) => calibratedPValue(calibration, scores, top));
    if (pValue === undefined || from === undefined || to === undefined || (from <= pValue && pValue <= to)) return;
    throw other(
      `with ${name} ${score} its pValue would be ${from === to ? from : `${from} to ${to}`}, and is ${pValue}`,
    );
  };
}

/** What a calibration does not look at. */
const UNUSED = { logQMax: Number.NaN, wordMax: Number.NaN };

/** Of this package or of clipn-native-serve, whose codes are told as they are. */
function errorOf(code: string, message: string): ClipnError {
  const own = code.startsWith('ERR_CLIPN');
  return new ClipnError(
    code as ClipnErrorCode,
    message,
    own ? {} : { hint: 'docs/serve-errors.md says what it means.' },
  );
}
