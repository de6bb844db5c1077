/** Which kind of training data lies at a path. */
import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { ClipnError } from '../../base/errors';
import { listImages } from '../../images/find';
import { namesNoClasses, openCaptionedFiles, withCaptions } from './captioned-files';
import { openClassFolders } from './class-folders';
import { type Dataset, type DatasetOptions, noData } from './dataset';
import { isTable, openTables } from './table';
import { openWebDataset } from './webdataset';

/** The options that say how one kind of data is read, by their flags; others would be silently without effect. */
const FLAGS = {
  '--image-column': 'imageColumn',
  '--caption-column': 'captionColumn',
  '--delimiter': 'delimiter',
  '--image-field': 'imageField',
  '--caption-field': 'captionField',
  '--names': 'names',
} as const satisfies Record<string, keyof DatasetOptions>;

const FLAGS_OF: Readonly<Record<Dataset['kind'], readonly (keyof typeof FLAGS)[]>> = {
  WebDataset: ['--image-field', '--caption-field', '--names'],
  table: ['--image-column', '--caption-column', '--delimiter'],
  'captioned files': ['--caption-field'],
  'class folders': ['--names'],
};

/**
 * - a folder of .tar files, one .tar file, or a glob of them: WebDataset
 * - a .csv, .tsv, .jsonl, .ndjson or .parquet file, a glob of one kind, or a folder of .parquet files alone: tables
 * - a folder of images with a text beside each: captioned files
 * - any other folder: class folders
 *
 * @throws ClipnError ERR_CLIPN_TEACH_DATA, saying what was expected there; ERR_CLIPN_INVALID_ARG for an option that is
 *   of another kind of data; ERR_CLIPN_TEMPLATES
 */
export async function openDataset(data: string, options: DatasetOptions): Promise<Dataset> {
  const info = await stat(data).catch(() => undefined);
  if (info?.isDirectory()) return await openFolder(data, options);
  if (info?.isFile()) return await openFiles([data], data, options);
  if (!info && isDynamicPattern(data)) {
    const files = await filesOf(data);
    if (files.length === 0) throw noData(`no file matches ${data}`);
    return await openFiles(files, data, options);
  }
  throw noData(`there is nothing at ${data}`);
}

async function openFolder(folder: string, options: DatasetOptions): Promise<Dataset> {
  const { captionField, names } = options;
  const shards = await filesOf('*.tar', folder);
  if (shards.length > 0) return await openFiles(shards, folder, options);
  const { images } = await listImages(folder);
  const tables = images.length === 0 ? await filesOf('*.parquet', folder) : [];
  if (tables.length > 0) return await openFiles(tables, folder, options);
  if (names === undefined && images.length > 0) {
    const files = await withCaptions(folder, images, captionField);
    const text = files.find(({ captions }) => captions.length > 0)?.captions[0];
    const asClasses = !(await namesNoClasses(folder, images));
    if (captionField === undefined && text !== undefined && asClasses) {
      throw noData(`${folder}: a caption could be the folder's name, or what ${text} says`, {
        hint: 'Give captionField (--caption-field) txt for the files beside the images, or names (--names), a file with names of the folders.',
      });
    }
    if (captionField !== undefined || text !== undefined) {
      refuseOthers('captioned files', folder, options);
      return await openCaptionedFiles(folder, files, captionField);
    }
    if (!asClasses) throw noData(`${folder} holds images without captions: no .txt beside one, no folders of classes`);
  }
  refuseOthers('class folders', folder, options);
  return await openClassFolders(folder, options);
}

async function openFiles(files: readonly string[], data: string, options: DatasetOptions): Promise<Dataset> {
  const kinds = [...new Set(files.map((file) => extname(file).toLowerCase()))];
  if (kinds.length > 1) throw noData(`${data} matches files of several kinds: ${kinds.join(', ')}; choose one`);
  if (kinds[0] === '.tar') {
    refuseOthers('WebDataset', data, options);
    return await openWebDataset(files, options);
  }
  if (!isTable(files[0]!)) {
    throw noData(`${files[0]} is neither a folder nor a .tar, .csv, .tsv, .jsonl, .ndjson or .parquet file`);
  }
  refuseOthers('table', data, options);
  return await openTables(files, options);
}

function refuseOthers(kind: Dataset['kind'], data: string, options: DatasetOptions): void {
  for (const [flag, option] of Object.entries(FLAGS)) {
    if (options[option] === undefined || FLAGS_OF[kind].includes(flag as keyof typeof FLAGS)) continue;
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${flag} does not go with ${data}, which is read as ${kind}`, {
      hint: `What goes with that: ${FLAGS_OF[kind].join(', ')}.`,
    });
  }
}

async function filesOf(pattern: string, cwd?: string): Promise<string[]> {
  const found = await glob(pattern, { onlyFiles: true, absolute: true, expandDirectories: false, ...(cwd && { cwd }) });
  return found.sort();
}
