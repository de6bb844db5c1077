import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { decide } from '../../lib/decide/rule';
import { openEngine } from '../../lib/native/engine';
import { type ScoreResult, score } from '../../lib/scores/score';
import { goldenFile } from '../support/paths';
import { bankOf, near } from '../support/score-bank';

// Computed in float64 with the original code (spec 3.1).
const golden = JSON.parse(readFileSync(goldenFile('worked-example.json'), 'utf8')).scoring.expected;

const features = Float32Array.from(golden.image_features_normalised.flat());
const bank = bankOf(golden.classifier_yes, golden.classifier_no);
const atEnd = (list: number[]) => [...list].sort((a, b) => b - a);

for (const scale of [100, 10]) {
  const expected = golden[`at_scale_${scale}`];
  describe(`at scale ${scale} the worked example`, () => {
    const result: Promise<ScoreResult> = score(features, bank, { scale, topK: 3 });

    for (const [name, key, tolerance] of [
      ['ctw', 'id_score_ctw', 1e-5],
      ['atd', 'id_score_atd', 1e-5],
      ['msp', 'id_score_msp', 1e-5],
      ['mcm', 'id_score_mcm_T1', 1e-5],
      // Logits are near 100: one step of fp32 there is 8e-6.
      ['maxLogit', 'id_score_maxlogit', 2e-5],
      ['energy', 'id_score_energy_logsumexp', 2e-5],
    ] as const) {
      test(`has the original's ${name}`, async () => near((await result)[name], expected[key], tolerance, name));
    }

    test('has the log of the original p(C+1)', async () => {
      const logs = expected.ood_prob_atd_p_Cplus1.map(Math.log);
      near((await result).logPOut, logs, 1e-5, 'logPOut');
    });

    test('has the log of the largest share of a class in the original (C+1)-way distribution', async () => {
      const logs = expected.atd_Cplus1_distribution.map((row: number[]) => Math.log(Math.max(...row.slice(0, -1))));
      near((await result).logQMax, logs, 2e-5, 'logQMax');
    });

    test('lists the classes by falling probability, each with its p and p_yes', async () => {
      const { topIndex, topP, topPYes } = await result;
      near(topP, expected.class_probs_p_ij.flatMap(atEnd), 1e-5, 'topP');
      const pYes = [...topIndex].map((j, entry) => expected.p_yes_ij[Math.floor(entry / 3)][j]);
      near(topPYes, pYes, 1e-5, 'topPYes');
      assert.deepEqual([topIndex[0], topIndex[3]], expected.top_class);
    });

    test("is decided as the paper's rules decide it", async () => {
      const r = await result;
      const found = [0, 1].map((i) => {
        const scores = { gap: r.gap[i], logPOut: r.logPOut[i] } as never;
        return {
          ctw: decide({ rule: 'ctw' }, scores, { logQMax: r.logQMax[i]!, wordMax: Number.NaN, top: 0 }) === 'in',
          atd: decide({ rule: 'atd' }, scores, { logQMax: r.logQMax[i]!, wordMax: Number.NaN, top: 0 }) === 'in',
        };
      });
      assert.deepEqual(
        found.map(({ ctw }) => ctw),
        expected.decision_ctw_is_id,
      );
      assert.deepEqual(
        found.map(({ atd }) => atd),
        expected.decision_atd_is_id_vs_shrunk_p,
      );
    });
  });
}

test('a gap beyond 17, where p_yes is 1 in fp32, still ranks through `gap`', async () => {
  // f = e0; the no vector at angle θ gives the gap 100 (1 − cos θ): 20 and 40.
  const f = [1, 0];
  const no = [0.8, 0.6].map((cos) => [cos, Math.sqrt(1 - cos * cos)]);
  const [low, high] = await Promise.all(no.map((h) => score(Float32Array.from(f), bankOf([f], [h]))));
  assert.equal(low!.ctw[0], high!.ctw[0]);
  assert.ok(Math.abs(low!.gap[0]! - 20) < 1e-4 && Math.abs(high!.gap[0]! - 40) < 1e-4);
});

test('a plain CLIP has the yes scores, and NaN where the no tower is needed', async () => {
  const result = await score(features, bankOf(golden.classifier_yes, null));
  near(result.msp, golden.at_scale_100.id_score_msp, 1e-5, 'msp');
  for (const name of ['ctw', 'atd', 'gap', 'logPOut'] as const) assert.ok(Number.isNaN(result[name][0]), name);
});

test('features that are not rows of the bank are refused', async () => {
  await assert.rejects(score(new Float32Array(7), bank), { code: 'ERR_CLIPN_INVALID_ARG', message: /rows of 4/ });
});

test('the kernels say which target they run on', async () => {
  const { core } = await openEngine();
  assert.ok(['base', 'avx2', 'avx512', 'avx512bf16'].includes(core.cpuTarget));
});
