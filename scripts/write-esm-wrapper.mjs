/**
 * Completes dist/ after tsc: index.mjs re-exports the CommonJS build name by name (native state must exist once per
 * process, so there is no second build), index.d.mts its types, the CLI becomes executable, and the scripts and styles of
 * the report come along.
 */
import { chmodSync, copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow, main, require, root, Stop } from './steps.mjs';

const SHEBANG = '#!/usr/bin/env node\n';

await main(() => {
  const dist = join(root, 'dist');
  const cli = join(dist, 'cli/main.js');
  if (!existsSync(cli)) throw new Stop(`${cli} is missing: run tsc first`);
  const source = readFileSync(cli, 'utf8');
  if (!source.startsWith(SHEBANG)) writeFileSync(cli, SHEBANG + source);
  chmodSync(cli, 0o755);

  for (const file of filesBelow('lib/report', ['.js', '.css'])) {
    copyFileSync(join(root, file), join(root, file.replace(/^lib/, 'dist')));
  }

  const names = Object.keys(require('./dist/index.js')).sort();
  if (names.includes('default'))
    throw new Stop('lib/index.ts has a default export, which the two module kinds read differently');
  writeFileSync(join(dist, 'index.d.mts'), "export * from './index.js';\n");
  // Last: set-up takes its time for that of the whole build.
  writeFileSync(
    join(dist, 'index.mjs'),
    `import cjs from './index.js';\n\nexport const { ${names.join(', ')} } = cjs;\n`,
  );
});
