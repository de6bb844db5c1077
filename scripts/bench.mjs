/**
 * `npm run bench -- NAME [flags]`: set-up, then bench/NAME.ts. Without a name, lists what there is.
 */
import { basename, join } from 'node:path';
import { filesBelow, main, root, runNode, Stop } from './steps.mjs';

await main(async () => {
  const [name, ...flags] = process.argv.slice(2);
  const names = filesBelow('bench', ['.ts']).map((file) => basename(file, '.ts'));
  if (name === undefined) {
    console.log(`npm run bench -- NAME\n\n${names.map((each) => `  ${each}`).join('\n')}`);
    return;
  }
  if (!names.includes(name)) throw new Stop(`no benchmark ${name}; there are ${names.join(', ')}`);
  runNode(['scripts/setup.mjs']);
  runNode(['--import', 'tsx', join(root, 'bench', `${name}.ts`), ...flags]);
});
