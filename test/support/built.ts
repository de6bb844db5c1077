/** The built library and command line, for tests that start processes: compiling in each would take most of the time. */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { repository } from './paths';

const dist = path.join(repository, 'dist');
const program = path.join(dist, 'cli/main.js');

function assertUpToDate(): void {
  const built = statSync(program, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const changed = readdirSync(path.join(repository, 'lib'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|json|js|css)$/.test(entry.name))
    .find((entry) => statSync(path.join(entry.parentPath, entry.name)).mtimeMs > built);
  if (changed) throw new Error(`dist/ is older than ${changed.name}: run \`npm run build:lib\``);
}

/** Path of dist/cli/main.js. Throws when lib/ has changed since it was built. */
export function cliProgram(): string {
  assertUpToDate();
  return program;
}

/** Path of dist/, which can be required as the library. Throws when lib/ has changed since it was built. */
export function builtLibrary(): string {
  assertUpToDate();
  return dist;
}
