import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { DetectorDiagnosis, LabelLint } from '../../lib';
import { apiModel } from '../support/api-model';
import { keepLibtorch, runCli } from '../support/run-cli';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-lint-cli-'));
const at = (...parts: string[]) => path.join(folder, ...parts);
let model: string;
const cli = (...args: string[]) => runCli([...args, '--model', model, '--templates', 'plain'], at('cache'));

before(async () => {
  keepLibtorch();
  process.env['CLIPN_WORDNET'] = at('absent');
  model = await apiModel();
});
after(() => rmSync(folder, { recursive: true }));

describe('labels --lint', { concurrency: 2 }, () => {
  test('tells of bad names, and exits with 0', async () => {
    const { code, out, err } = await cli('labels', '--lint', '--labels', 'dog,dogs,a photo');
    assert.equal(code, 0, err);
    assert.match(out, /^photo +"a photo" speaks of a photo/m);
    assert.match(out, /^plural +"dog" and "dogs"/m);
    assert.match(out, /^3 labels: \d+ findings$/m);
    assert.match(out, /^not looked at: kinds of labels, since /m);
  });

  test('with --json is plain data', async () => {
    const { code, out } = await cli('labels', '--lint', '--labels', 'dog,dogs', '--json');
    const { findings, skipped } = JSON.parse(out) as LabelLint;
    assert.deepEqual([code, skipped.length], [0, 2]);
    const { kind, labels, value } = findings[0]!;
    assert.deepEqual([kind, labels, value], ['plural', ['dog', 'dogs'], 1]);
  });

  test('writes nothing, and without it there must be a file', async () => {
    const [both, neither, words] = await Promise.all([
      cli('labels', at('bank'), '--lint', '--labels', 'dog'),
      cli('labels', '--labels', 'dog'),
      cli('labels', at('bank'), '--labels', 'dog', '--negatives', 'wordnet'),
    ]);
    assert.deepEqual([both.code, neither.code, words.code], [2, 2, 2]);
    assert.match(neither.err, /give one file to write.*or --lint/);
  });
});

describe('labels', () => {
  test('of few names warns of the rule that will decide, and what to do', async () => {
    const { code, err } = await cli('labels', at('bank.safetensors'), '--labels', 'dog,cat');
    assert.equal(code, 0, err);
    assert.match(err, /warning: 2 labels: the rule atd is known to mislead.*clipn-native calibrate/);
  });
});

describe('doctor with labels', { concurrency: 2 }, () => {
  test('tells how many drawings are accepted; its exit code says whether the detector fails', async () => {
    const { code, out, err } = await cli('doctor', '--labels', 'dog,cat,bus', '--json');
    const told = JSON.parse(out) as DetectorDiagnosis;
    assert.equal(code, told.standing === 'fails' ? 1 : 0, err);
    assert.equal(told.asked, 48);
    assert.equal(
      told.byKind.reduce((sum, { accepted }) => sum + accepted, 0),
      told.accepted,
    );
  });

  test('asks the detector that its flags make', async () => {
    const answer = (threshold: string) =>
      cli('doctor', '--labels', 'dog,cat,bus', '--score', 'maxLogit', '--threshold', threshold);
    const [all, none] = await Promise.all([answer('-100'), answer('100.5')]);
    assert.match(all.out, /^48 of 48 drawings of nothing are accepted.*does not work/);
    assert.equal(all.code, 1);
    assert.match(none.out, /^0 of 48 drawings of nothing are accepted/);
  });

  test('decides by a calibration', async () => {
    const calibration = { formatVersion: 1, score: 'atd', in: 2, out: 2 };
    writeFileSync(at('c.json'), JSON.stringify(calibration));
    const { out, err } = await cli('doctor', '--labels', 'dog,cat', '--calibration', at('c.json'), '--json');
    assert.equal((JSON.parse(out) as DetectorDiagnosis).rule, 'calibrated', err);
  });

  test('without labels refuses what is for a detector', async () => {
    const { code, err } = await runCli(['doctor', '--negatives', 'wordnet'], at('cache'));
    assert.equal(code, 2);
    assert.match(err, /--negatives is for a detector: give --labels/);
  });
});
