/** Puts the stripped addon and cores of build/Release into prebuilds/<platform>-<arch>/ and checks what they ask of a system. */
import { chmodSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { main, output, require, root, runNode, Stop } from './steps.mjs';

await main(() => {
  const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  const work = join(root, 'build/prebuild');
  for (const each of [folder, work]) rmSync(each, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const shim = join(root, 'scripts/node-gyp-shim.mjs');
  chmodSync(shim, 0o755);
  const where = ['--cwd', work, '--out', root, '--node-gyp', shim];
  runNode([
    require.resolve('prebuildify/bin.js'),
    '--name',
    'clipn-native',
    '--napi',
    '--strip',
    '--tag-libc',
    ...where,
  ]);

  const names = readdirSync(folder).sort();
  const addons = names.filter((name) => name.endsWith('.node'));
  if (addons.length !== 1) throw new Stop(`${folder} holds ${addons.length} addons, not one`);
  if (!names.some((name) => /^libclipn_core-\d+\.\d+-cpu\.(so|dylib)$/.test(name)))
    throw new Stop(`${folder} holds no core`);
  console.log(`prebuilds/${process.platform}-${process.arch}: ${names.join(', ')}`);
  if (process.platform !== 'linux') return;
  checkImports(join(folder, addons[0]));
  const imports = names.flatMap((name) => importsOf(join(folder, name)));
  console.log(`needed: ${newest(imports, 'GLIBC')} and ${newest(imports, 'GLIBCXX')} or later`);
});

/** Names with their versions, as in `dlopen@GLIBC_2.34`. */
function importsOf(library) {
  const symbols = output('nm', ['-D', '--undefined-only', '--with-symbol-versions', '--format=just-symbols', library]);
  if (symbols === null) throw new Stop(`nm cannot read ${library}; is it installed (Debian: binutils)?`);
  return symbols.trim().split('\n');
}

/** Only Node-API is stable across Node and Electron versions, and libtorch must be opened later, by path. */
function checkImports(addon) {
  const allowed = /^(napi_\w+|\w+@(GLIBC|GLIBCXX|CXXABI|GCC)_[\d.]+|_ITM_\w+|__gmon_start__)$/;
  const foreign = importsOf(addon).filter((symbol) => !allowed.test(symbol));
  if (foreign.length > 0)
    throw new Stop(`${addon} imports more than Node-API, libc and libstdc++:\n${foreign.join('\n')}`);
}

/** The newest version of a system library's interface that is imported: it depends on the system of the build. */
function newest(imports, library) {
  const versions = imports.map((symbol) => symbol.split('@').at(-1)).filter((each) => each.startsWith(`${library}_`));
  return versions.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
}
