/** What the file computes: cpp/test/torchscript_test.cpp and test/reference/check_triton.py. Here: what it says of itself. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Detector, exportTorchScript, loadDetector, type TorchScriptOptions } from '../../lib';
import { TorchZip } from '../../lib/formats/torch-zip';
import { apiModel } from '../support/api-model';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-torchscript-'));
const at = (name: string) => path.join(folder, name);
const model = at('model.pt');
let detector: Detector;

before(async () => {
  copyFileSync(await apiModel(), model);
  const labelBank = { cache: false, templates: 'plain' };
  detector = await loadDetector({ model, labels: ['cat', 'dog'], labelBank, negatives: ['fork', 'cloud', 'cat'] });
});
after(async () => {
  await detector.close();
  rmSync(folder, { recursive: true });
});

test('a detector as TorchScript is described by what is returned, and by the same inside the file', async () => {
  const described = await exportTorchScript(detector, at('forward.pt'));
  const inside = await TorchZip.use(at('forward.pt'), 'ERR_CLIPN_MODEL_FORMAT', undefined, async (zip) =>
    JSON.parse((await zip.read('extra/forward.json')).toString()),
  );
  assert.deepEqual(inside, described);
  const { input, outputs, labels, words, imageSize } = described;
  assert.deepEqual(input, { name: 'pixels', dtype: 'uint8', shape: [48, 48, 3] });
  assert.deepEqual([labels, [...words].sort(), imageSize], [['cat', 'dog'], ['cloud', 'fork'], 48]);
  assert.deepEqual(
    outputs.filter(({ shape, dtype }) => dtype !== 'float32' || shape[0] !== 1),
    [
      { name: 'features', dtype: 'float32', shape: [32] },
      { name: 'label', dtype: 'int64', shape: [1] },
      { name: 'p', dtype: 'float32', shape: [2] },
      { name: 'pYes', dtype: 'float32', shape: [2] },
      { name: 'word', dtype: 'int64', shape: [1] },
    ],
  );
  const numbers = 'msp maxLogit energy mcm ctw atd gap logPOut logQMax negLabel wordMax ole'.split(' ');
  assert.deepEqual(
    outputs.map(({ name }) => name).filter((name) => numbers.includes(name)),
    numbers,
  );
});

test('normalised numbers go in where they are asked for', async () => {
  const { input } = await exportTorchScript(detector, at('normalised.pt'), { input: 'normalised' });
  assert.deepEqual(input, { name: 'pixels', dtype: 'float32', shape: [3, 48, 48] });
});

describe('nothing is written', () => {
  const refused = async (code: string | RegExp, out: string, options: TorchScriptOptions = {}) => {
    const expected = typeof code === 'string' ? { code } : code;
    await assert.rejects(exportTorchScript(detector, out, options), expected);
  };
  const untouched = (work: () => Promise<void>) => async () => {
    const there = readdirSync(folder);
    const bytes = readFileSync(model);
    await work();
    assert.deepEqual(readdirSync(folder), there);
    assert.ok(readFileSync(model).equals(bytes));
  };

  test(
    'for an input of another kind',
    untouched(() => refused('ERR_CLIPN_INVALID_ARG', at('x'), { input: 'jpeg' as 'pixels' })),
  );
  test(
    'over the model file',
    untouched(() => refused('ERR_CLIPN_INVALID_ARG', model)),
  );
  test(
    'of a file with another hash than the trusted one',
    untouched(() => refused('ERR_CLIPN_MODEL_UNTRUSTED', at('x'), { trustedSha256: '0'.repeat(64) })),
  );
  test(
    'into a folder that is not there',
    untouched(() => refused('ERR_CLIPN_IO', at('absent/x'))),
  );
  test(
    'when it is called off',
    untouched(() => refused(/^Error: enough$/, at('x'), { signal: AbortSignal.abort(new Error('enough')) })),
  );
  test('when another model lies there by now', async () => {
    const other = at('other.pt');
    copyFileSync(model, other);
    await using late = await loadDetector({
      model: other,
      labels: ['cat'],
      labelBank: { cache: false, templates: 'plain' },
    });
    copyFileSync(await apiModel('clip'), other);
    await assert.rejects(exportTorchScript(late, at('x')), { code: 'ERR_CLIPN_BANK_MISMATCH' });
  });
});
