import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { ClipnError } from '../../lib/base/errors';
import { normal, uniformSource } from '../../lib/base/random';
import { addToCusum, designCusum, expectedRunTime } from '../../lib/decide/cusum';
import { createDriftMonitor, type DriftInput, resumeDriftMonitor } from '../../lib/decide/drift';
import { parseDriftState } from '../../lib/decide/drift-state';
import { bet, binOf, jumpOf, OnlinePValues, SIMPLE_JUMPER, startJumper } from '../../lib/decide/martingale';
import { goldenFile } from '../support/paths';

interface Golden {
  martingale: {
    seed: number;
    calibration: number[];
    stream: number[];
    p: number[];
    /** Capital of the simple jumper with jumps of 0.01, and of ours. */
    simple: number[];
    ours: number[];
  };
  cusum: {
    runTimes: { up: number; down: number; threshold: number; rate: number; runTime: number }[];
    steps: { rate: number; rateToDetect: number; step: number }[];
  };
}
const golden: Golden = JSON.parse(readFileSync(goldenFile('decide.json'), 'utf8'));

function near(found: number, expected: number, what: string): void {
  assert.ok(
    Math.abs(found - expected) <= 1e-12 * Math.max(1, Math.abs(expected)),
    `${what}: ${found}, not ${expected}`,
  );
}

const drawn = (uniform: () => number, n: number, mean = 0) => Array.from({ length: n }, () => mean + normal(uniform));
/** A calibration that accepts 95 %. */
const calibrationOf = (scores: readonly number[]) => {
  const sorted = [...scores].sort((a, b) => a - b);
  return { score: 'atd' as const, out: sorted[Math.floor(0.05 * (sorted.length + 1)) - 1]!, scores: sorted };
};
const answer = (score: number, out: number): DriftInput => ({
  rule: 'calibrated',
  verdict: score < out ? 'out' : 'in',
  scores: { atd: score },
});

describe('conformal martingale', () => {
  const { seed, calibration, stream, p, simple, ours } = golden.martingale;

  test('p-values of a stream are those counted over lists, equal scores settled by the same chance', () => {
    const online = new OnlinePValues(calibration, seed);
    for (const [i, score] of stream.entries()) near(online.next(score), p[i]!, `p of score ${i}`);
  });

  test('the simple jumper has the capital of the formula that keeps capitals, not their logarithms', () => {
    let jumper = startJumper(SIMPLE_JUMPER);
    for (const [i, value] of p.entries()) {
      jumper = bet(jumper, value, 0.01, SIMPLE_JUMPER);
      near(Math.exp(jumper.logM), simple[i]!, `after ${i + 1}`);
    }
  });

  test('so has ours, with power bets and jumps that become rarer', () => {
    let jumper = startJumper();
    for (const [i, value] of p.entries()) {
      jumper = bet(jumper, value, jumpOf(i));
      near(Math.exp(jumper.logM), ours[i]!, `after ${i + 1}`);
    }
  });

  test('a monitor raises its alarm at the first image where that capital reaches the threshold, once', () => {
    const scores = calibrationOf(calibration);
    const monitor = createDriftMonitor(scores, { seed });
    const raised = stream.flatMap((score, i) => monitor.update({ ...answer(score, scores.out), image: `${i}.jpg` }));
    const first = ours.findIndex((value) => value >= 100);
    assert.equal(raised.length, 1);
    const { value, ...alarm } = raised[0]!;
    assert.deepEqual(alarm, { by: 'martingale', images: first + 1, image: `${first}.jpg`, threshold: 100 });
    near(value, ours[first]!, 'value');
  });

  test('bins keep the order of scores of either sign and any size, and minus zero is zero', () => {
    const rising = [-1e300, -1e30, -2.5, -2.4, -1e-30, 0, 1e-30, 0.5, 0.501, 0.999, 1, 17, 1e30, 1e300];
    const bins = rising.map(binOf);
    assert.deepEqual(
      bins,
      [...bins].sort((a, b) => a - b),
    );
    assert.equal(new Set(bins).size, rising.length);
    assert.equal(binOf(-0), binOf(0));
  });

  test('capital of thousands of odd images neither overflows nor loses its way back', () => {
    let jumper = startJumper();
    for (let i = 0; i < 10_000; i++) jumper = bet(jumper, 1e-6, jumpOf(i));
    assert.ok(jumper.logM > 30_000 && Number.isFinite(jumper.logM), `${jumper.logM}`);
  });

  test('while nothing changes at most 1 % of streams raise an alarm, however few images calibrate', () => {
    const uniform = uniformSource(5);
    for (const n of [20, 500]) {
      const runs = 1000;
      let alarms = 0;
      for (let run = 0; run < runs; run++) {
        // In floats of one decimal, so that equal scores are many.
        const scores = drawn(uniform, n).map((score) => Math.round(score * 10) / 10);
        const online = new OnlinePValues(scores, run);
        let jumper = startJumper();
        for (let i = 0; i < 500 && jumper.logM < Math.log(100); i++) {
          jumper = bet(jumper, online.next(Math.round(normal(uniform) * 10) / 10), jumpOf(i));
        }
        if (jumper.logM >= Math.log(100)) alarms++;
      }
      assert.ok(alarms / runs <= 0.01 + 3 * Math.sqrt((0.01 * 0.99) / runs), `${alarms} of ${runs} with ${n}`);
    }
  });
});

describe('CUSUM', () => {
  test('expected run times are those of its states, solved as a dense matrix in NumPy', () => {
    for (const { runTime, rate, ...chart } of golden.cusum.runTimes) {
      const found = expectedRunTime(chart, rate);
      assert.ok(Math.abs(found - runTime) <= 1e-9 * runTime, `${JSON.stringify(chart)}, ${rate}: ${found}, ${runTime}`);
    }
  });

  test("steps are close to the likelihood ratio's, and between the two rates", () => {
    for (const { rate, rateToDetect, step } of golden.cusum.steps) {
      const { up, down } = designCusum({ rate, rateToDetect, ert: 1000 });
      const found = down / (up + down);
      assert.ok(found > rate && found < rateToDetect);
      assert.ok(Math.abs(found - step) <= 0.05 * (rateToDetect - rate), `${found}, not ${step}`);
    }
  });

  test('the threshold is the least whose run time reaches the wanted one', () => {
    const wanted = { rate: 0.05, rateToDetect: 0.1, ert: 5000 };
    const chart = designCusum(wanted);
    assert.ok(chart.ert >= 5000);
    assert.ok(expectedRunTime({ ...chart, threshold: chart.threshold - 1 }, 0.05) < 5000);
  });

  test('run as it is, it needs as many images as said, at either rate', () => {
    const chart = designCusum({ rate: 0.05, rateToDetect: 0.2, ert: 300 });
    const uniform = uniformSource(9);
    for (const [rate, expected] of [
      [0.05, chart.ert],
      [0.2, chart.delay],
    ] as const) {
      const runs = 4000;
      let [sum, squares] = [0, 0];
      for (let run = 0; run < runs; run++) {
        let length = 0;
        for (let s = 0; s < chart.threshold; length++) s = addToCusum(chart, s, uniform() < rate);
        sum += length;
        squares += length ** 2;
      }
      const mean = sum / runs;
      const error = Math.sqrt((squares / runs - mean ** 2) / runs);
      assert.ok(Math.abs(mean - expected) <= 3 * error, `at ${rate}: ${mean}, not ${expected}`);
    }
  });

  for (const [what, options] of [
    ['a rate to detect below the rate', { rate: 0.05, rateToDetect: 0.04, ert: 1000 }],
    ['a rate to detect that is hardly above it', { rate: 0.05, rateToDetect: 0.05000001, ert: 1000 }],
    ['a pair of small rates that would take minutes', { rate: 1e-4, rateToDetect: 2e-4, ert: 1e6 }],
    ['a rate of 0', { rate: 0, rateToDetect: 0.1, ert: 1000 }],
    ['a run time of 0', { rate: 0.05, rateToDetect: 0.1, ert: 0 }],
  ] as const) {
    test(`${what} is refused`, () => {
      assert.throws(() => designCusum(options), { code: 'ERR_CLIPN_INVALID_ARG' });
    });
  }
});

describe('drift monitor', () => {
  const uniform = uniformSource(18);
  const calibration = calibrationOf(drawn(uniform, 200, 2));
  const stream = [...drawn(uniform, 150, 2), ...drawn(uniform, 150, 0.5)].map((score) =>
    answer(score, calibration.out),
  );
  const options = { rateToDetect: 0.2, ert: 1000, seed: 3 };

  test('stopped at any image and resumed from its JSON it ends in the same state, to the bit', () => {
    const whole = createDriftMonitor(calibration, options);
    const alarms = stream.flatMap((each) => whole.update(each));
    assert.equal(alarms.length, 2);
    for (const at of [0, 1, 149, 250, 300]) {
      const first = createDriftMonitor(calibration, options);
      const early = stream.slice(0, at).flatMap((each) => first.update(each));
      const second = resumeDriftMonitor(calibration, JSON.parse(JSON.stringify(first.state())));
      const late = stream.slice(at).flatMap((each) => second.update(each));
      assert.deepEqual(second.state(), whole.state());
      assert.deepEqual([...early, ...late], alarms);
      assert.deepEqual(second.standing(), whole.standing());
    }
  });

  test('resumes with a threshold that lies above all calibration scores, too', () => {
    const strict = { ...calibration, out: 100 };
    const state = createDriftMonitor(strict).state();
    assert.deepEqual(resumeDriftMonitor(strict, state).state(), state);
  });

  test('images that cannot be read are counted and observe nothing', () => {
    const monitor = createDriftMonitor(calibration, options);
    monitor.update(stream[0]!);
    const before = monitor.state();
    assert.deepEqual(monitor.update({ error: new ClipnError('ERR_CLIPN_IMAGE_DECODE', 'no image') }), []);
    assert.deepEqual(monitor.state(), { ...before, failures: 1 });
  });

  test('the rate of `out` is that of the calibration: its rank among n + 1', () => {
    // 0.05 · 201, whole part 10.
    assert.equal(createDriftMonitor(calibration, options).standing().cusum!.rate, 10 / 201);
  });

  test('the CUSUM raises its alarm when the run of `out` is as long as its threshold says', () => {
    const monitor = createDriftMonitor(calibration, { ...options, rate: 0.05, villeThreshold: 1e100 });
    const { up, threshold } = designCusum({ rate: 0.05, rateToDetect: 0.2, ert: 1000 });
    const needed = Math.ceil(threshold / up);
    const low = answer(calibration.out - 1, calibration.out);
    const alarms = Array.from({ length: needed + 5 }, () => monitor.update(low)).flat();
    const expected = { by: 'cusum', images: needed, value: needed * up, threshold };
    assert.deepEqual(alarms, [expected]);
  });

  for (const [what, odd, code] of [
    ['of another rule', { ...stream[0]!, rule: 'atd' }, 'ERR_CLIPN_CALIBRATION'],
    ['with the p-value of another calibration', { ...stream[0]!, pValue: 0.5001 }, 'ERR_CLIPN_CALIBRATION'],
    ['without the score', { ...stream[0]!, scores: { msp: 1 } }, 'ERR_CLIPN_SCORES'],
    ['with a score of NaN', answer(Number.NaN, 0), 'ERR_CLIPN_SCORES'],
    ['with a score of null, as JSON has NaN', JSON.parse(JSON.stringify(answer(Number.NaN, 0))), 'ERR_CLIPN_SCORES'],
    ['without a verdict', { rule: 'calibrated', scores: { atd: 1 } }, 'ERR_CLIPN_INVALID_ARG'],
    ['that is a text', 'in', 'ERR_CLIPN_INVALID_ARG'],
    ['that is null', null, 'ERR_CLIPN_INVALID_ARG'],
  ] as const) {
    test(`an answer ${what} is refused, and the monitor is as it was`, () => {
      const monitor = createDriftMonitor(calibration, options);
      const before = monitor.state();
      assert.throws(() => monitor.update(odd as DriftInput), { code });
      assert.deepEqual(monitor.state(), before);
    });
  }

  test('the answer of a calibration on the same images with another threshold is refused', () => {
    const monitor = createDriftMonitor(calibration);
    const score = calibration.scores[9]!;
    const result = { ...answer(score, score + 1), verdict: 'out' as const, pValue: 11 / 201 };
    assert.throws(() => monitor.update(result), { code: 'ERR_CLIPN_CALIBRATION', message: /its verdict is out/ });
  });

  test('what stands for the name of an image and is none is left out', () => {
    const monitor = createDriftMonitor(calibration, { rateToDetect: 0.2, ert: 100 });
    const odd = { ...answer(-9, calibration.out), image: 7 as never };
    while (monitor.update(odd).length === 0);
    assert.equal(monitor.standing().alarms[0]!.image, undefined);
    resumeDriftMonitor(calibration, JSON.parse(JSON.stringify(monitor.state())));
  });

  test("an answer with this calibration's own p-value is taken", () => {
    const monitor = createDriftMonitor(calibration);
    const score = calibration.scores[9]!;
    monitor.update({ ...answer(score, calibration.out), pValue: 11 / 201 });
    assert.equal(monitor.standing().images, 1);
  });

  for (const [what, odd] of [
    ['written by hand, without scores', { score: 'atd', in: 0.7, out: 0.4, formatVersion: 1 }],
    ['with an empty list of scores', { ...calibration, scores: [] }],
    ['with a score that is null', { ...calibration, scores: [1, null] }],
  ] as const) {
    test(`a calibration ${what} is refused`, () => {
      assert.throws(() => createDriftMonitor(odd as unknown as typeof calibration), { code: 'ERR_CLIPN_CALIBRATION' });
    });
  }

  for (const [name, odd] of [
    ['villeThreshold', { villeThreshold: 1 }],
    ['seed', { seed: 0.5 }],
    ['rateToDetect', { rateToDetect: 0.01 }],
    ['rate', { rate: 5, rateToDetect: 0.1 }],
    ['ert', { ert: 100 }],
    ['ert', { ert: Number.NaN, rateToDetect: 0.1 }],
  ] as const) {
    test(`${JSON.stringify(odd)} is refused by name`, () => {
      assert.throws(() => createDriftMonitor(calibration, odd), {
        code: 'ERR_CLIPN_INVALID_ARG',
        message: new RegExp(`^${name} `),
      });
    });
  }

  test('the state of another calibration is refused', () => {
    const state = createDriftMonitor(calibration).state();
    const other = { ...calibration, scores: calibration.scores.map((score) => score + 1) };
    assert.throws(() => resumeDriftMonitor(other, state), {
      code: 'ERR_CLIPN_DRIFT_STATE',
      message: /another calibration/,
    });
  });

  test('every field of a state is checked: one that is changed to nonsense, missing or unknown is refused by name', () => {
    const monitor = createDriftMonitor(calibration, options);
    for (const each of stream) monitor.update(each);
    const state = JSON.parse(JSON.stringify(monitor.state()));
    assert.deepEqual(parseDriftState(state), monitor.state());
    const places = (of: unknown, at: (string | number)[] = []): (string | number)[][] =>
      typeof of !== 'object' || of === null || at[0] === 'counts'
        ? [at]
        : Object.keys(of).flatMap((key) => places(of[key as keyof typeof of], [...at, Array.isArray(of) ? +key : key]));
    const tried = places(state);
    assert.ok(tried.length > 20);
    for (const place of tried) {
      for (const change of [() => 'odd', () => -2, () => undefined]) {
        const changed = structuredClone(state);
        const last = place[place.length - 1]!;
        const parent = place.slice(0, -1).reduce((of, key) => of[key], changed);
        const given = change();
        if (given === undefined) delete parent[last];
        else parent[last] = given;
        // A name of any kind, or none, is no nonsense; nor is a logarithm below zero.
        if (last === 'image' || (given === -2 && ['logM', 'value', 'threshold'].includes(String(last)))) continue;
        assert.throws(() => parseDriftState(changed), { code: 'ERR_CLIPN_DRIFT_STATE' }, `${place.join('.')} ${given}`);
      }
    }
    for (const odd of [{ ...state, more: 1 }, { ...state, images: 299 }, { ...state, out: 301 }, [], null, 'text']) {
      assert.throws(() => parseDriftState(odd), { code: 'ERR_CLIPN_DRIFT_STATE' });
    }
  });
});
