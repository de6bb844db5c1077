#!/usr/bin/env node
/**
 * What prebuildify starts in place of node-gyp: `rebuild --target=<Node version> --devdir=… --arch=… --release`. A target
 * means something else to CMake, and a Node-API addon needs none, so only --debug is passed on.
 */
import { main, runNode, Stop } from './steps.mjs';

await main(() => {
  const args = process.argv.slice(2);
  const arch = args.find((arg) => arg.startsWith('--arch='))?.slice('--arch='.length);
  if (arch !== undefined && arch !== process.arch)
    throw new Stop(`Building for ${arch} on ${process.arch} is not supported.`);
  runNode(['scripts/build-native.mjs', ...(args.includes('--debug') ? ['--debug'] : [])]);
});
