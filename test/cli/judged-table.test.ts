/** `gate` on tables of verdicts that a batch has come to. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Calibration, saveCalibration } from '../../lib/decide/calibration';
import { type Columns, writeParquet } from '../support/parquet';
import { runCli } from '../support/run-cli';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-judged-'));
const at = (name: string) => path.join(folder, name);
after(() => rmSync(folder, { recursive: true }));

/** Of `count` images, the first `out` are out, the next `review` are to be looked at. */
function judged(count: number, out: number, review: number, rule = 'calibrated', pValue = 0.25): Columns {
  const each = <T>(value: (i: number) => T) => Array.from({ length: count }, (_, i) => value(i));
  return {
    image: each((i) => `s3://photos/${i}.jpg`),
    verdict: each((i) => (i < out ? 'out' : i < out + review ? 'review' : 'in')),
    rule: each(() => rule),
    label: each(() => 'cat'),
    pValue: each(() => pValue),
    atd: each((i) => (i < out ? 0.39 : i < out + review ? 0.4 : 0.5)),
    error: each(() => null),
    message: each(() => null),
  };
}

/** A calibration as of `calibrate`; of its images `low` have the score 0.3, the others 0.6. */
function fitted(low: number, offsets?: number[]): Calibration {
  const hash = '0'.repeat(64);
  return {
    ...{ formatVersion: 3, score: 'atd', in: 0.5, out: 0.4, target: 0.95, review: 0.1, created: '2026-01-01' },
    ...{ images: offsets ? 198 : 99, scores: Array.from({ length: 99 }, (_, i) => (i < low ? 0.3 : 0.6)) },
    ...(offsets && { offsets }),
    fittedFor: {
      ...{ contentId: hash, scale: 100, preprocessing: hash, exif: true, precision: 'fp32' },
      ...{ labels: hash, templates: hash },
    },
  };
}

before(async () => {
  await saveCalibration(fitted(2), at('fitted.json'));
  await saveCalibration(fitted(3), at('others.json'));
  await saveCalibration(fitted(2, [-0.01, 0.3]), at('by-class.json'));
  await saveCalibration(fitted(2, [0.05, 0.3]), at('stricter-by-class.json'));
  writeFileSync(at('calibration.json'), JSON.stringify({ formatVersion: 1, score: 'atd', in: 0.5, out: 0.4 }));
  writeFileSync(at('stricter.json'), JSON.stringify({ formatVersion: 1, score: 'atd', in: 0.5, out: 0.45 }));
  await writeParquet(at('good.parquet'), judged(100, 2, 3));
  await writeParquet(at('fitted.parquet'), judged(100, 2, 3, 'calibrated', 0.03));
  await writeParquet(at('bad.parquet'), judged(100, 30, 0));
  await writeParquet(at('paper.parquet'), judged(10, 1, 0, 'atd'));
  await writeParquet(at('other.parquet'), { name: ['x'], atd: [0.5] });
  await writeParquet(at('dead.parquet'), {
    ...{ image: ['s3://photos/x.jpg'], verdict: [null], rule: [null], label: [null] },
    ...{ error: ['ERR_SERVE_OBJECT_NOT_FOUND'], message: ['s3://photos/x.jpg does not exist'] },
  });
  writeFileSync(at('cut.parquet'), 'PAR1');
});

const gate = (...args: string[]) => gateBy('calibration.json', ...args);
const gateBy = (calibration: string, ...args: string[]) =>
  runCli(['gate', ...args, '--calibration', at(calibration), '--max-out', '10%']);

describe('gate on tables of a batch', { concurrency: 2 }, () => {
  test('counts the verdicts and lists what is not in', async () => {
    const { code, out, err } = await gate(at('good.parquet'), '--json');
    assert.equal(code, 0, err);
    const told = JSON.parse(out);
    assert.deepEqual([told.passed, told.judged, told.in, told.review, told.out], [true, 100, 95, 3, 2]);
    assert.deepEqual(
      told.images.map(({ image }: { image: string }) => image),
      [0, 1, 2, 3, 4].map((i) => `s3://photos/${i}.jpg`),
    );
  });

  test('fails with exit 3 when too many are out', async () => {
    const { code, out } = await gate(at('bad.parquet'));
    assert.equal(code, 3);
    assert.match(out, /FAILED: 30 of 100 images are out/);
  });

  test('takes dead letters as images that could not be read', async () => {
    const { code, out } = await gate(at('good.parquet'), at('dead.parquet'));
    assert.equal(code, 1);
    assert.match(out, /ERR_SERVE_OBJECT_NOT_FOUND: s3:\/\/photos\/x\.jpg does not exist/);
    assert.match(out, /could not be read: 1/);
  });

  test('refuses verdicts that the calibration does not give to their scores', async () => {
    const { code, err } = await gateBy('stricter.json', at('good.parquet'));
    assert.equal(code, 1);
    assert.match(
      err,
      /ERR_CLIPN_CALIBRATION: .*good\.parquet, row 3: its verdict is not one of this calibration: with atd/,
    );
    assert.match(err, /it would be out, and is review/);
  });

  test('takes verdicts and p-values that a fitted calibration gives, to a class of its own threshold too', async () => {
    for (const calibration of ['fitted.json', 'by-class.json']) {
      const { code, err } = await gateBy(calibration, at('fitted.parquet'));
      assert.equal(code, 0, err);
    }
  });

  test('refuses p-values of a calibration with the same thresholds on other images', async () => {
    const { code, err } = await gateBy('others.json', at('fitted.parquet'));
    assert.equal(code, 1);
    assert.match(err, /ERR_CLIPN_CALIBRATION: .*fitted\.parquet, row 1: .* its pValue would be 0\.04, and is 0\.03/);
  });

  test('refuses verdicts that the threshold of no class gives', async () => {
    const { code, err } = await gateBy('stricter-by-class.json', at('fitted.parquet'));
    assert.equal(code, 1);
    assert.match(err, /ERR_CLIPN_CALIBRATION: .*fitted\.parquet, row 3: .* it would be out, and is review/);
  });

  for (const [name, message] of [
    ['paper', /paper\.parquet, row 1: its verdict is that of the rule atd, not of a calibration/],
    ['other', /other\.parquet: there is no column image/],
    ['cut', /cannot read .*cut\.parquet: /],
    ['absent', /ERR_CLIPN_IO: cannot read .*absent\.parquet: /],
  ] as const) {
    test(`refuses ${name}.parquet, naming file and row or column`, async () => {
      const { code, err } = await gate(at(`${name}.parquet`));
      assert.equal(code, 1);
      assert.match(err, message);
    });
  }

  for (const flags of [['--model', 'm.pt'], ['--no-exif']]) {
    test(`refuses ${flags.join(' ')}, which goes with images: the verdicts are there`, async () => {
      const { code, err } = await gate(at('good.parquet'), ...flags);
      assert.equal(code, 2);
      assert.match(err, new RegExp(`${flags[0]} goes with images`));
    });
  }

  test('refuses images beside tables', async () => {
    const { code, err } = await gate(at('good.parquet'), folder);
    assert.equal(code, 2);
    assert.match(err, /not both/);
  });
});
