/** The documents: links lead somewhere, tables fit a terminal, and what comments cite is there. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { TRIED } from './package/tried';
import { repository } from './support/paths';

const read = (file: string) => readFileSync(path.join(repository, file), 'utf8');
const DOCUMENTS = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'models/small/README.md',
  'bench/README.md',
  'examples/electron/README.md',
  'examples/server/README.md',
  ...pagesOf('docs'),
  ...pagesOf('docs/api'),
];
function pagesOf(folder: string): string[] {
  const names = readdirSync(path.join(repository, folder)).filter((name) => name.endsWith('.md'));
  return names.map((name) => `${folder}/${name}`);
}

/** A row of a table must fit a terminal of 120 columns. */
const WIDEST_ROW = 110;

/** The text without code: what looks like a link or a table there is none. */
const withoutCode = (text: string) => text.replace(/```[\s\S]*?```/g, '').replace(/`[^`\n]*`/g, '');

/** The anchors of a document's headings, as GitHub makes them. */
function anchors(file: string): Set<string> {
  const headings = [
    ...read(file)
      .replace(/```[\s\S]*?```/g, '')
      .matchAll(/^#+ +(.*)$/gm),
  ];
  const slug = (heading: string) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
  return new Set(headings.map(([, heading]) => slug(heading!)));
}

for (const file of DOCUMENTS) {
  test(`the links of ${file} lead to files and headings that are there`, () => {
    const broken: string[] = [];
    for (const [, link] of withoutCode(read(file)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link!)) continue;
      const [target, anchor] = link!.split('#') as [string, string | undefined];
      const to = target === '' ? file : path.posix.join(path.posix.dirname(file), target);
      if (!existsSync(path.join(repository, to))) broken.push(link!);
      else if (anchor !== undefined && !anchors(to).has(anchor)) broken.push(link!);
    }
    assert.deepEqual(broken, []);
  });

  test(`the tables of ${file} fit a terminal`, () => {
    const rows = read(file)
      .replace(/```[\s\S]*?```/g, '')
      .split('\n');
    assert.deepEqual(
      rows.filter((row) => row.startsWith('|') && row.length > WIDEST_ROW),
      [],
    );
  });
}

for (const folder of ['docs', 'docs/api']) {
  test(`${folder}/README.md names every document beside it`, () => {
    const map = read(`${folder}/README.md`);
    const names = pagesOf(folder).map((file) => path.basename(file));
    const unnamed = names.filter((name) => !map.includes(`](${name}`));
    assert.deepEqual(unnamed, ['README.md']);
  });
}

test('every section of the method that a comment cites is in docs/clipn.md', () => {
  const numbers = new Set([...read('docs/clipn.md').matchAll(/^#+ (\d+(?:\.\d+)?)/gm)].map(([, number]) => number));
  const missing: string[] = [];
  for (const folder of ['lib', 'binding', 'cpp', 'test', 'bench']) {
    for (const entry of readdirSync(path.join(repository, folder), { recursive: true, encoding: 'utf8' })) {
      if (!/\.(ts|h|cc|c|cpp|inl|cu|py)$/.test(entry)) continue;
      for (const [, cited] of read(path.join(folder, entry)).matchAll(/\bspec (\d+(?:\.\d+)*)/g)) {
        if (!numbers.has(cited!)) missing.push(`${folder}/${entry}: spec ${cited}`);
      }
    }
  }
  assert.deepEqual(missing, []);
});

test('docs/runtimes.md has a row for everything that the packed package is tried with, in the version tried', () => {
  const table = read('docs/runtimes.md').split('\n\n')[2]!;
  const rows = table
    .split('\n')
    .slice(2)
    .map((row) => row.split('|').map((cell) => cell.trim()));
  assert.deepEqual(
    rows.map(([, name, version, works]) => [name, version, works]),
    TRIED.map(({ name, version }) => [name, version, 'yes']),
  );
});
