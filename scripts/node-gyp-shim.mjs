#!/usr/bin/env node
/**
 * What prebuildify starts in place of node-gyp: `rebuild --target=<Node version> --devdir=… --arch=… --release`. A target
 * means something else to CMake, and a Node-API addon needs none. Brings the build up to date and puts a copy of it into
 * build/Release of the working folder, for prebuildify strips and moves what it finds there.
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { main, root, runNode, Stop } from './steps.mjs';

await main(() => {
  const arch = process.argv.find((arg) => arg.startsWith('--arch='))?.slice('--arch='.length);
  if (arch !== undefined && arch !== process.arch)
    throw new Stop(`Building for ${arch} on ${process.arch} is not supported.`);
  const built = join(root, 'build/Release');
  const record = join(built, '.built-for');
  const libtorch = existsSync(record) ? ['--libtorch', readFileSync(record, 'utf8')] : [];
  runNode(['scripts/build-native.mjs', ...libtorch]);

  const copies = join(process.cwd(), 'build/Release');
  mkdirSync(copies, { recursive: true });
  for (const name of readdirSync(built).filter((each) => /\.(node|so|dylib)$/.test(each))) {
    copyFileSync(join(built, name), join(copies, name));
    chmodSync(join(copies, name), 0o755);
  }
});
