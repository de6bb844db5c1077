/** OOD sets as the command line names them: NAME=PATH, of a file of scores or a folder of images. */
import { UsageError } from './command';

/** Pairs of a name and a path in order. @throws UsageError for what is none (`form`, such as NAME=FILE), for a name given twice, and for none */
export function namedFiles(given: readonly string[], form: 'NAME=FILE' | 'NAME=DIR'): Map<string, string> {
  const files = new Map<string, string>();
  for (const pair of given) {
    const [, name, file] = /^([^=]+)=(.+)$/.exec(pair) ?? [];
    if (name === undefined || file === undefined) throw new UsageError(`${pair} is not ${form}`);
    if (files.has(name)) throw new UsageError(`two OOD sets are named ${name}`);
    files.set(name, file);
  }
  if (files.size === 0) throw new UsageError('--ood is missing');
  return files;
}
