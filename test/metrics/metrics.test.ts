import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { normal, uniformSource } from '../../lib/base/random';
import { wilsonInterval } from '../../lib/metrics/intervals';
import { averageMetrics, idAccuracy, oodMetrics, setMetrics } from '../../lib/metrics/metrics';
import { rocCurve } from '../../lib/metrics/roc';
import { goldenFile } from '../support/paths';

interface GoldenCase {
  note: string;
  id_scores: number[];
  ood_scores: number[];
  auroc: number;
  fpr95_official_interp: number;
  fpr95_first_threshold_with_tpr_ge_95: number;
  fpr95_mcm_nearest_recall: number;
  aupr_in_id_positive: number;
  aupr_out_ood_positive_negated_score: number;
}

// Computed with the original code, MCM's and scikit-learn (spec 4.3).
const golden: Record<string, GoldenCase> = JSON.parse(readFileSync(goldenFile('worked-example.json'), 'utf8')).metrics;

function near(found: number, expected: number, tolerance = 1e-12): void {
  assert.ok(Math.abs(found - expected) <= tolerance, `${found} is not ${expected}`);
}

for (const [name, expected] of Object.entries(golden)) {
  test(`golden case ${name}: ${expected.note}`, () => {
    const { id_scores: id, ood_scores: ood } = expected;
    const found = oodMetrics(id, ood);
    near(found.auroc, expected.auroc);
    near(found.auprIn, expected.aupr_in_id_positive);
    near(found.auprOut, expected.aupr_out_ood_positive_negated_score);
    near(found.fprAtIdTpr95, expected.fpr95_official_interp);
    const withRule = (rule: 'reached' | 'nearest') => oodMetrics(id, ood, { rule }).fprAtIdTpr95;
    near(withRule('reached'), expected.fpr95_first_threshold_with_tpr_ge_95);
    near(withRule('nearest'), expected.fpr95_mcm_nearest_recall);
  });
}

describe('fprAtOodTpr95', () => {
  test('is the smallest share of ID called OOD at which at least 95 % of the OOD are', () => {
    // OOD recall 19/20 is exactly 0.95: the threshold may spare the highest OOD score.
    const ood = Array.from({ length: 20 }, (_, i) => i);
    assert.equal(oodMetrics([5.5, 18.5, 30], ood).fprAtOodTpr95, 1 / 3);
    // Of 19, all must be called OOD.
    assert.equal(oodMetrics([5.5, 17.5, 30], ood.slice(0, 19)).fprAtOodTpr95, 2 / 3);
  });

  test('is fprAtIdTpr95 by the rule `reached` with the roles exchanged and the scores negated', () => {
    const [id, ood] = samples(300, 200, 1);
    const negated = (scores: Float64Array) => scores.map((score) => -score);
    const exchanged = oodMetrics(negated(ood), negated(id), { rule: 'reached' });
    assert.equal(oodMetrics(id, ood).fprAtOodTpr95, exchanged.fprAtIdTpr95);
  });
});

/** ID from N(separation, 1), OOD from N(0, 1); rounded to `grid` when given, so that ties are many. */
function samples(nId: number, nOod: number, separation: number, grid = 0, uniform = uniformSource(1)) {
  const draw = (n: number, mean: number) =>
    Float64Array.from({ length: n }, () => {
      const x = mean + normal(uniform);
      return grid === 0 ? x : Math.round(x / grid) * grid;
    });
  return [draw(nId, separation), draw(nOod, 0)] as const;
}

describe('scores', () => {
  test('count by order alone: a rising function of them changes nothing, and infinities have their place', () => {
    const [id, ood] = samples(200, 100, 1, 0.5);
    const stretched = (scores: Float64Array) =>
      scores.map((x) => (x >= 2 ? Number.POSITIVE_INFINITY : x <= -1 ? Number.NEGATIVE_INFINITY : Math.exp(x)));
    const clipped = (scores: Float64Array) => scores.map((x) => Math.max(-1, Math.min(2, x)));
    assert.deepEqual(oodMetrics(stretched(id), stretched(ood)), oodMetrics(clipped(id), clipped(ood)));
  });

  test('may come in any order, as any list of numbers; minus zero is zero', () => {
    const expected = oodMetrics([0, 0, 1, 2], [0, 1]);
    assert.deepEqual(oodMetrics([2, -0, 1, 0], Float32Array.of(1, -0)), expected);
  });

  for (const [what, id, ood, message] of [
    ['NaN', [1, Number.NaN], [0], /^id: score 1 .* NaN/],
    ['a text', [1], [0, '1'] as unknown as number[], /^ood: score 1 .* 1, not a number/],
    ['no ID scores', [], [0], /^id has no scores/],
    ['no OOD scores', [1], [], /^ood has no scores/],
  ] as const) {
    test(`${what}: refused`, () => {
      for (const measure of [oodMetrics, setMetrics, rocCurve]) {
        assert.throws(() => measure(id, ood), { code: 'ERR_CLIPN_SCORES', message });
      }
    });
  }

  test('an unknown rule is refused', () => {
    assert.throws(() => oodMetrics([1], [0], { rule: 'median' as 'nearest' }), { code: 'ERR_CLIPN_INVALID_ARG' });
  });
});

describe('rocCurve', () => {
  test('holds the corners of the golden cases and nothing between them', () => {
    const { id_scores: id, ood_scores: ood } = golden['ties_across_groups']!;
    assert.deepEqual(rocCurve(id, ood), { fpr: [0, 0.25, 0.25, 0.75, 1], tpr: [0, 0.5, 0.75, 1, 1] });
    const equal = golden['all_equal']!;
    assert.deepEqual(rocCurve(equal.id_scores, equal.ood_scores), { fpr: [0, 1], tpr: [0, 1] });
  });

  test('its area is the AUROC', () => {
    const [id, ood] = samples(150, 80, 1, 0.3);
    const { fpr, tpr } = rocCurve(id, ood, 1000);
    near(area(fpr, tpr), oodMetrics(id, ood).auroc);
  });

  test('thinned, it keeps its ends, rises, has at most maxPoints and strays from the whole by at most a step', () => {
    const [id, ood] = samples(5000, 5000, 1);
    const whole = rocCurve(id, ood, 1e6);
    for (const maxPoints of [2, 3, 10, 300]) {
      const { fpr, tpr } = rocCurve(id, ood, maxPoints);
      assert.ok(fpr.length <= maxPoints && fpr.length === tpr.length, `${fpr.length} points`);
      assert.deepEqual([fpr[0], tpr[0], fpr.at(-1), tpr.at(-1)], [0, 0, 1, 1]);
      for (let k = 1; k < fpr.length; k++) assert.ok(fpr[k]! >= fpr[k - 1]! && tpr[k]! >= tpr[k - 1]!);
      if (maxPoints < 10) continue;
      const step = 4 / (maxPoints - 2);
      for (let k = 0, near = 0; k < whole.fpr.length; k++) {
        const gap = (i: number) => Math.abs(whole.fpr[k]! - fpr[i]!) + Math.abs(whole.tpr[k]! - tpr[i]!);
        while (near + 1 < fpr.length && gap(near + 1) <= gap(near)) near++;
        assert.ok(gap(near) <= step, `point ${k} is ${gap(near)} from the thinned curve`);
      }
    }
  });

  test('thinned, both corners of a long edge stay', () => {
    // 500 small steps, then an edge of half the height.
    const id = Array.from({ length: 1000 }, (_, i) => (i < 500 ? 1000 - i : 0));
    const ood = Array.from({ length: 1000 }, (_, i) => 999.5 - i);
    const { fpr, tpr } = rocCurve(id, ood, 20);
    const edge = tpr.findIndex((value, k) => k > 0 && value - tpr[k - 1]! === 0.5);
    assert.deepEqual([fpr[edge - 1], tpr[edge - 1], fpr[edge], tpr[edge]], [1, 0.5, 1, 1]);
  });

  test('fewer than 2 points are refused', () => {
    assert.throws(() => rocCurve([1], [0], 1), { code: 'ERR_CLIPN_INVALID_ARG' });
  });
});

function area(fpr: number[], tpr: number[]): number {
  let sum = 0;
  for (let k = 1; k < fpr.length; k++) sum += ((fpr[k]! - fpr[k - 1]!) * (tpr[k]! + tpr[k - 1]!)) / 2;
  return sum;
}

describe('intervals', () => {
  test("Wilson's are those of Newcombe (1998), table I, method 3", () => {
    for (const [successes, total, low, high] of [
      [81, 263, 0.2553, 0.3662],
      [15, 148, 0.0624, 0.1605],
      [0, 20, 0, 0.1611],
      [1, 29, 0.0061, 0.1718],
    ] as const) {
      const found = wilsonInterval(successes, total);
      near(found.low, low, 5e-5);
      near(found.high, high, 5e-5);
    }
    assert.throws(() => wilsonInterval(3, 2), { code: 'ERR_CLIPN_INVALID_ARG' });
    assert.throws(() => wilsonInterval(0, 0), { code: 'ERR_CLIPN_INVALID_ARG' });
  });

  test('in 400 draws of normal scores they hold the true value in 92 to 99 %', () => {
    // The truth is in closed form: Φ(1 / √2) and 1 − Φ(1 − 1.645).
    const [auroc, fpr] = [0.7602499389065233, 0.740488977158556];
    const uniform = uniformSource(2024);
    const held = { auroc: 0, fprAtIdTpr95: 0 };
    for (let draw = 0; draw < 400; draw++) {
      const { intervals } = setMetrics(...samples(300, 300, 1, 0, uniform));
      if (intervals.auroc.low <= auroc && auroc <= intervals.auroc.high) held.auroc++;
      if (intervals.fprAtIdTpr95.low <= fpr && fpr <= intervals.fprAtIdTpr95.high) held.fprAtIdTpr95++;
    }
    for (const count of Object.values(held)) assert.ok(count >= 368 && count <= 396, JSON.stringify(held));
  });

  test('are the same on every call, hold their estimates, and are never certain of little data', () => {
    for (const [id, ood] of [
      [[1], [0]],
      [[1, 2, 3], [0]],
      [
        [1, 1],
        [1, 1],
      ],
      [[0], [1, 2]],
    ] as const) {
      const found = setMetrics(id, ood);
      assert.deepEqual(setMetrics(id, ood), found);
      for (const metric of ['auroc', 'fprAtIdTpr95'] as const) {
        const { low, high } = found.intervals[metric];
        assert.ok(0 <= low && low <= found[metric] && found[metric] <= high && high <= 1, `${metric} ${low} ${high}`);
        assert.ok(high - low > 0.3, `${metric} ${low} to ${high}`);
      }
    }
  });
});

test('averageMetrics takes the plain mean of each metric, of at least one set', () => {
  const sets = [oodMetrics([1, 2], [0]), oodMetrics([1, 2], [0, 3])];
  const average = averageMetrics(sets);
  assert.deepEqual(Object.keys(average), ['auroc', 'auprIn', 'auprOut', 'fprAtIdTpr95', 'fprAtOodTpr95']);
  assert.equal(average.auroc, (1 + 0.5) / 2);
  assert.throws(() => averageMetrics([]), { code: 'ERR_CLIPN_SCORES' });
});

test('idAccuracy is the share of right predictions; nothing to compare is refused', () => {
  assert.equal(idAccuracy([0, 1, 2, 2], [0, 1, 1, 2]).accuracy, 0.75);
  for (const [predicted, truth] of [
    [[], []],
    [[1], [1, 2]],
  ] as const) {
    assert.throws(() => idAccuracy(predicted, truth), { code: 'ERR_CLIPN_SCORES' });
  }
});
