/** Versions of this package and of the one below it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const versionIn = (file: string) => (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;

export const ownVersion = (): string => versionIn(join(__dirname, '../package.json'));

/** Which packages made a batch or a result. */
export function versions(): Record<string, string> {
  return {
    'clipn-native': versionIn(require.resolve('clipn-native/package.json')),
    'clipn-native-serve': ownVersion(),
  };
}
