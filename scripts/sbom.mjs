/**
 * `npm run sbom`: a CycloneDX bill of materials of clipn-native into build/pack/: what npm installs with it, as npm tells it,
 * and libtorch, which npm does not know: `clipn-native fetch` brings it.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { main, output, require, root, Stop } from './steps.mjs';

await main(() => {
  const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const text = output('npm', ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev', '--sbom-type', 'library']);
  if (text === null) throw new Stop('npm sbom failed; are the packages installed (npm ci)?');
  const bill = JSON.parse(text);
  bill.metadata.component.name = name; // npm says the folder's
  bill.components.push(libtorch());
  const file = join(root, `build/pack/${name}-${version}.cdx.json`);
  mkdirSync(join(root, 'build/pack'), { recursive: true });
  writeFileSync(file, `${JSON.stringify(bill, null, 2)}\n`);
  console.log(`${file}: ${bill.components.length} components`);
});

/** The one that this release is tested with; another of the same minor serves too. */
function libtorch() {
  const { LIBTORCH_VERSION, MEASURED_SHA256 } = require('./dist/libtorch/release.js');
  const [file, sum] = Object.entries(MEASURED_SHA256).find(([each]) =>
    each.startsWith(`torch-${LIBTORCH_VERSION}+cpu`),
  );
  return {
    'bom-ref': `libtorch@${LIBTORCH_VERSION}`,
    type: 'library',
    name: 'libtorch',
    version: LIBTORCH_VERSION,
    scope: 'optional',
    description: `Not in the package: \`clipn-native fetch\` brings it, out of ${file}, or it is found on the computer.`,
    purl: `pkg:pypi/torch@${LIBTORCH_VERSION}`,
    hashes: [{ alg: 'SHA-256', content: sum }],
    licenses: [{ license: { id: 'BSD-3-Clause' } }],
  };
}
