/** Which packages made a batch or a result. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const versionIn = (file: string) => (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;

export function versions(): Record<string, string> {
  return {
    'clipn-native': versionIn(require.resolve('clipn-native/package.json')),
    'clipn-native-serve': versionIn(join(__dirname, '../../package.json')),
  };
}
