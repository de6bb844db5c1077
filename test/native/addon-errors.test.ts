import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import load from 'node-gyp-build';
import type { Machine } from '../../lib/libtorch/machine';
import { addonError } from '../../lib/native/addon-errors';
import { fakeMachine } from '../support/fake-libtorch';

const root = mkdtempSync(join(tmpdir(), 'clipn-platform-'));
const machine = fakeMachine(root);
after(() => rmSync(root, { recursive: true }));

/** What node-gyp-build says of a package without an addon. */
function notFound(): unknown {
  try {
    load(join(root, 'package'));
  } catch (error) {
    return error;
  }
  throw new Error('an addon was found in an empty package');
}

describe('a package without an addon for this machine is refused with what to do', () => {
  const cases: [string, Partial<Machine>, string, RegExp][] = [
    ['Windows', { platform: 'win32', glibc: null }, 'ERR_CLIPN_PLATFORM', /^Use WSL or a container/],
    ['macOS', { platform: 'darwin', arch: 'arm64', glibc: null }, 'ERR_CLIPN_PLATFORM', /^Use a container/],
    ['Linux on another CPU', { arch: 'riscv64' }, 'ERR_CLIPN_PLATFORM', /npm run build/],
    ['Linux with musl', { glibc: null }, 'ERR_CLIPN_PLATFORM', /Debian, Ubuntu or Fedora/],
    ['a supported machine', {}, 'ERR_CLIPN_GLUE_NOT_FOUND', /Reinstall/],
  ];
  for (const [what, facts, code, hint] of cases) {
    test(what, () => {
      const error = addonError(notFound(), { ...machine, ...facts });
      assert.equal(error.code, code);
      assert.match(error.hint, hint);
    });
  }
});

test('code in a bundle, where no package is around it, is refused with the word for bundlers', () => {
  const error = addonError(notFound(), { ...machine, packageRoot: root });
  assert.equal(error.code, 'ERR_CLIPN_GLUE_NOT_FOUND');
  assert.match(error.hint, /external/);
});

test('an addon that needs a newer glibc is refused with both versions', () => {
  const loader =
    "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /app/clipn-native.glibc.node)";
  const error = addonError(new Error(loader), { ...machine, glibc: '2.31' });
  assert.equal(error.code, 'ERR_CLIPN_PLATFORM');
  assert.match(error.message, /needs GLIBC_2\.34; this system has glibc 2\.31/);
});

test("an addon that the loader refuses for another reason is refused with the loader's words", () => {
  const error = addonError(new Error('clipn-native.glibc.node: file too short'), machine);
  assert.equal(error.code, 'ERR_CLIPN_GLUE_LOAD');
  assert.match(error.message, /file too short/);
});
