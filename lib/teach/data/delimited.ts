/** CSV and TSV files, and their like with another delimiter: rows of an image and a caption. */
import { pipeline } from 'node:stream';
import { textOf } from '../../base/text-encoding';
import { type Columns, chooseColumns, isHeader, namesBoth } from './columns';
import { cannotRead, type DatasetOptions, noData } from './dataset';

export type TableOptions = Pick<DatasetOptions, 'imageColumn' | 'captionColumn' | 'delimiter'>;

/** A row of a table: an empty path or no captions where it has none. */
export interface Pair {
  image: string;
  captions: string[];
}

/** Columns by number, which says that the file has no header. */
const NUMBER = /^[1-9]\d*$/;
/** Between columns of a file without a header, when it has no tab. */
const USUAL = [',', ';', '|'];

/** @throws ClipnError ERR_CLIPN_TEACH_DATA */
export async function* readDelimited(file: string, options: TableOptions): AsyncGenerator<Pair> {
  const first = await firstLine(file);
  if (first === undefined) throw noData(`${file} has no rows`);
  const { parse } = require('csv-parse') as typeof import('csv-parse');
  const { parse: parseLine } = require('csv-parse/sync') as typeof import('csv-parse/sync');
  const split = (line: string, delimiter: string): string[] => {
    try {
      return (parseLine(line, { delimiter }) as string[][])[0] ?? [];
    } catch {
      return []; // its quotes do not go with this delimiter
    }
  };
  const byNumber = numbered(options);
  const delimiter = delimiterOf(first, file, options, byNumber !== undefined, split);
  // What is cut at tabs seldom has quotes around a column, and often in one.
  const tabs = delimiter === '\t';
  const parser = parse({ delimiter, relax_quotes: tabs, relax_column_count: true, skip_empty_lines: true });
  pipeline(textOf(file), parser, () => undefined); // its error comes out of the parser
  let columns = byNumber;
  let rows = 0;
  try {
    for await (const row of parser as AsyncIterable<string[]>) {
      if (row.length === 1 && row[0]!.trim() === '') continue;
      if (columns === undefined) {
        columns = chooseColumns(row, options, file, WITHOUT_HEADER);
        continue;
      }
      if (rows++ === 0 && columns === byNumber) checkFirstRow(row, columns, file);
      const [image = '', caption = ''] = [row[columns.image], row[columns.caption]].map((cell) => cell?.trim());
      if (tabs && (spansRows(image) || spansRows(caption))) {
        throw noData(`cannot read ${file}: the quote at the start of ${JSON.stringify(caption)} closes rows below`);
      }
      yield { image, captions: caption === '' ? [] : [caption] };
    }
  } catch (cause) {
    throw cannotRead(file, cause);
  }
  if (rows === 0) throw noData(`${file} has no rows below its header`);
}

const WITHOUT_HEADER =
  '. Without a header, give the numbers of its columns, from 1: --image-column 2 --caption-column 1, for example';

/** Two rows that a stray quote made one. */
const spansRows = (cell: string): boolean => cell.includes('\t') && /[\r\n]/.test(cell);

async function firstLine(file: string): Promise<string | undefined> {
  try {
    for await (const piece of textOf(file)) {
      const line = piece.split(/[\r\n]/).find((each) => each.trim() !== '');
      if (line !== undefined) return line;
    }
  } catch (cause) {
    throw cannotRead(file, cause);
  }
  return undefined;
}

function numbered({ imageColumn, captionColumn }: TableOptions): Columns | undefined {
  const [image, caption] = [imageColumn, captionColumn].map((name) => NUMBER.test(name ?? ''));
  if (!image && !caption) return undefined;
  if (!image || !caption) {
    throw noData('give both columns by number, for a table without a header, or both by name', {
      hint: "For example imageColumn '2' and captionColumn '1', on the command line --image-column 2 --caption-column 1.",
    });
  }
  return { image: Number(imageColumn) - 1, caption: Number(captionColumn) - 1 };
}

/** @throws when the row lacks a column, or is one of names */
function checkFirstRow(row: readonly string[], { image, caption }: Columns, file: string): void {
  const most = Math.max(image, caption) + 1;
  if (row.length < most) throw noData(`${file} has no column ${most}: its first row has ${row.length}`);
  if (!isHeader(row[image]!, row[caption]!)) return;
  const names = `--image-column ${row[image]} --caption-column ${row[caption]}`;
  throw noData(`the first row of ${file} is a header: name its columns, ${names}`);
}

/**
 * What stands between columns. With a header: that by which its first line names both columns. Without: a tab, if
 * there is one, else the one of , ; | that is there.
 */
function delimiterOf(
  line: string,
  file: string,
  options: TableOptions,
  headless: boolean,
  split: (line: string, delimiter: string) => string[],
): string {
  if (options.delimiter !== undefined) return named(options.delimiter);
  const outside = line.replace(/"[^"]*"/g, '');
  const signs = new Set(outside.match(/[^\p{L}\p{M}\p{N} ._"'()-]/gu) ?? []);
  if (headless && line.includes('\t')) return '\t'; // quotes may be letters there
  const usual = USUAL.filter((sign) => signs.has(sign));
  const fitting = headless ? usual : [...signs].filter((sign) => namesBoth(split(line, sign), options));
  if (fitting.length === 1) return fitting[0]!;
  // Of a header that does not name both columns: for the refusal, which lists the columns.
  if (!headless && fitting.length === 0) return signs.has('\t') ? '\t' : (usual[0] ?? [...signs][0] ?? ',');
  const there = fitting.length === 0 ? 'no tab, comma, semicolon or |' : `${fitting.join(' and ')} in it`;
  throw noData(`${file}: cannot tell what stands between its columns, for its first line has ${there}`, {
    hint: "Name it as `delimiter`, on the command line for example --delimiter ';'.",
  });
}

const named = (delimiter: string): string => (delimiter === '\\t' || delimiter === 'tab' ? '\t' : delimiter);
