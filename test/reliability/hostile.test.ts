/** The short form of `npm run soak -- --serve`: the same hostile load, for some seconds. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { repository } from '../support/paths';

test('under hostile load every request is answered once and rightly, and nothing is lost on SIGTERM', async () => {
  const program = path.join(repository, 'test/reliability/hostile.ts');
  const flags = ['--seconds', '9', '--seed', process.env['CLIPN_SEED'] ?? '1'];
  const { code, out, err } = await new Promise<{ code: unknown; out: string; err: string }>((resolve) => {
    execFile(process.execPath, ['--require', 'tsx/cjs', program, ...flags], (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, out: stdout, err: stderr }),
    );
  });
  assert.notEqual(out, '', err);
  const { failures, outcomes } = JSON.parse(out) as { failures: string[]; outcomes: Record<string, number> };
  assert.deepEqual(failures, []);
  assert.equal(code, 0, err);
  // That there was such a load: each kind of client, and each way in which a request ends.
  const seen = Object.keys(outcomes).join('\n');
  for (const kind of [
    'good: 200',
    'kept: 200',
    'slow: ',
    'leaving: left',
    'cut: ',
    'large: 413',
    'wrong: 4',
    'nonsense: 400',
    'flood: 429',
  ]) {
    assert.ok(seen.includes(kind), `${kind} in\n${seen}`);
  }
});
