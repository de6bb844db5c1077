import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { METHODS } from '../../lib/native/addon';
import { repository } from '../support/paths';

test('the bits of a model’s methods are those of core.h', () => {
  const header = readFileSync(path.join(repository, 'cpp/include/clipn/core.h'), 'utf8');
  const [, body] = /Bits of clipn_model_info\.methods\. \*\/\nenum \{([^}]*)\}/.exec(header)!;
  const bits = Object.fromEntries(
    [...body!.matchAll(/CLIPN_(\w+) = (\d+)/g)].map(([, name, bit]) => [name, Number(bit)]),
  );
  assert.deepEqual(bits, {
    ENCODE_IMAGE: METHODS.encodeImage,
    ENCODE_IMAGE_PATCHES: METHODS.encodeImagePatches,
    ENCODE_TEXT_YES: METHODS.encodeTextYes,
    ENCODE_TEXT_NO: METHODS.encodeTextNo,
  });
});
