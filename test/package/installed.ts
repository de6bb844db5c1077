/** The packed package, installed by npm once for all tests, and what is asked of every way to run it. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { CheckResult } from '../../lib/model/detector';
import { repository } from '../support/paths';
import { folder, must, npmEnv } from './processes';

const { version } = JSON.parse(readFileSync(path.join(repository, 'package.json'), 'utf8')) as { version: string };
export const PACKAGES = ['clipn-native', 'clipn-native-model-small'];
export const SERVER = 'clipn-native-serve';
export const tarball = (name: string) => path.join(repository, 'build/pack', `${name}-${version}.tgz`);

export const app = path.join(folder, 'app');
export const installed = (name: string, root = app) => path.join(root, 'node_modules', name);

/** Writes a user's program into a new folder. */
export function newApp(root: string, manifest: Record<string, unknown> = {}): void {
  cpSync(path.join(repository, 'test/package/consumer'), root, { recursive: true });
  writeFileSync(path.join(root, 'package.json'), JSON.stringify({ name: 'app', private: true, ...manifest }));
}

/** Packs, and installs without scripts. */
export async function installPackage(): Promise<void> {
  await must(process.execPath, ['scripts/pack.mjs'], { cwd: repository });
  mkdirSync(path.join(folder, 'home'));
  newApp(app);
  const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  await must('npm', ['install', ...flags, ...PACKAGES.map(tarball)], { cwd: app, env: npmEnv() });
  ofClone = fromLines(
    await must(process.execPath, [path.join(repository, 'dist/cli/main.js'), ...checkArgs()], { cwd: repository }),
  );
  assert.equal(ofClone.length, photos().length);
}

const samples = () => path.join(installed('clipn-native-model-small'), 'photos');
export const model = () => path.join(installed('clipn-native-model-small'), 'model.pt');
export const photos = () =>
  readdirSync(samples())
    .filter((name) => name.endsWith('.jpg'))
    .map((name) => path.join(samples(), name));
export const labels = () => readFileSync(path.join(samples(), 'labels.txt'), 'utf8').trim().split('\n').join();

/** Arguments of the consumer's programs. */
export const programArgs = () => [model(), labels(), ...photos()];
export const checkArgs = () => ['check', ...photos(), '--model', model(), '--labels', labels(), '--json'];
export const fromLines = (text: string): CheckResult[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

let ofClone: CheckResult[];
const verdictsOf = (all: CheckResult[]) => all.map(({ image, verdict, label }) => ({ image, verdict, label }));

/** What the clone says of the photos. */
export const cloneVerdicts = () => verdictsOf(ofClone);

/** The clone's verdicts; scores differ by rounding, for photos are batched as they come in. */
export function assertSameVerdicts(results: CheckResult[]): void {
  assert.deepEqual(verdictsOf(results), cloneVerdicts());
  results.forEach(({ scores }, i) => {
    for (const name of ['atd', 'msp'] as const)
      assert.ok(Math.abs(scores[name] - ofClone[i]!.scores[name]) < 1e-4, name);
  });
}
