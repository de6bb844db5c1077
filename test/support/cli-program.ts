/** The built command line, for tests that start it as a process: compiling it in each process would take most of the time. */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { repository } from './paths';

const program = path.join(repository, 'dist/cli/main.js');

/** Path of dist/cli/main.js. Throws when lib/ has changed since it was built. */
export function cliProgram(): string {
  const built = statSync(program, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const changed = readdirSync(path.join(repository, 'lib'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|json|js|css)$/.test(entry.name))
    .find((entry) => statSync(path.join(entry.parentPath, entry.name)).mtimeMs > built);
  if (changed) throw new Error(`dist/ is older than ${changed.name}: run \`npm run build:lib\``);
  return program;
}
