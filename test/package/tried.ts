/**
 * What the packed package is tried with, by exact version; docs/runtimes.md has a row for each, which a test compares. Each
 * is the npm package that holds the program alone, or the tool's own.
 */

export interface Tried {
  name: string;
  package: string;
  version: string;
  /** Path of the program in its package. */
  program: string;
}

const here = `${process.platform}-${process.arch}`;
const node = (version: string): Tried => ({
  name: `Node ${version.split('.')[0]}`,
  package: `node-${here}`,
  version,
  program: 'bin/node',
});

export const NODES = [node('20.20.2'), node('22.23.5'), node('24.22.3'), node('26.12.1')];
export const BUN: Tried = { name: 'Bun', package: `@oven/bun-${here}`, version: '1.4.5', program: 'bin/bun' };
export const DENO: Tried = { name: 'Deno', package: `@deno/${here}-glibc`, version: '2.9.6', program: 'deno' };
export const PNPM: Tried = { name: 'pnpm', package: `@pnpm/exe.${here}`, version: '12.21.0', program: 'pnpm' };
export const YARN: Tried = {
  name: 'Yarn',
  package: '@yarnpkg/cli-dist',
  version: '4.18.1',
  program: 'bin/yarn.js',
};
export const ESBUILD: Tried = { name: 'esbuild', package: 'esbuild', version: '0.28.2', program: 'bin/esbuild' };
export const WEBPACK: Tried = { name: 'webpack', package: 'webpack', version: '5.113.0', program: 'lib/index.js' };
export const JEST: Tried = { name: 'Jest', package: 'jest', version: '30.5.2', program: 'bin/jest.js' };
export const VITEST: Tried = { name: 'Vitest', package: 'vitest', version: '5.1.2', program: 'vitest.mjs' };

export const TRIED = [...NODES, BUN, DENO, PNPM, YARN, ESBUILD, WEBPACK, JEST, VITEST];
