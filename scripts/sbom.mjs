/**
 * `npm run sbom`: CycloneDX bills of materials of clipn-native and clipn-native-serve into build/pack/: what npm installs with
 * each, as npm tells it, and libtorch, which npm does not know: `clipn-native fetch` brings it.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { main, output, require, root, Stop } from './steps.mjs';

const readJson = (file) => JSON.parse(readFileSync(join(root, file), 'utf8'));

await main(() => {
  const lock = readJson('package-lock.json');
  mkdirSync(join(root, 'build/pack'), { recursive: true });
  const ours = readJson('package.json');
  for (const folder of ['', 'serve']) {
    const { devDependencies, workspaces, ...manifest } = folder === '' ? ours : readJson(`${folder}/package.json`);
    const bill = billOf(manifest, lock, installedWith(lock.packages, folder, manifest));
    if (manifest.dependencies[ours.name] !== undefined) bill.components.push(ourselves(ours));
    bill.components.push(libtorch());
    const file = join(root, `build/pack/${manifest.name}-${manifest.version}.cdx.json`);
    writeFileSync(file, `${JSON.stringify(bill, null, 2)}\n`);
    console.log(`${file}: ${bill.components.length} components`);
  }
});

/**
 * The entries of the lock file that npm installs with the package in `folder`, found as Node does, without links: our tools
 * and the other workspaces have entries of their own.
 */
function installedWith(packages, folder, manifest) {
  const found = new Map();
  const needed = Object.keys(manifest.dependencies).map((name) => [name, folder]);
  for (let next = needed.pop(); next !== undefined; next = needed.pop()) {
    const [name, from] = next;
    const path = lookUp(packages, name, from);
    if (path === undefined || found.has(path)) continue; // undefined: optional, for other systems or not wanted
    const entry = packages[path];
    if (!entry.link) found.set(path, entry);
    const source = entry.link ? { ...packages[entry.resolved], at: entry.resolved } : { ...entry, at: path };
    for (const each of Object.keys({ ...source.dependencies, ...source.optionalDependencies }))
      needed.push([each, source.at]);
  }
  return found;
}

/** The nearest node_modules/NAME from a folder upwards. */
function lookUp(packages, name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const at = folder === '.' ? '' : folder;
    const path = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (packages[path] !== undefined) return path;
    if (at === '') return undefined;
  }
}

/** Of a lock file with these entries alone: `npm sbom --omit dev` also leaves out what a tool needs beside the package. */
function billOf(manifest, lock, entries) {
  const folder = mkdtempSync(join(tmpdir(), `${manifest.name}-sbom-`));
  try {
    const { [readJson('package.json').name]: _, ...dependencies } = manifest.dependencies;
    const own = { ...manifest, dependencies };
    const flat = [...entries].map(([path, entry]) => [
      path.slice(path.indexOf('node_modules/')),
      { ...entry, dev: false },
    ]);
    const packages = { '': own, ...Object.fromEntries(flat) };
    if (Object.keys(packages).length !== entries.size + 1) throw new Stop(`${manifest.name} has a package twice`);
    writeFileSync(join(folder, 'package.json'), JSON.stringify(own));
    writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ ...lock, packages }));
    const flags = ['--sbom-format', 'cyclonedx', '--sbom-type', 'library', '--package-lock-only'];
    const text = output('npm', ['sbom', ...flags, '--prefix', folder]);
    if (text === null) throw new Stop(`npm sbom failed for ${manifest.name}`);
    const bill = JSON.parse(text);
    bill.metadata.component.name = manifest.name; // npm says the folder's
    return bill;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Has a bill of its own. */
function ourselves({ name, version, license }) {
  const purl = `pkg:npm/${name}@${version}`;
  return {
    'bom-ref': `${name}@${version}`,
    type: 'library',
    name,
    version,
    purl,
    licenses: [{ license: { id: license } }],
  };
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
