import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FittedCalibration, HandCalibration } from '../../lib/decide/calibration';
import { type Evidence, figuresOf, trueLabels } from '../../lib/evaluate/figures';
import { createdAt } from '../../lib/evaluate/provenance';
import type { ReadableSet } from '../../lib/evaluate/sets';
import type { Scorer } from '../../lib/scores/scorers';

test('the date of an evaluation is that of SOURCE_DATE_EPOCH, which must be one', (t) => {
  const before = process.env['SOURCE_DATE_EPOCH'];
  t.after(() => {
    if (before === undefined) delete process.env['SOURCE_DATE_EPOCH'];
    else process.env['SOURCE_DATE_EPOCH'] = before;
  });
  process.env['SOURCE_DATE_EPOCH'] = '1700000000';
  assert.equal(createdAt(), '2023-11-14T22:13:20.000Z');
  process.env['SOURCE_DATE_EPOCH'] = 'yesterday';
  assert.throws(createdAt, { code: 'ERR_CLIPN_INVALID_ARG', message: /SOURCE_DATE_EPOCH must be seconds since 1970/ });
  process.env['SOURCE_DATE_EPOCH'] = '';
  assert.ok(Math.abs(Date.parse(createdAt()) - Date.now()) < 60_000);
});

const atd: Scorer = { name: 'atd', formula: 'f', source: 's', needs: [], read: () => [] };

/** A set whose images lie in the class folders of these numbers; `broken` of them cannot be read. */
function readable(name: string, classOf: number[], broken: number[] = []): ReadableSet {
  const images = classOf.map((_, i) => `${i}.png`);
  const kept = Int32Array.from(classOf.keys()).filter((i) => !broken.includes(i));
  return {
    set: { name, folder: `/${name}`, images, classes: ['a', 'b'], classOf: Int32Array.from(classOf), otherFiles: 1 },
    kept,
    rows: Int32Array.from(kept.keys()),
    unreadable: broken.map((i) => ({ image: images[i]!, code: 'ERR_CLIPN_IMAGE_DECODE', message: 'damaged' })),
  };
}

const scored = (values: number[], top: number[]) => ({
  scores: { atd: Float64Array.from(values) },
  top: Int32Array.from(top),
});

/** Five ID images in two class folders, one of them broken, and two OOD sets; folder a is label 1, folder b label 0. */
const id = readable('id', [0, 0, 1, 1, 1], [4]);
const classes = { labels: ['bee', 'ant', 'cow'], labelOf: [1, 0], labelled: true };
const evidence: Evidence = {
  classes,
  truth: trueLabels(id, classes),
  deciding: 'atd',
  calibration: undefined,
  scorers: { usable: [atd], skipped: [{ score: 'negLabel', why: 'no words' }] },
  readable: [id, readable('far', [-1, -1]), readable('near', [-1])],
  scored: [scored([0.9, 0.8, 0.7, 0.3], [1, 0, 0, 0]), scored([0.1, 0.5], [2, 1]), scored([0.95], [0])],
};

test('the true label of an image is that of its class folder', () => {
  assert.deepEqual([...evidence.truth], [1, 1, 0, 0]);
});

test('accuracy counts readable images whose top label is the true one', () => {
  const { id: found } = figuresOf(evidence);
  assert.deepEqual([found.images, found.accuracy], [4, 0.75]);
  assert.deepEqual(found.unreadable, [{ image: '4.png', code: 'ERR_CLIPN_IMAGE_DECODE', message: 'damaged' }]);
});

test('without class folders there is no accuracy', () => {
  const { id: found } = figuresOf({ ...evidence, classes: { ...classes, labelled: false } });
  assert.deepEqual([found.accuracy, found.accuracyInterval], [null, null]);
});

test('a calibration is told with the shares of each set that reach its thresholds', () => {
  const calibration: HandCalibration = { formatVersion: 1, score: 'atd', in: 0.6, out: 0.4 };
  const applied = figuresOf({ ...evidence, calibration }).calibration;
  assert.deepEqual(applied, {
    target: null,
    confidence: null,
    images: null,
    score: 'atd',
    threshold: 0.6,
    byClass: false,
    reviewFrom: 0.4,
    idAccepted: 0.75,
    oodAccepted: { far: 0, near: 1 },
    idNotOut: 0.75,
    oodNotOut: { far: 0.5, near: 1 },
    curve: [],
  });
});

test('a fitted calibration is told with what other targets would keep, and takes its offsets', () => {
  // Nine scores: thresholds for targets up to 0.9. The second label's images, of 0.9, are lowered by 0.5.
  const scores = [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85];
  const fitted = {
    formatVersion: 3,
    score: 'atd',
    in: 0.5,
    out: 0.5,
    target: 0.5,
    images: 18,
    scores,
    offsets: [0, 0.5, 0],
  };
  const { calibration } = figuresOf({ ...evidence, calibration: fitted as unknown as FittedCalibration });
  assert.deepEqual([calibration!.idAccepted, calibration!.oodAccepted], [0.5, { far: 0, near: 1 }]);
  assert.deepEqual(
    calibration!.curve.filter((_, i) => i % 10 === 0).map(({ target, threshold, kept }) => [target, threshold, kept]),
    [
      [0.5, 0.45, 0.5],
      [0.6, 0.35, 0.75],
      [0.7, 0.25, 1],
      [0.8, 0.15, 1],
      [0.9, 0.05, 1],
    ],
  );
});

test('each OOD set is measured against all ID images', () => {
  const { scores } = figuresOf(evidence);
  // far: of 8 pairs ID is above in 7 (0.3 < 0.5); near: in none of 4.
  assert.deepEqual([scores['atd']!.sets['far']!.auroc, scores['atd']!.sets['near']!.auroc], [7 / 8, 0]);
  assert.equal(scores['atd']!.average.auroc, 7 / 16);
});

test('labels without a class folder are warned of', () => {
  assert.deepEqual(figuresOf(evidence).warnings, ['1 of 3 labels have no class folder']);
});
