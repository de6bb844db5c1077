/** From the class folders of an ID set to labels: by name, by ImageNet's wnids, or by a table of the user's. */
import { ClipnError } from '../base/errors';
import { readText } from '../base/list-file';
import { parseJson } from '../base/parse-json';
import { firstFew } from '../base/wording';
import imagenetNames from '../data/imagenet-classnames.json';
import wnids from '../data/imagenet-wnids.json';

/** WordNet id → class index, of ImageNet-1k. */
const WNID_INDEX = new Map(wnids.map((wnid, index) => [wnid, index]));
const isWnid = (name: string) => /^n\d{8}$/.test(name);

export interface ClassLabels {
  labels: string[];
  /** Index into `labels` of each class folder. */
  labelOf: number[];
}

/** Whether these are the 1000 names that CLIPN was evaluated with, in class order. */
export function isImagenet(labels: readonly string[]): boolean {
  return labels.length === imagenetNames.length && labels.every((label, index) => label === imagenetNames[index]);
}

/**
 * A table of folder → class name: a JSON object, or lines of a folder, white space, and the name.
 *
 * @throws ERR_CLIPN_IO when it cannot be read, ERR_CLIPN_LABELS when it is neither
 */
export async function readClassNames(path: string): Promise<Map<string, string>> {
  const text = await readText(path, 'ERR_CLIPN_LABELS', 'ERR_CLIPN_IO');
  const malformed = (what: string, cause?: unknown) =>
    new ClipnError('ERR_CLIPN_LABELS', `${path} ${what}`, {
      cause,
      hint: 'Give a JSON object of folder and class name, or lines such as `n01443537 goldfish`.',
    });
  if (text.trimStart().startsWith('{')) {
    let table: unknown;
    try {
      table = parseJson(text);
    } catch (cause) {
      throw malformed('begins with "{" but is not JSON', cause);
    }
    const entries = Object.entries(table as object);
    if (!entries.every(([, name]) => typeof name === 'string')) throw malformed('has a name that is no string');
    return new Map(entries);
  }
  const table = new Map<string, string>();
  for (const [index, line] of text.split(/\r\n|\n|\r/).entries()) {
    if (line.trim() === '') continue;
    const [, folder, name] = /^(\S+)\s+(\S.*)$/.exec(line.trim()) ?? [];
    if (folder === undefined || name === undefined) throw malformed(`line ${index + 1} has no class name`);
    table.set(folder, name.trim());
  }
  return table;
}

/**
 * Finds the label of each class folder. Its name is the one in `names`, else that of its wnid in ImageNet-1k, else the
 * folder's own. Without `labels` the classes themselves are the labels, in folder order. With ImageNet's own 1000
 * labels a wnid tells the row, for two pairs of them share a name.
 *
 * @throws ERR_CLIPN_DATA_CLASSES for folders whose name the labels lack or have twice, or whose wnid is unknown
 */
export function matchClasses(
  classes: readonly string[],
  labels: readonly string[] | undefined,
  names: ReadonlyMap<string, string> = new Map(),
): ClassLabels {
  const unknown = classes.filter((folder) => isWnid(folder) && !names.has(folder) && !WNID_INDEX.has(folder));
  if (unknown.length > 0) {
    throw refuse(`these class folders are wnids outside ImageNet-1k: ${firstFew(unknown)}`, unknown);
  }
  const nameOf = (folder: string) => names.get(folder) ?? imagenetNames[WNID_INDEX.get(folder) ?? -1] ?? folder;
  if (labels === undefined) return { labels: classes.map(nameOf), labelOf: classes.map((_, index) => index) };

  if (isImagenet(labels) && classes.every((folder) => WNID_INDEX.has(folder))) {
    return { labels: [...labels], labelOf: classes.map((folder) => WNID_INDEX.get(folder)!) };
  }
  const labelOf = classes.map((folder) => labels.indexOf(nameOf(folder)));
  const lacking = classes.filter((_, index) => labelOf[index] === -1);
  if (lacking.length > 0) {
    const list = lacking.map((folder) => (nameOf(folder) === folder ? folder : `${folder} (${nameOf(folder)})`));
    throw refuse(`the labels lack ${lacking.length} of ${classes.length} class folders: ${firstFew(list)}`, lacking);
  }
  const twice = classes.filter((folder, index) => labels.lastIndexOf(nameOf(folder)) !== labelOf[index]);
  if (twice.length > 0) {
    throw refuse(`labels given twice, so that the row of a class folder is unknown: ${firstFew(twice)}`, twice);
  }
  return { labels: [...labels], labelOf };
}

function refuse(message: string, folders: readonly string[]): ClipnError {
  return new ClipnError('ERR_CLIPN_DATA_CLASSES', message, { details: { folders } });
}
