/** An app packed as electron-builder packs it, and what Electron makes of its archive, without either. */
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import * as asar from '@electron/asar';
import { globSync } from 'tinyglobby';
import { repository } from './paths';

/** Of electron-builder's configuration, what decides where a file ends up. */
export interface Packing {
  files: string[];
  asarUnpack: string[];
  extraResources: { from: string; to: string; filter?: string[] }[];
}

/** Puts a package and what it depends on into a node_modules, from this clone's own; packages that are not installed here are optional. */
function addPackage(name: string, modules: string): void {
  const target = path.join(modules, name);
  const source = path.join(repository, 'node_modules', name);
  if (existsSync(target) || !existsSync(source)) return;
  cpSync(source, target, { recursive: true, dereference: true });
  addDependencies(target, modules);
}

function addDependencies(folder: string, modules: string): void {
  const manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  const names = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });
  for (const each of names) addPackage(each, modules);
}

/** What npm would install as clipn-native: the library, and the build of this clone under the names of prebuilds. */
function addClipn(modules: string): void {
  const target = path.join(modules, 'clipn-native');
  const prebuilds = path.join(target, 'prebuilds', `${process.platform}-${process.arch}`);
  mkdirSync(prebuilds, { recursive: true });
  for (const name of ['package.json', 'dist']) {
    cpSync(path.join(repository, name), path.join(target, name), { recursive: true });
  }
  const release = path.join(repository, 'build/Release');
  for (const name of globSync(['clipn_native.node', 'libclipn_core-*'], { cwd: release })) {
    const shipped = name === 'clipn_native.node' ? 'clipn-native.glibc.node' : name;
    cpSync(path.join(release, name), path.join(prebuilds, shipped));
  }
  addDependencies(target, modules);
}

/**
 * Packs an example with its dependencies into `resources`/app.asar, and puts its extra resources beside it.
 *
 * @returns paths in the archive: those that lie in it, and those that lie outside in app.asar.unpacked
 */
export async function packApp(example: string, packing: Packing, staging: string, resources: string) {
  for (const name of globSync(packing.files, { cwd: example }))
    cpSync(path.join(example, name), path.join(staging, name));
  cpSync(path.join(example, 'package.json'), path.join(staging, 'package.json'));
  addClipn(path.join(staging, 'node_modules'));

  const archive = path.join(resources, 'app.asar');
  const unpack = `{${packing.asarUnpack.map((pattern) => path.join(staging, pattern)).join()}}`;
  await asar.createPackageWithOptions(staging, archive, { unpack });

  for (const { from, to, filter } of packing.extraResources) {
    const names = filter === undefined ? [''] : globSync(filter, { cwd: from });
    for (const name of names) {
      mkdirSync(path.dirname(path.join(resources, to, name)), { recursive: true });
      symlinkSync(path.join(from, name), path.join(resources, to, name)); // libtorch has half a gigabyte
    }
  }

  const entries = asar.listPackage(archive, { isPack: true }).map((line) => line.split(/ : /) as [string, string]);
  const isFile = (entry: string) => !('files' in asar.statFile(archive, entry.slice(1)));
  const files = entries.map(([state, entry]) => [state.trim(), entry] as const).filter(([, entry]) => isFile(entry));
  const of = (state: string) => files.filter(([each]) => each === state).map(([, entry]) => entry.slice(1));
  return { archive, packed: of('pack'), unpacked: of('unpack') };
}

/**
 * Replaces the archive by a folder of its name that holds what lies in it, so that a plain Node runs it. What lies outside
 * is not in there: Electron shows it to JavaScript at its place in the archive too, here through links, but the system's
 * loader finds it outside alone.
 *
 * @param shown folders below node_modules that JavaScript looks for in the archive
 */
export function openArchive(archive: string, unpacked: readonly string[], shown: readonly string[]): void {
  const folder = `${archive}.opened`;
  asar.extractAll(archive, folder);
  for (const entry of unpacked) rmSync(path.join(folder, entry));
  rmSync(archive);
  renameSync(folder, archive);
  for (const each of shown) {
    const place = path.join(archive, 'node_modules', each);
    rmSync(place, { recursive: true, force: true });
    symlinkSync(path.join(`${archive}.unpacked`, 'node_modules', each), place);
  }
}
