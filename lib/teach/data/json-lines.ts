/** JSON lines: an object a line. Its keys are the columns, told by the first line. */

import { parseJson } from '../../base/parse-json';
import { linesOf } from '../../base/text-encoding';
import { type ColumnOptions, captionsIn, chooseColumns } from './columns';
import { cannotRead, noData } from './dataset';
import type { Pair } from './delimited';

/** @throws ClipnError ERR_CLIPN_TEACH_DATA */
export async function* readJsonLines(file: string, options: ColumnOptions): AsyncGenerator<Pair> {
  let keys: { image: string; caption: string } | undefined;
  let line = 0;
  try {
    for await (const text of linesOf(file)) {
      line++;
      if (text.trim() === '') continue;
      const row = objectOf(text, `${file}, line ${line}`);
      if (keys === undefined) {
        const names = Object.keys(row);
        const at = chooseColumns(names, options, file);
        keys = { image: names[at.image]!, caption: names[at.caption]! };
      }
      const image = row[keys.image];
      yield { image: typeof image === 'string' ? image.trim() : '', captions: captionsIn(row[keys.caption]) };
    }
  } catch (cause) {
    throw cannotRead(file, cause);
  }
  if (keys === undefined) throw noData(`${file} has no rows`);
}

function objectOf(text: string, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    throw noData(`${where}: ${(cause as Error).message}`, { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw noData(`${where} is no JSON object`);
}
