/** What the addon asks of the process that loads it: one binary serves every Node and Electron only as long as that is Node-API. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { thisMachine } from '../../lib/libtorch/machine';
import { addonPath } from '../../lib/native/engine';
import { binary } from '../../package.json';

type Symbols = { js_native_api_symbols: string[]; node_api_symbols: string[] };
const { symbols } = require('node-api-headers') as { symbols: Record<string, Symbols> };

test('the addon imports of Node only functions of the Node-API version that package.json names', () => {
  const addon = addonPath(thisMachine())!;
  const args = ['-D', '--undefined-only', '--with-symbol-versions', '--format=just-symbols', addon];
  const imported = execFileSync('nm', args, { encoding: 'utf8' }).trim().split('\n');
  const ofNode = imported.filter((symbol) => /^napi_|^node_api_/.test(symbol));
  const version = symbols[`v${binary.napi_versions[0]!}`]!;
  const offered = new Set([...version.js_native_api_symbols, ...version.node_api_symbols]);
  assert.ok(ofNode.length > 20, 'nm was understood');
  assert.deepEqual(
    ofNode.filter((symbol) => !offered.has(symbol)),
    [],
  );
  // The rest has the version of a library of the system; __names are the linker's, and optional.
  const others = imported.filter((symbol) => !ofNode.includes(symbol) && !/@(GLIBC|GLIBCXX|CXXABI|GCC)_/.test(symbol));
  assert.deepEqual(
    others.filter((symbol) => !/^(_ITM_\w+|__gmon_start__)$/.test(symbol)),
    [],
  );
});
