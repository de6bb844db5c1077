/** Which kind of training data lies at a path. */
import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { openClassFolders } from './class-folders';
import { type Dataset, type DatasetOptions, noData } from './dataset';
import { openPairTable } from './pair-table';
import { openWebDataset } from './webdataset';

/**
 * - a folder of .tar files, one .tar file, or a glob of them: WebDataset
 * - a .csv or .tsv file: a table of image paths and captions
 * - any other folder: class folders
 *
 * @throws ClipnError ERR_CLIPN_TEACH_DATA, saying what was expected there; ERR_CLIPN_TEMPLATES
 */
export async function openDataset(data: string, options: DatasetOptions): Promise<Dataset> {
  const info = await stat(data).catch(() => undefined);
  if (info?.isDirectory()) {
    const shards = await shardsIn('*.tar', data);
    return shards.length > 0 ? await openWebDataset(shards) : await openClassFolders(data, options);
  }
  if (info?.isFile()) {
    const extension = extname(data).toLowerCase();
    if (extension === '.tar') return await openWebDataset([data]);
    if (extension === '.csv' || extension === '.tsv') return await openPairTable(data, options);
    throw noData(`${data} is neither a folder, a .tar, a .csv nor a .tsv file`);
  }
  if (!info && isDynamicPattern(data)) {
    const shards = await shardsIn(data);
    if (shards.length > 0) return await openWebDataset(shards);
    throw noData(`no file matches ${data}`);
  }
  throw noData(`there is nothing at ${data}`);
}

async function shardsIn(pattern: string, cwd?: string): Promise<string[]> {
  const found = await glob(pattern, { onlyFiles: true, absolute: true, expandDirectories: false, ...(cwd && { cwd }) });
  return found.sort();
}
