/**
 * Formatter, linter and type checker of each language: Biome and tsc for TypeScript, clang-format and clang-tidy for C++;
 * and whether docs/api/ is what the docstrings give (scripts/api.mjs).
 *   node scripts/lint.mjs [--fix] [--tidy]      --tidy: clang-tidy too, which takes minutes; always on when CI=true
 * A C++ tool that is not installed is named and skipped, but fails when CI=true.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ownUnits } from './compile-database.mjs';
import { filesBelow, inCi, main, output, root, run, runNode, Stop, step } from './steps.mjs';

const nativeFiles = () =>
  ['cpp', 'binding'].flatMap((folder) => filesBelow(folder, ['.h', '.cc', '.cpp', '.c', '.inl', '.cu']));

/** Whether a tool of this name starts; absence is said, or an error in CI. */
function available(tool) {
  if (output(tool, ['--version']) !== null) return true;
  const message = `${tool} is not installed (Debian: apt-get install ${tool})`;
  if (inCi) throw new Stop(message);
  console.log(`SKIPPED: ${message}`);
  return false;
}

/**
 * Runs clang-tidy on our own files among those that the last native build compiled, with g++'s omp.h at hand. All that
 * include libtorch are looked at as one unit: reading its headers for each of them would take minutes.
 */
async function tidy() {
  const { unit, alone } = ownUnits();
  const entries = [unit, ...alone];
  writeFileSync(join(root, 'build/tidy/compile_commands.json'), JSON.stringify(entries));
  const headers = (output('c++', ['-print-file-name=include']) ?? '').trim();
  // g++ 12's omp.h gives the malloc attribute arguments that clang 14 does not know.
  const extra = [`-idirafter${headers}`, '-D__malloc__(...)='].map((flag) => `--extra-arg=${flag}`);
  await eachInParallel(
    entries.map((entry) => entry.file),
    (each) => ['clang-tidy', ['-p', 'build/tidy', '--quiet', ...extra, each]],
  );
}

/** Runs one command per item, one a core; prints what fails and throws at the end. */
async function eachInParallel(items, commandOf) {
  const waiting = [...items];
  const failed = [];
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      const [command, args] = commandOf(item);
      const { code, text } = await new Promise((resolve, reject) => {
        const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] });
        let said = '';
        child.stdout.on('data', (chunk) => {
          said += chunk;
        });
        child.on('error', reject).on('close', (status) => resolve({ code: status, text: said }));
      });
      if (code !== 0) {
        failed.push(item);
        console.log(text);
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  if (failed.length > 0) throw new Stop(`clang-tidy: ${failed.join(', ')}`);
}

await main(async () => {
  const { values } = parseArgs({ options: { fix: { type: 'boolean' }, tidy: { type: 'boolean' } } });
  await step('Biome', () => {
    const biome = join(root, 'node_modules/@biomejs/biome/bin/biome');
    runNode([biome, 'check', '--diagnostic-level=warn', '--error-on-warnings', ...(values.fix ? ['--write'] : [])]);
  });
  await step('tsc', () => {
    for (const project of [
      'test/tsconfig.json',
      'lib/report/tsconfig.json',
      'examples/tsconfig.json',
      'serve/tsconfig.json',
      'serve/tsconfig.page.json',
    ]) {
      runNode([join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '-p', project]);
    }
  });
  await step('API reference', () => runNode(['scripts/api.mjs', ...(values.fix ? [] : ['--check'])]));
  if (available('clang-format')) {
    await step('clang-format', () =>
      run('clang-format', [...(values.fix ? ['-i'] : ['--dry-run', '-Werror']), ...nativeFiles()]),
    );
  }
  if ((values.tidy || inCi) && available('clang-tidy')) {
    await step('clang-tidy', tidy);
  }
});
