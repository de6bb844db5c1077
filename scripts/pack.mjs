/**
 * `npm run package`: builds, and packs clipn-native, clipn-native-model-small and clipn-native-serve into build/pack/ as they are published.
 * Checks that they hold exactly what they should, run nothing on installation, name no folder of this computer, and
 * keep to their size.
 *   node scripts/pack.mjs [--prebuilt]
 * --prebuilt: takes prebuilds/ as it lies, which must hold every system and every libtorch that is published; else this
 *   system's alone, built.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { filesBelow, main, minorOf, output, require, root, runNode, Stop } from './steps.mjs';

const { prebuilt } = parseArgs({ options: { prebuilt: { type: 'boolean', default: false } } }).values;
const SUMS = 'prebuilds/SHA256SUMS';
const LIFECYCLE = /^(pre|post)?(install|prepare|pack)$|^prepublish(Only)?$|^(post)?publish$/;

/** What each package must hold, and the most bytes its tarball may have. */
const PACKAGES = [
  {
    folder: '.',
    limit: 10e6,
    wanted: () => [
      ...['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE', 'NOTICE', 'CITATION.cff'],
      ...['dist/index.mjs', 'dist/index.d.mts', SUMS],
      ...filesBelow('docs', ['.md']),
      ...filesBelow('lib', ['.ts'])
        .filter((path) => !path.endsWith('.d.ts'))
        .flatMap((path) => ['.js', '.d.ts'].map((ending) => path.replace(/^lib/, 'dist').replace(/\.ts$/, ending))),
      ...[...filesBelow('lib/data', ['.json']), ...filesBelow('lib/report', ['.js', '.css'])].map((path) =>
        path.replace(/^lib/, 'dist'),
      ),
      ...nativeFiles(),
    ],
  },
  {
    folder: 'models/small',
    limit: 12e6,
    wanted: () => [
      ...['package.json', 'README.md', 'LICENSE-DATA.md', 'model.pt'],
      ...filesBelow('models/small/photos', ['.jpg', '.md', '.txt']).map((path) => path.slice('models/small/'.length)),
    ],
  },
  {
    folder: 'serve',
    limit: 1e6,
    wanted: () => [
      ...['package.json', 'README.md', 'LICENSE'],
      ...filesBelow('serve/src', ['.ts'])
        .filter((path) => !path.endsWith('.d.ts'))
        .flatMap((path) =>
          ['.js', '.d.ts'].map((ending) => path.replace(/^serve\/src/, 'dist').replace(/\.ts$/, ending)),
        ),
      ...filesBelow('serve/src/page', ['.html', '.css', '.mjs', '.svg']).map((path) =>
        path.replace(/^serve\/src/, 'dist'),
      ),
    ],
  },
];

await main(() => {
  if (!prebuilt) {
    runNode(['scripts/setup.mjs']);
    runNode(['scripts/prebuild.mjs']);
  }
  const record = join(root, 'build/Release/.built-for');
  const builders = [root, homedir(), ...(existsSync(record) ? [dirname(readFileSync(record, 'utf8'))] : [])];
  writeChecksums();
  const target = join(root, 'build/pack');
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  for (const { folder, limit, wanted } of PACKAGES) {
    const manifest = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
    const scripts = Object.keys(manifest.scripts ?? {}).filter((name) => LIFECYCLE.test(name));
    if (scripts.length > 0) throw new Stop(`${manifest.name} has lifecycle scripts: ${scripts.join(', ')}`);

    const text = output('npm', [
      'pack',
      join(root, folder),
      '--json',
      '--ignore-scripts',
      '--pack-destination',
      target,
    ]);
    if (text === null) throw new Stop(`npm pack ${folder} failed`);
    const [packed] = JSON.parse(text);
    const paths = packed.files.map((file) => file.path);
    compare(manifest.name, paths, wanted());
    if (packed.size > limit) throw new Stop(`${packed.filename} has ${packed.size} bytes; ${limit} are allowed`);
    for (const path of paths) checkPaths(join(root, folder, path), builders);
    const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;
    console.log(
      `build/pack/${packed.filename}: ${megabytes(packed.size)} (${megabytes(packed.unpackedSize)} unpacked), ${paths.length} files`,
    );
  }
});

/** The systems of this package: those that are published, or the one that was built here. */
function systems() {
  return prebuilt ? require('./dist/libtorch/platform.js').PREBUILT : [`${process.platform}-${process.arch}`];
}

/** The minor versions of libtorch that a published package has cores for. */
function minors() {
  return require('./dist/libtorch/release.js').LIBTORCH_VERSIONS.map(minorOf);
}

function nativeFiles() {
  const files = systems().map((system) => [
    system,
    filesBelow(`prebuilds/${system}`, ['.node', '.so', '.dylib', '.dll']),
  ]);
  for (const [system, names] of files) {
    if (!names.some((name) => name.endsWith('.node'))) throw new Stop(`prebuilds/${system} holds no addon`);
  }
  for (const [system, names] of prebuilt ? files : []) {
    const missing = minors().filter((minor) => !names.some((name) => name.includes(`libclipn_core-${minor}-cpu.`)));
    if (missing.length > 0)
      throw new Stop(`prebuilds/${system} holds no core for libtorch ${missing.join(', ')}: npm run minors`);
  }
  return files.flatMap(([, names]) => names);
}

/** For `sha256sum -c SHA256SUMS` in prebuilds/. */
function writeChecksums() {
  const lines = nativeFiles().map((file) => {
    const sum = createHash('sha256')
      .update(readFileSync(join(root, file)))
      .digest('hex');
    return `${sum}  ${file.slice('prebuilds/'.length)}\n`;
  });
  writeFileSync(join(root, SUMS), lines.join(''));
}

function compare(name, paths, wanted) {
  const unwanted = paths.filter((path) => !wanted.includes(path));
  const missing = wanted.filter((path) => !paths.includes(path));
  if (unwanted.length > 0)
    throw new Stop(
      `${name} would ship what is not wanted: ${unwanted.join(', ')} (if they are of an older build, delete dist/)`,
    );
  if (missing.length > 0) throw new Stop(`${name} lacks ${missing.join(', ')}`);
}

/** Assertions in headers and debug information like to carry the builder's folders along. */
function checkPaths(file, folders) {
  const content = readFileSync(file, 'latin1');
  for (const folder of folders.filter((each) => each.length > 1)) {
    const [found] = new RegExp(`(?<![\\w.-])${quoted(folder)}/[ -~]*`).exec(content) ?? [];
    if (found !== undefined) throw new Stop(`${file} names a folder of this computer: ${found}`);
  }
}

function quoted(text) {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
