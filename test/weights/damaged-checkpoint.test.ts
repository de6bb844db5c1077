/** Checkpoints with wrong keys, shapes, types or bytes: each ends in its code, and no file is left. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { exportModel } from '../../lib/weights/export';
import { cuts, directoryOf, flips, outcome } from '../support/damage';
import {
  allEndIn,
  at,
  contentId,
  edited,
  entries,
  exported,
  FORMAT,
  folder,
  KEYS,
  keys,
  options,
  safetensors,
  TIMEOUT,
  UNSAFE,
  whole,
  withEntry,
  withPickle,
  withTensor,
} from '../support/damaged-checkpoint';
import { pickle } from '../support/torch-zip';
import { zip } from '../support/zip';

test('a checkpoint rewritten without damage gives the same model', async () => {
  assert.equal(await exported('rewritten', zip(entries)), contentId);
});

test('a checkpoint without one of its keys is refused, whichever it is', async () => {
  const inputs: [string, Buffer][] = [];
  for (const key of keys) inputs.push([key, await edited((shapes) => void shapes.delete(key))]);
  await allEndIn(KEYS, inputs);
});

test('a tensor of another shape is refused, whichever it is', async () => {
  const inputs: [string, Buffer][] = [];
  for (const key of keys) {
    const longer = (shape: number[]) => [...shape.slice(0, -1), (shape.at(-1) ?? 0) + 1];
    inputs.push([key, await edited((shapes) => void shapes.set(key, longer(shapes.get(key)!)))]);
  }
  await allEndIn(KEYS, inputs);
});

test('a tensor of whole numbers is refused, whichever it is', async () => {
  const inputs = keys.map((key): [string, Buffer] => [
    key,
    withTensor(key, (text) => text.replace('FloatStorage', 'IntStorage')),
  ]);
  await allEndIn(KEYS, inputs);
});

test('int64 and float64 weights are refused', async () => {
  const header = (dtype: string) => safetensors((tensors) => Object.assign(tensors['visual.proj']!, { dtype }), 8);
  await allEndIn(KEYS, [
    ['I64', header('I64')],
    ['F64', header('F64')],
  ]);
});

test('a key too many is refused, whatever it is called and holds', async () => {
  const tensor = pickle.tensor('0', [1], [1]);
  const name =
    'epoch visual.attnpool.weight transformer.resblocks.7.ln_1.weight __proto__ constructor size module. \0 é';
  const inputs = name.split(' ').map((key): [string, Buffer] => [key, withEntry(pickle.string(key), tensor)]);
  const values = { none: Buffer.from('N'), text: pickle.string('x'), list: pickle.list([]), dict: pickle.dict([]) };
  for (const [what, value] of Object.entries(values)) inputs.push([what, withEntry(pickle.string('more'), value)]);
  await allEndIn(KEYS, inputs);
});

test('a key that is no string is refused', async () => {
  const inputs = { number: pickle.integer(1), none: Buffer.from('N'), list: pickle.list([pickle.integer(1)]) };
  await allEndIn(
    FORMAT,
    Object.entries(inputs).map(([name, key]) => [name, withEntry(key, pickle.tensor('0', [1], [1]))]),
  );
});

test('a checkpoint cut short is refused, wherever', () => allEndIn(FORMAT, cuts(whole)));

test('150 flipped bits in the directory are refused or change nothing', TIMEOUT, async () => {
  let refused = 0;
  for (const [name, bytes] of flips(whole, directoryOf(whole), whole.length, 150)) {
    const result = await exported(name, bytes);
    if (result !== FORMAT) assert.equal(result, contentId, name);
    else refused++;
  }
  assert.ok(refused > 40, `only ${refused}`);
});

test('150 flipped bits in the pickle, and 50 in the weights, are told by their checksum', TIMEOUT, async () => {
  const content = entries['seeded/data.pkl']!;
  const begin = whole.indexOf(content);
  await allEndIn(FORMAT, flips(whole, begin, begin + content.length, 150));
  const weights = whole.indexOf(entries['seeded/data/10']!);
  await allEndIn(FORMAT, flips(whole, weights, weights + entries['seeded/data/10']!.length, 50));
});

test('200 flipped bits in a pickle whose checksum is right end in a code or in a model', TIMEOUT, async () => {
  const codes = new Map<string, number>();
  const content = entries['seeded/data.pkl']!;
  for (const [name, data] of flips(content, 0, content.length, 200)) {
    const result = await exported(name, withPickle(data));
    codes.set(result, (codes.get(result) ?? 0) + 1);
  }
  // A bit can make one tensor stand for another of its shape: that is another model.
  const expected = new RegExp(`^(${FORMAT}|${UNSAFE}|${KEYS}|[0-9a-f]{64})$`);
  assert.deepEqual(
    [...codes.keys()].filter((code) => !expected.test(code)),
    [],
  );
  assert.ok(codes.get(FORMAT)! > 20 && codes.get(KEYS)! > 20, JSON.stringify([...codes]));
});

test('a logit scale that is no finite number is refused, for the model could not say it', async () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 1000, -1000]) {
    const name = Object.keys(entries).find((entry) => entries[entry]!.length === 4 && /data\/\d+$/.test(entry))!;
    const data = Buffer.from(new Float32Array([value]).buffer);
    assert.equal(await exported(String(value), zip({ ...entries, [name]: data })), FORMAT);
  }
});

test('what is no file is refused and not waited for', TIMEOUT, async () => {
  execFileSync('mkfifo', [at('pipe')]);
  for (const name of [at('pipe'), '/dev/zero', at('absent'), `${at('small.pt')}/below`]) {
    assert.equal(await outcome(name, exportModel(name, at('out.model'), options)), 'ERR_CLIPN_IO', name);
  }
  mkdirSync(at('empty'));
  assert.equal(await outcome('an empty folder', exportModel(at('empty'), at('out.model'), options)), FORMAT);
  rmdirSync(at('empty'));
});

test('a target that cannot be written leaves nothing behind, nor does the one of two that came last', async () => {
  const source = at('small.pt');
  const files = () => readdirSync(folder).sort();
  const before = files();
  for (const target of [folder, path.join(at('small.pt'), 'x'), at('a'.repeat(300)), '/proc/clipn.model']) {
    assert.equal(await outcome(target, exportModel(source, target, options)), 'ERR_CLIPN_IO', target);
  }
  assert.deepEqual(files(), before);
  const both = await Promise.all([0, 1].map(() => exportModel(source, at('both.model'), options)));
  assert.deepEqual(
    both.map((config) => config.contentId),
    [contentId, contentId],
  );
  assert.deepEqual(files(), [...before, 'both.model'].sort());
  assert.deepEqual(readFileSync(at('both.model')), readFileSync(at('whole.model')));
});
