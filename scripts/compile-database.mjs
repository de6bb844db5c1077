/** The native build's own files, with the commands that compiled them, for tools that look at them again. Node only. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root, Stop } from './steps.mjs';

/** An entry for each file of one that CMake put together of several. */
function filesOf(entry) {
  if (!/\/Unity\/unity_\d+_cxx\.cxx$/.test(entry.file)) return [entry];
  const included = [...readFileSync(entry.file, 'utf8').matchAll(/^#include "(.+)"$/gm)];
  return included.map(([, file]) => ({ ...entry, command: entry.command.replaceAll(entry.file, file), file }));
}

/**
 * `unit` includes all files that include libtorch: reading its headers for each of them would take minutes. `alone` are the
 * others. Entries are those of a compile_commands.json.
 */
export function ownUnits() {
  const database = join(root, 'build/compile_commands.json');
  if (!existsSync(database)) throw new Stop('build/compile_commands.json is missing: run `npm run build:native` first');
  // A kernel is compiled for several CPUs: one is enough here. Kernels of the GPU are compiled for the CPU by a test alone,
  // with stand-ins whose names are CUDA's.
  const own = new Map();
  for (const entry of JSON.parse(readFileSync(database, 'utf8')).flatMap(filesOf)) {
    const file = relative(root, entry.file);
    if (/^(cpp|binding)\/(?!test)/.test(file) && !file.endsWith('.cu') && !own.has(file)) own.set(file, entry);
  }
  const usesLibtorch = (entry) => entry.command.includes('/api/include');
  const together = [...own.values()].filter(usesLibtorch);
  const unit = join(root, 'build/tidy/libtorch.cpp');
  mkdirSync(join(root, 'build/tidy'), { recursive: true });
  writeFileSync(
    unit,
    together.map(({ file }) => `#include "${file}"  // NOLINT(bugprone-suspicious-include)\n`).join(''),
  );
  const { directory, command, file } = together.find((entry) => entry.command.includes('-fopenmp'));
  return {
    unit: { directory, command: command.replaceAll(file, unit), file: unit },
    alone: [...own.values()].filter((entry) => !usesLibtorch(entry)),
  };
}
