/** An example as somebody has it who copied its folder and installed the package: here a link to this clone. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { builtLibrary } from './built';
import { repository } from './paths';

/** Path of the copy, in a temporary folder of its own. Throws when dist/ is older than lib/. */
export function installExample(name: 'electron' | 'server'): { folder: string; remove(): void } {
  builtLibrary();
  const root = mkdtempSync(path.join(tmpdir(), `clipn-example-${name}-`));
  const folder = path.join(root, name);
  cpSync(path.join(repository, 'examples', name), folder, {
    recursive: true,
    filter: (file) => path.basename(file) !== 'node_modules',
  });
  const modules = path.join(folder, 'node_modules');
  mkdirSync(modules);
  symlinkSync(repository, path.join(modules, 'clipn-native'));
  symlinkSync(path.join(repository, 'models/small'), path.join(modules, 'clipn-native-model-small'));
  return { folder, remove: () => rmSync(root, { recursive: true, force: true }) };
}
