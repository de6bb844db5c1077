/**
 * SIGKILL in the middle of every verb that writes. Moments are drawn from the writes that the verb makes:
 * CLIPN_SEED decides which, CLIPN_KILLS how many for each verb.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { uniformSource } from '../../lib/base/random';
import { writeCheckpoint } from '../support/checkpoint-writer';
import { repository } from '../support/paths';
import { keepLibtorch } from '../support/run-cli';
import { closeServers } from '../support/wheel-server';
import {
  assertWhole,
  commandOf,
  filesOf,
  placeAt,
  resultsOf,
  runVerb,
  type WritingVerb,
  writingVerbs,
} from '../support/writing-verbs';

const SEED = Number(process.env['CLIPN_SEED'] ?? 1);
const KILLS = Number(process.env['CLIPN_KILLS'] ?? 2);
const HOOK = ['--require', path.join(repository, 'test/support/kill-before.cjs')];
const NAMES = [
  'export',
  'labels',
  'check, with the cache of banks',
  'calibrate',
  'negatives',
  'eval, with its store and report',
  'teach',
  'fetch model',
  'fetch libtorch',
];

const root = mkdtempSync(path.join(tmpdir(), 'clipn-kill-'));
const at = (...names: string[]) => path.join(root, ...names);
let verbs: WritingVerb[];

before(async () => {
  keepLibtorch();
  verbs = await writingVerbs(at('inputs'));
});
after(() => {
  closeServers();
  rmSync(root, { recursive: true });
});

/** Moments between 1 and `most`, one in each of as many equal parts, so that early and late ones are among them. */
function moments(most: number, count: number, random: () => number): number[] {
  return Array.from({ length: count }, (_, i) => 1 + Math.floor(((i + random()) * most) / count));
}

/** As if what was left had been left this many hours ago. */
function age(folder: string, names: readonly string[], hours: number): void {
  const then = Date.now() / 1000 - 3600 * hours;
  for (const name of names) utimesSync(path.join(folder, name), then, then);
}

describe(`killed with -9 (seed ${SEED}),`, { concurrency: 2 }, () => {
  for (const [index, name] of NAMES.entries()) {
    test(`${name}: files are whole or absent, and the same command goes on to the same result`, async () => {
      const verb = verbs[index]!;
      assert.equal(verb.name, name);
      const random = uniformSource(100 * SEED + index);
      const place = placeAt(at('undisturbed', String(index)));
      const counted = at(`writes-${index}`);
      const undisturbed = await runVerb(verb, place, { node: HOOK, env: { CLIPN_WRITES: counted } });
      assert.equal(undisturbed.code, 0, undisturbed.err);
      const whole = resultsOf(place);

      // One after another in the same place, as in a process that is started again each time.
      const again = placeAt(at('killed', String(index)));
      let killed = 0;
      for (const moment of moments(Number(readFileSync(counted, 'utf8')), KILLS, random)) {
        const { code, signal, err } = await runVerb(verb, again, {
          node: HOOK,
          env: { CLIPN_KILL_AT: String(moment) },
        });
        // What an earlier run got done it need not do again: it may end before.
        assert.ok(signal === 'SIGKILL' || code === 0, `write ${moment}: ${code} ${signal} ${err}`);
        if (signal === 'SIGKILL') killed++;
        await assertWhole(again, whole);
      }
      assert.ok(killed > 0, 'it was never killed');
      const rerun = await runVerb(verb, again);
      assert.equal(rerun.code, 0, rerun.err);
      assert.deepEqual(resultsOf(again), whole);

      // What is left are temporary files, of which there is one a kill at most; they go when they are an hour old.
      const { temporary } = filesOf(again);
      assert.ok(temporary.length <= killed, temporary.join());
      for (const file of temporary) assert.match(path.basename(file), /^\..+\.[0-9a-f-]{36}\.tmp$/);
      if (temporary.length === 0) return;
      age(again.folder, temporary, 2);
      const later = await runVerb(verb, again);
      assert.equal(later.code, 0, later.err);
      assert.deepEqual(filesOf(again).temporary, []);
    });
  }

  test('export, while the core writes: the file is absent, and the next export writes it', async () => {
    const random = uniformSource(100 * SEED + NAMES.length);
    // Large enough that it takes a while to be written.
    const network = {
      ...{ embedDim: 32, imageSize: 48, patchSize: 16, visionWidth: 64, visionLayers: 2 },
      ...{ contextLength: 77, vocabSize: 49408, textWidth: 64, textLayers: 1 },
    };
    await writeCheckpoint(at('large.pt'), network);
    const place = placeAt(at('core'));
    const verb = { name: 'export', args: (out: string) => ['export', at('large.pt'), `${out}/model.pt`] };
    for (let i = 0; i < KILLS; i++) {
      const { args, env } = commandOf(verb, place);
      const child = spawn(process.execPath, args, { cwd: repository, env, stdio: 'ignore' });
      const ended = new Promise<string | null>((resolve) => child.once('close', (_, signal) => resolve(signal)));
      const before = readdirSync(place.out).length;
      while (readdirSync(place.out).length === before && child.exitCode === null) await sleep(1);
      await sleep(20 * random());
      child.kill('SIGKILL');
      if ((await ended) === 'SIGKILL') assert.deepEqual(filesOf(place).final, []);
      else rmSync(path.join(place.out, 'model.pt')); // it was faster
    }
    const { code, err } = await runVerb(verb, place);
    assert.equal(code, 0, err);
    assert.deepEqual(filesOf(place).final, ['out/model.pt']);
  });
});
