/** What a package answers for the small model's photos, told by a process of its own: to be compared with another's. */
import assert from 'node:assert/strict';
import type { CheckResult } from '../../lib';

/** Run as `node FILE PACKAGE MODEL-FOLDER`, with the name or path of clipn-native; prints `Told` as JSON. */
export const ANSWERS_PROGRAM = `
const { readFileSync, readdirSync } = require('node:fs');
const path = require('node:path');
const { describeCore, loadModel } = require(process.argv[2]);
(async () => {
  const folder = path.join(process.argv[3], 'photos');
  const labels = readFileSync(path.join(folder, 'labels.txt'), 'utf8').split('\\n').filter(Boolean);
  const files = readdirSync(folder).filter((name) => name.endsWith('.jpg')).map((name) => path.join(folder, name));
  const model = await loadModel(path.join(process.argv[3], 'model.pt'), { device: 'cpu' });
  const detector = await model.createDetector(labels, { labelBank: { cache: false }, trace: true });
  const results = await detector.check(files);
  const core = await describeCore();
  console.log(JSON.stringify({ arch: process.arch, core, rewritten: model.info.rewritten, results }));
  await model.close();
})();
`;

export interface Told {
  arch: string;
  core: { torchVersion: string };
  rewritten: boolean;
  results: Required<CheckResult>[];
}

/** Pixels byte for byte, verdicts and labels; features, logits and scores up to rounding. */
export function assertSameAnswers(own: Told, other: Told): void {
  assert.equal(own.results.length, other.results.length);
  for (const [i, result] of own.results.entries()) {
    const there = other.results[i]!;
    assert.equal(result.pixelsSha256, there.pixelsSha256);
    assert.deepEqual([result.verdict, result.label], [there.verdict, there.label]);
    for (const [j, value] of result.feature.entries()) assert.ok(Math.abs(value - there.feature[j]!) < 2e-6);
    for (const [c, value] of result.logits.yes.entries()) assert.ok(Math.abs(value - there.logits.yes[c]!) < 2e-4);
    for (const score of ['ctw', 'atd', 'msp'] as const) {
      assert.ok(Math.abs(result.scores[score]! - there.scores[score]!) < 1e-4, score);
    }
  }
}
