/** docs/api/: every public name is on a page, and what the generator refuses. That the pages are up to date the linter checks. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import * as clipn from '../lib/index';
import { repository } from './support/paths';

interface Doc {
  text: string;
  tags: { name: string; text: string }[];
}

interface Named {
  name: string;
  doc: Doc;
  optional?: boolean;
  type?: string;
  signatures: unknown[];
  members: Named[];
  refs: string[];
}

interface Entry extends Named {
  kind: string;
  exported: boolean;
  file: string;
}

interface Generator {
  writePages(entries: Entry[], pages: object[]): { problems: string[] };
}

const says = (text: string): Doc => ({ text, tags: [] });
const member = (name: string, text: string, optional = false): Named => ({
  ...{ name, doc: says(text), optional, type: 'number' },
  ...{ signatures: [], members: [], refs: [] },
});

/** What is told about one exported interface with these members. */
async function problemsOf(name: string, text: string, members: Named[], names = [name]): Promise<string[]> {
  const { writePages } = (await import(path.join(repository, 'scripts/api/markdown.mjs'))) as Generator;
  const entry = { name, kind: 'interface', exported: true, file: 'lib/x.ts', doc: says(text) };
  const page = { file: 'x.md', title: 'X', about: 'All of it.', guides: ['scores.md'], names };
  return writePages([{ ...entry, signatures: [], members, refs: [] }], [page]).problems;
}

test('every name that the package exports at run time has a heading in docs/api/', () => {
  const folder = path.join(repository, 'docs/api');
  const pages = readdirSync(folder).map((file) => readFileSync(path.join(folder, file), 'utf8'));
  const headings = new Set(pages.flatMap((page) => [...page.matchAll(/^## (\w+)$/gm)].map(([, name]) => name)));
  const missing = Object.keys(clipn).filter((name) => !headings.has(name));
  assert.deepEqual(missing, []);
});

test('a name and a member without a docstring are told', async () => {
  const problems = await problemsOf('Box', '', [member('width', '')]);
  assert.deepEqual(problems, ['lib/x.ts: Box has no docstring', 'lib/x.ts: Box.width has no docstring']);
});

test('an option that does not say what holds without it is told', async () => {
  const members = [
    member('width', 'In mm.', true),
    member('height', 'In mm. Default 3.', true),
    member('depth', 'In mm.'),
  ];
  assert.deepEqual(await problemsOf('BoxOptions', 'Of a box.', members), [
    'lib/x.ts: BoxOptions.width does not say its default',
  ]);
});

test('a public name without a page is told, and a page that names what is not public', async () => {
  assert.deepEqual(await problemsOf('Box', 'A box.', [], ['Bag']), [
    'scripts/api/pages.mjs: Bag is no public name',
    'Box is on no page: give it one in scripts/api/pages.mjs',
  ]);
});
