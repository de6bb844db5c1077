/** Files of class names. */
import { readListFile } from '../base/list-file';
import imagenet from '../data/imagenet-classnames.json';

/**
 * Class names from a file (one a line, or a JSON array), or 'imagenet': the 1000 names of ImageNet-1k that CLIPN was
 * evaluated with, in class order (spec 2.1).
 *
 * @throws ClipnError ERR_CLIPN_IO when the file cannot be read, ERR_CLIPN_LABELS when it holds no list of strings.
 */
export async function loadLabelsFile(source: string): Promise<string[]> {
  if (source === 'imagenet') return [...imagenet];
  const lines = await readListFile(source, 'ERR_CLIPN_LABELS', 'ERR_CLIPN_IO');
  return lines.map((line) => line.trim());
}
