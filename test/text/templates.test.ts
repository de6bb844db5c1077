import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fillTemplate, loadTemplates, makeTemplateSet } from '../../lib/text/templates';

const folder = mkdtempSync(join(tmpdir(), 'clipn-templates-'));
after(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string | Buffer): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const sha256 = (lines: readonly string[]): string => createHash('sha256').update(lines.join('\n')).digest('hex');

test("'clipn' is the 128 quoted lines of spec 2.1", async () => {
  const set = await loadTemplates('clipn');
  assert.equal(set.templates.length, 128);
  assert.equal(set.sha256, 'b6c115442a72f3d7167d201a02149541be98d50d99c3a905632bb177b1f09269');
});

test("'openai' is the list of 80 that the 128 derive from by the rule of spec 2.1", async () => {
  const { templates: openai } = await loadTemplates('openai');
  assert.equal(openai.length, 80);
  const dropped = /hard to see|embroidered|plastic|origami|toy|cartoon|plushie|^art of the \{\}|^itap of my \{\}/;
  const of = openai.filter((template) => !dropped.test(template));
  const withs = of.map((template) =>
    template.includes('video game')
      ? template.replace('{} in a video game.', '{} appearing in a video game.')
      : template.replace(' of ', ' with '),
  );
  const quoted = [...of, ...withs].map((template, i) => `'${template}'${i === 34 || i === 98 ? ',' : ''}`);
  assert.deepEqual(quoted, (await loadTemplates('clipn')).templates);
});

test("'plain' is one sentence", async () => {
  assert.deepEqual((await loadTemplates('plain')).templates, ['a photo of a {}.']);
});

test('a file gives a template a line, whatever its line ends', async () => {
  const set = await loadTemplates(file('crlf.txt', 'a {}.\r\na {} or a {}\r\n'));
  assert.deepEqual(set.templates, ['a {}.', 'a {} or a {}']);
  assert.equal(set.sha256, sha256(['a {}.', 'a {} or a {}']));
});

test('a JSON file gives its strings', async () => {
  assert.deepEqual((await loadTemplates(file('set.json', ' ["x {}"]'))).templates, ['x {}']);
});

test('the class name goes to every {} as it is', () => {
  assert.equal(fillTemplate('a {} or {}', '$& {}'), 'a $& {} or $& {}');
});

const refused: [string, () => Promise<unknown>][] = [
  ['an unknown name', () => loadTemplates('clpn')],
  ['a name of Object.prototype', () => loadTemplates('constructor')],
  ['a line without {}', () => loadTemplates(file('none.txt', 'a {}\na photo\nb {}\n'))],
  ['an empty file', () => loadTemplates(file('empty.txt', '\n'))],
  ['a JSON object', () => loadTemplates(file('bad.json', '[{"a": 1}]'))],
  ['broken JSON', () => loadTemplates(file('cut.json', '["a {}"'))],
  ['a special token', async () => makeTemplateSet('own', ['{} <|endoftext|>'])],
  ['bytes that are not UTF-8', () => loadTemplates(file('latin1.txt', Buffer.from([0x7b, 0x7d, 0xe9])))],
];
for (const [what, load] of refused) {
  test(`templates: ${what} is refused`, async () => {
    await assert.rejects(load, { code: 'ERR_CLIPN_TEMPLATES' });
  });
}
