/**
 * Whether this commit may be published under a tag: all packages have its version, the server depends on it, the changelog
 * tells its date, and the packages name their repository, which npm compares with the one that the provenance names.
 *   node scripts/check-release.mjs v1.2.3
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { main, root, Stop } from './steps.mjs';

const read = (file) => readFileSync(join(root, file), 'utf8');

await main(() => {
  const tag = process.argv[2];
  const version = /^v(\d+\.\d+\.\d+(?:-[\w.]+)?)$/.exec(tag ?? '')?.[1];
  if (version === undefined) throw new Stop(`A tag looks like v1.2.3; this is ${tag}.`);
  const manifests = ['package.json', 'models/small/package.json', 'serve/package.json'].map((file) => [
    file,
    JSON.parse(read(file)),
  ]);
  for (const [file, { version: found }] of manifests) {
    if (found !== version) throw new Stop(`${file} has version ${found}, and the tag is ${tag}.`);
  }
  const core = manifests.find(([, { name }]) => name === 'clipn-native-serve')?.[1].dependencies['clipn-native'];
  if (core !== version) throw new Stop(`serve/package.json depends on clipn-native ${core}, and the tag is ${tag}.`);
  const heading = read('CHANGELOG.md')
    .split('\n')
    .find((line) => line.startsWith(`## [${version}]`));
  if (heading === undefined) throw new Stop(`CHANGELOG.md has no section [${version}].`);
  if (!/ - \d{4}-\d\d-\d\d$/.test(heading)) throw new Stop(`CHANGELOG.md gives no date: ${heading}`);
  for (const [file, { repository }] of manifests) {
    if (repository === undefined) throw new Stop(`${file} names no repository: npm refuses its provenance.`);
  }
  console.log(`${tag} may be published.`);
});
