/** Packs the addon and the cores of build/Release into prebuilds/<platform>-<arch>/ and checks what was packed. */
import { chmodSync, copyFileSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { main, output, require, root, runNode, Stop } from './steps.mjs';

await main(() => {
  const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  rmSync(folder, { recursive: true, force: true });
  const shim = join(root, 'scripts/node-gyp-shim.mjs');
  chmodSync(shim, 0o755);
  runNode([require.resolve('prebuildify/bin.js'), '--napi', '--strip', '--tag-libc', '--node-gyp', shim]);

  const names = readdirSync(folder).sort();
  const addon = names.find((name) => name.endsWith('.node'));
  if (addon === undefined) throw new Stop(`${folder} holds no addon`);
  if (!names.some((name) => /^libclipn_core-\d+\.\d+-cpu\.so$/.test(name))) throw new Stop(`${folder} holds no core`);
  if (process.platform === 'linux') checkImports(join(folder, addon));
  // prebuildify moved the addon out of build/Release, where a clone looks for it first.
  const own = join(root, 'build/Release/clipn_native.node');
  if (!existsSync(own)) copyFileSync(join(folder, addon), own);
  console.log(`prebuilds/${process.platform}-${process.arch}: ${names.join(', ')}`);
});

/** Only Node-API is stable across Node and Electron versions, and libtorch must be opened later, by path. */
function checkImports(addon) {
  const symbols = output('nm', ['-D', '-C', '--undefined-only', addon]);
  if (symbols === null) throw new Stop('nm is missing (Debian: binutils)');
  const foreign = symbols
    .split('\n')
    .filter((line) => /\b(v8|node|uv_|c10|at|torch)(::|_)/.test(line) && !/\bnode_api_/.test(line));
  if (foreign.length > 0) throw new Stop(`${addon} imports symbols other than Node-API:\n${foreign.join('\n')}`);
}
