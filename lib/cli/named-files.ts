/** OOD sets as the command line names them: NAME=PATH, of a file of scores or a folder of images. */
import { UsageError } from './command';

/** NAME=FILE pairs in order. @throws UsageError for what is not NAME=FILE, for a name given twice, and for none */
export function namedFiles(given: readonly string[]): Map<string, string> {
  const files = new Map<string, string>();
  for (const pair of given) {
    const [, name, file] = /^([^=]+)=(.+)$/.exec(pair) ?? [];
    if (name === undefined || file === undefined) throw new UsageError(`${pair} is not NAME=FILE`);
    if (files.has(name)) throw new UsageError(`two OOD sets are named ${name}`);
    files.set(name, file);
  }
  if (files.size === 0) throw new UsageError('--ood is missing');
  return files;
}
