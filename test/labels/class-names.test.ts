import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import imagenet from '../../lib/data/imagenet-classnames.json';
import wnids from '../../lib/data/imagenet-wnids.json';
import { isImagenet, matchClasses, readClassNames } from '../../lib/labels/class-names';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-class-names-'));
after(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string) => {
  writeFileSync(path.join(folder, name), text);
  return path.join(folder, name);
};

test('without labels, class folders are the labels: by their name, their wnid, or the table that names them', () => {
  assert.deepEqual(matchClasses(['cat', 'n01443537', 'x1'], undefined, new Map([['x1', 'a thing']])), {
    labels: ['cat', 'goldfish', 'a thing'],
    labelOf: [0, 1, 2],
  });
});

test('with labels, each folder finds its own, and labels without a folder stay', () => {
  const { labels, labelOf } = matchClasses(['n01443537', 'dog'], ['dog', 'cat', 'goldfish']);
  assert.deepEqual(
    [labels, labelOf],
    [
      ['dog', 'cat', 'goldfish'],
      [2, 0],
    ],
  );
});

test("on ImageNet's own labels the wnid tells the row, also of the two pairs that share a name", () => {
  // Spec 2.1: indices 657 and 744 are both "missile", 836 and 837 both "sunglasses".
  const pairs = [657, 744, 836, 837];
  const { labelOf } = matchClasses(
    pairs.map((index) => wnids[index]!),
    imagenet,
  );
  assert.deepEqual(labelOf, pairs);
  assert.deepEqual([imagenet[744], imagenet[837]], ['missile', 'sunglasses']);
  assert.ok(isImagenet(imagenet) && !isImagenet(imagenet.toReversed()));
});

test('wnids are in class order: n01440764 is 0, n15075141 is 999', () => {
  assert.deepEqual([wnids.length, wnids[0], wnids[999]], [1000, 'n01440764', 'n15075141']);
  assert.deepEqual(wnids, wnids.toSorted());
});

test('refuses folders that the labels lack, naming them', () => {
  assert.throws(() => matchClasses(['cat', 'n01443537', 'owl'], ['cat']), {
    code: 'ERR_CLIPN_DATA_CLASSES',
    message: 'the labels lack 2 of 3 class folders: n01443537 (goldfish), owl',
  });
});

test('refuses a folder whose label stands twice, and a wnid that is not of ImageNet-1k', () => {
  const refused = { code: 'ERR_CLIPN_DATA_CLASSES' };
  assert.throws(() => matchClasses(['cat'], ['cat', 'dog', 'cat']), { ...refused, message: /given twice.*cat/ });
  assert.throws(() => matchClasses(['n00000001'], undefined), {
    ...refused,
    message: /outside ImageNet-1k: n00000001/,
  });
  assert.equal(matchClasses(['n00000001'], undefined, new Map([['n00000001', 'plan']])).labels[0], 'plan');
});

test('reads names from JSON and from lines', async () => {
  const json = await readClassNames(file('names.json', '{"n02085620": "Chihuahua", "x": "y z"}'));
  const lines = await readClassNames(file('names.txt', 'n02085620\tChihuahua\r\n\nx  y z\n'));
  const marked = await readClassNames(file('bom.json', '\ufeff{"n02085620": "Chihuahua", "x": "y z"}'));
  assert.deepEqual([...json], [...lines]);
  assert.deepEqual([...json], [...marked]);
});

test('refuses a table that is neither, naming the line', async () => {
  const refused = (path: string, code: string, message: RegExp) =>
    assert.rejects(readClassNames(path), { code, message });
  await refused(file('bad.txt', 'a b\nlonely\n'), 'ERR_CLIPN_LABELS', /line 2 has no class name/);
  await refused(file('bad.json', '{"a": 1}'), 'ERR_CLIPN_LABELS', /no string/);
  await refused(file('cut.json', '{"a": '), 'ERR_CLIPN_LABELS', /not JSON/);
  await refused(path.join(folder, 'absent'), 'ERR_CLIPN_IO', /absent/);
});
