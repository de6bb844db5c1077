/** An evaluation's result as files: the HTML report, and the same numbers as JSON and CSV. */

import { writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { assertArguments } from '../base/arguments';
import { makeFolder } from '../base/make-folder';
import { writeThenRename } from '../base/write-file';
import type { EvalResult } from '../evaluate/result';
import { renderReport, reportCsv } from './render';

/** `out` with or without .html → the three paths. */
export function reportPaths(out: string): { html: string; json: string; csv: string } {
  const base = out.replace(/\.html?$/i, '');
  return { html: base === out ? `${out}.html` : out, json: `${base}.json`, csv: `${base}.csv` };
}

/** Writes the three files and returns their paths, HTML first. @throws ERR_CLIPN_IO */
export async function writeReport(result: EvalResult, out: string): Promise<string[]> {
  assertArguments({ out: ['text', out] });
  const { html, json, csv } = reportPaths(out);
  const files: [string, string][] = [
    [html, await renderReport(result)],
    [json, `${JSON.stringify(result, null, 1)}\n`],
    [csv, reportCsv(result)],
  ];
  for (const [path, text] of files) {
    await writeThenRename(path, async (temporary) => {
      await makeFolder(dirname(path));
      await writeFile(temporary, text);
    });
  }
  return files.map(([path]) => path);
}
