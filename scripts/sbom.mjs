/**
 * `npm run sbom`: a CycloneDX bill of materials of clipn-native into build/pack/: what npm installs with it, as npm tells it,
 * and libtorch, which npm does not know: `clipn-native fetch` brings it.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main, output, require, root, Stop } from './steps.mjs';

const readJson = (file) => JSON.parse(readFileSync(join(root, file), 'utf8'));

await main(() => {
  const { devDependencies, workspaces, ...manifest } = readJson('package.json');
  const bill = billOf(manifest, readJson('package-lock.json'));
  bill.components.push(libtorch());
  const file = join(root, `build/pack/${manifest.name}-${manifest.version}.cdx.json`);
  mkdirSync(join(root, 'build/pack'), { recursive: true });
  writeFileSync(file, `${JSON.stringify(bill, null, 2)}\n`);
  console.log(`${file}: ${bill.components.length} components`);
});

/** Of the lock file without our tools: `npm sbom --omit dev` also leaves out what a tool needs beside the package. */
function billOf(manifest, lock) {
  const folder = mkdtempSync(join(tmpdir(), `${manifest.name}-sbom-`));
  try {
    const kept = Object.entries(lock.packages).filter(
      ([path, entry]) => path.startsWith('node_modules/') && !entry.dev && !entry.link,
    );
    const packages = { '': manifest, ...Object.fromEntries(kept) };
    writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
    writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ ...lock, packages }));
    const flags = ['--sbom-format', 'cyclonedx', '--sbom-type', 'library', '--package-lock-only'];
    const text = output('npm', ['sbom', ...flags, '--prefix', folder]);
    if (text === null) throw new Stop('npm sbom failed');
    const bill = JSON.parse(text);
    bill.metadata.component.name = manifest.name; // npm says the folder's
    return bill;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

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
