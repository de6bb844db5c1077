/** Score files of any system: one number a line, or a column of a CSV or Parquet file. */
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { readText } from '../base/list-file';
import { isParquet, openParquetTable, type ParquetTable, parquetRows, tableError } from '../base/parquet-rows';
import { firstFew } from '../base/wording';

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
/** As Python and C print what is no finite number. */
const SPECIAL = /^([+-]?)(?:(inf(?:inity)?)|nan)$/i;

/** A refused place of a score file. */
function broken(path: string, line: number, what: string, cause?: unknown): ClipnError {
  return new ClipnError('ERR_CLIPN_SCORES', `${path}, line ${line}: ${what}`, { cause, details: { path, line } });
}

function numberOf(text: string, path: string, line: number): number {
  if (DECIMAL.test(text)) return Number(text);
  const [special, sign, infinite] = SPECIAL.exec(text) ?? [];
  if (special === undefined) throw broken(path, line, `${JSON.stringify(text)} is not a number`);
  if (infinite === undefined) throw broken(path, line, 'the score is NaN');
  return sign === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

/** Options of `readScoreFile`. */
export interface ScoreFileOptions {
  /**
   * Of a CSV or `.parquet` file: the column's name, or its number counted from 1 (digits are always a number). Default: no
   * such file, one number a line.
   */
  column?: string | undefined;
  /** Whether the CSV file's first row names the columns. Default true. */
  header?: boolean | undefined;
}

const OPTIONS: OptionNames<ScoreFileOptions> = { column: true, header: true };

/**
 * Reads scores in file order: one number a line, lines that begin with `#` being comments; or, with `column`, a column
 * of a CSV file (commas, RFC 4180), or of one whose name ends in `.parquet`.
 *
 * @returns [N], may hold infinities
 * @throws ERR_CLIPN_IO when the file cannot be read; ERR_CLIPN_SCORES naming file and line for an empty line, NaN, and
 *   whatever else is not a number, for a header where none was said to be or the reverse, and for no scores;
 *   ERR_CLIPN_INVALID_ARG
 */
export async function readScoreFile(path: string, options: ScoreFileOptions = {}): Promise<Float64Array> {
  assertArguments({ path: ['text', path], options: ['options', options] });
  assertOptionNames('readScoreFile', options, OPTIONS);
  const { column, header = true } = options;
  if (isParquet(path)) return Float64Array.from(await fromParquet(path, column));
  const text = (await readText(path, 'ERR_CLIPN_SCORES', 'ERR_CLIPN_IO')).trimEnd();
  const scores = column === undefined ? fromLines(text, path) : await fromCsv(text, path, column, header);
  if (scores.length === 0) throw new ClipnError('ERR_CLIPN_SCORES', `${path} holds no scores`, { details: { path } });
  return Float64Array.from(scores);
}

export interface LabelledScores {
  id: Float64Array;
  /** The other labels in the order in which they come first, each an OOD set. */
  ood: [name: string, scores: Float64Array][];
}

/**
 * Reads a CSV file with a header, or a Parquet file, that has ID and OOD images together: a column of scores, and one that tells the set.
 *
 * @param idLabel what stands in `labelColumn` of ID images; any other text names an OOD set
 * @throws as `readScoreFile`, and ERR_CLIPN_SCORES when no row or every row is `idLabel`, naming the labels that are there
 */
export async function readLabelledScores(
  path: string,
  { column, labelColumn, idLabel }: { column: string; labelColumn: string; idLabel: string },
): Promise<LabelledScores> {
  const sets = new Map<string, number[]>();
  const add = (label: string, score: number) => {
    const scores = sets.get(label) ?? [];
    sets.set(label, scores);
    scores.push(score);
  };
  if (isParquet(path)) {
    await eachParquetRow(path, [column, labelColumn], ([score, label], row) => {
      if (typeof label !== 'string' || label === '') throw brokenRow(path, row, `the column ${labelColumn} is empty`);
      add(label, scoreOf(score, path, row));
    });
  } else {
    let at: { score: number; label: number } | undefined;
    await eachRow((await readText(path, 'ERR_CLIPN_SCORES', 'ERR_CLIPN_IO')).trimEnd(), path, (row, line) => {
      if (at === undefined) {
        at = { score: positionOf(column, row, path, true), label: positionOf(labelColumn, row, path, true) };
        return;
      }
      const label = row[at.label]!;
      if (label === '') throw broken(path, line, `the column ${labelColumn} is empty`);
      add(label, numberOf(row[at.score]!, path, line));
    });
  }
  const id = sets.get(idLabel);
  sets.delete(idLabel);
  if (id === undefined || sets.size === 0) {
    const there = id === undefined ? [...sets.keys()] : [idLabel];
    const what = there.length === 0 ? 'holds no scores' : `has only ${firstFew(there)} in ${labelColumn}`;
    throw new ClipnError('ERR_CLIPN_SCORES', `${path} ${what}`, {
      hint: 'Name the label of ID images with --id-label; any other is an OOD set.',
      details: { path, labels: there },
    });
  }
  return {
    id: Float64Array.from(id),
    ood: [...sets].map(([name, scores]) => [name, Float64Array.from(scores)]),
  };
}

function fromLines(text: string, path: string): number[] {
  const scores: number[] = [];
  if (text === '') return scores;
  text.split(/\r\n|\n|\r/).forEach((raw, index) => {
    const line = raw.trim();
    if (line.startsWith('#')) return;
    if (line === '') throw broken(path, index + 1, 'the line is empty');
    if (line.includes(',')) throw broken(path, index + 1, 'several values: name one with `column` (--column)');
    scores.push(numberOf(line, path, index + 1));
  });
  return scores;
}

async function fromCsv(text: string, path: string, column: string, header: boolean): Promise<number[]> {
  const scores: number[] = [];
  let index: number | undefined;
  await eachRow(text, path, (row, line) => {
    if (index === undefined) {
      index = positionOf(column, row, path, header);
      if (header) return;
    }
    scores.push(numberOf(row[index]!, path, line));
  });
  return scores;
}

const brokenRow = (path: string, row: number, what: string) =>
  new ClipnError('ERR_CLIPN_SCORES', `${path}, row ${row}: ${what}`, { details: { path, row } });

function scoreOf(value: unknown, path: string, row: number): number {
  if (typeof value !== 'number' && typeof value !== 'bigint') {
    throw brokenRow(
      path,
      row,
      value === null || value === undefined ? 'there is no score' : 'the score is not a number',
    );
  }
  if (Number.isNaN(value)) throw brokenRow(path, row, 'the score is NaN');
  return Number(value);
}

async function fromParquet(path: string, column: string | undefined): Promise<number[]> {
  if (column === undefined) {
    throw new ClipnError('ERR_CLIPN_SCORES', `${path} has several columns: name one with \`column\` (--column)`, {
      details: { path },
    });
  }
  const scores: number[] = [];
  await eachParquetRow(path, [column], ([score], row) => scores.push(scoreOf(score, path, row)));
  if (scores.length === 0) throw new ClipnError('ERR_CLIPN_SCORES', `${path} holds no scores`, { details: { path } });
  return scores;
}

/** Values of these columns, row by row; rows are counted from 1. */
async function eachParquetRow(
  path: string,
  columns: readonly string[],
  take: (values: unknown[], row: number) => void,
): Promise<void> {
  try {
    const table = await openParquetTable(path);
    const names = columns.map((column) => parquetColumn(column, table));
    let row = 0;
    for await (const values of parquetRows(table, [...new Set(names)])) {
      take(
        names.map((name) => values[name]),
        ++row,
      );
    }
  } catch (cause) {
    throw tableError(path, cause, 'ERR_CLIPN_SCORES');
  }
}

function parquetColumn(column: string, { path, columns }: ParquetTable): string {
  const names = columns.map(({ element }) => element.name);
  const name = /^[1-9]\d*$/.test(column) ? names[Number(column) - 1] : column;
  if (name !== undefined && names.includes(name)) return name;
  throw new ClipnError(
    'ERR_CLIPN_SCORES',
    `${path} has no column ${JSON.stringify(column)} among ${names.join(', ')}`,
    {
      details: { path },
    },
  );
}

async function eachRow(text: string, path: string, take: (row: string[], line: number) => void): Promise<void> {
  const { CsvError, parse } = require('csv-parse/sync') as typeof import('csv-parse/sync');
  try {
    parse(text, {
      trim: true,
      on_record: (row: string[], { lines }) => {
        take(row, lines);
        return null;
      },
    });
  } catch (error) {
    if (error instanceof CsvError) throw broken(path, Number(error['lines']), error.message, error);
    throw error;
  }
}

function positionOf(column: string, row: string[], path: string, header: boolean): number {
  if (/^[1-9]\d*$/.test(column)) {
    const index = Number(column) - 1;
    if (index >= row.length) throw broken(path, 1, `there is no column ${column}, only ${row.length}`);
    if (header && (DECIMAL.test(row[index]!) || SPECIAL.test(row[index]!))) {
      throw broken(path, 1, `${row[index]} stands where a header should: if there is none, say so (--no-header)`);
    }
    return index;
  }
  if (!header) throw broken(path, 1, `without a header a column has a number, not the name ${JSON.stringify(column)}`);
  const index = row.indexOf(column);
  if (index === -1) throw broken(path, 1, `no column ${JSON.stringify(column)} among ${row.join(', ')}`);
  if (row.lastIndexOf(column) !== index) throw broken(path, 1, `several columns are named ${JSON.stringify(column)}`);
  return index;
}
