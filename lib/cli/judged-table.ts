/** Verdicts that are in a table already: Parquet files of a batch (docs/batch.md), as answers. */
import { ClipnError, type ClipnErrorCode } from '../base/errors';
import { isParquet, openParquetTable, parquetRows, tableError } from '../base/parquet-rows';
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
 * Answers in order. Only verdicts of a calibration are taken: it says what their shares mean.
 *
 * @throws ERR_CLIPN_SCORES naming file and row or column; ERR_CLIPN_IO
 */
export async function* judgedIn(files: readonly string[]): AsyncGenerator<GateAnswer> {
  for (const path of files) {
    try {
      const table = await openParquetTable(path);
      const names = table.columns.map(({ element }) => element.name);
      const missing = NEEDED.find((name) => !names.includes(name));
      if (missing !== undefined) throw refused(path, `there is no column ${missing}: it is no result of a batch`);
      let row = 0;
      for await (const values of parquetRows(table, [...NEEDED, ...OTHERS.filter((name) => names.includes(name))])) {
        yield answerOf(values, `${path}, row ${++row}`);
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

/** Of this package or of clipn-native-serve, whose codes are told as they are. */
function errorOf(code: string, message: string): ClipnError {
  const own = code.startsWith('ERR_CLIPN');
  return new ClipnError(
    code as ClipnErrorCode,
    message,
    own ? {} : { hint: 'docs/serve-errors.md says what it means.' },
  );
}
