/**
 * `npm run docs`: writes docs/api/, the reference of the public names, out of their docstrings.
 *   node scripts/api.mjs [--check]
 * --check: writes nothing, and fails where the pages are not what the docstrings give. Both fail when a public name has no
 * page, a name or a member no docstring, or an option does not say what holds when it is left out.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writePages } from './api/markdown.mjs';
import { PAGES } from './api/pages.mjs';
import { readApi } from './api/read.mjs';
import { main, root, Stop } from './steps.mjs';

const { check } = parseArgs({ options: { check: { type: 'boolean', default: false } } }).values;
const FOLDER = 'docs/api';

await main(() => {
  const entries = readApi();
  const { texts, problems } = writePages(entries, PAGES);
  const folder = join(root, FOLDER);
  const present = existsSync(folder) ? readdirSync(folder) : [];
  const current = (name) => (present.includes(name) ? readFileSync(join(folder, name), 'utf8') : undefined);
  const changed = [...texts].filter(([name, text]) => current(name) !== text);
  const extra = present.filter((name) => !texts.has(name));
  if (check) {
    const stale = [...changed.map(([name]) => name), ...extra].map((name) => `${FOLDER}/${name}`);
    if (stale.length > 0) problems.push(`not what the docstrings give (npm run docs writes them): ${stale.join(', ')}`);
  } else {
    mkdirSync(folder, { recursive: true });
    for (const [name, text] of changed) writeFileSync(join(folder, name), text);
    for (const name of extra) rmSync(join(folder, name));
  }
  if (problems.length > 0) throw new Stop(problems.join('\n'));
  const exported = entries.filter((entry) => entry.exported).length;
  console.log(
    `${FOLDER}: ${exported} public names on ${texts.size} pages${check ? '' : `, ${changed.length} changed`}`,
  );
});
