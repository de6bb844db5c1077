/** The short form of `npm run soak`: the same traffic, for some seconds. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { repository } from '../support/paths';
import { keepLibtorch } from '../support/run-cli';
import { ended } from '../support/writing-verbs';

const SECONDS = 15;
const cache = mkdtempSync(path.join(tmpdir(), 'clipn-load-'));
after(() => rmSync(cache, { recursive: true, force: true }));

test('under mixed traffic every request ends once, as it would alone, and the process ends by itself', async () => {
  keepLibtorch();
  const program = path.join(repository, 'test/reliability/traffic.ts');
  const flags = ['--seconds', String(SECONDS), '--seed', process.env['CLIPN_SEED'] ?? '1', '--workers', '6'];
  const { code, signal, out, err } = await ended(process.execPath, ['--require', 'tsx/cjs', program, ...flags], {
    ...process.env,
    CLIPN_CACHE_DIR: cache,
  });
  assert.equal(signal, null, err);
  const { failures, byKind, outcomes, workers } = JSON.parse(out);
  assert.deepEqual(failures, []);
  assert.equal(code, 0, err);
  // That there was traffic: each kind of request, and each of the ways in which one ends.
  assert.ok(workers.terminated > 0);
  for (const kind of ['single', 'list', 'stream', 'features', 'label bank', 'aborted during']) {
    assert.ok(byKind[kind] > 0, kind);
  }
  for (const outcome of ['answered', 'AbortError', 'ERR_CLIPN_IMAGE_DECODE', 'ERR_CLIPN_INVALID_ARG', 'ERR_CLIPN_IO']) {
    assert.ok(outcomes[outcome] > 0, outcome);
  }
});
