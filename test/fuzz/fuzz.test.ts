/** The first executions of `npm run fuzz`: what it found once, and what a change is likely to break. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { runTarget } from './run';
import { TARGETS } from './targets';

describe('a file damaged at random is read the same twice, or refused with a code and one line', () => {
  for (const target of TARGETS) {
    test(target.name, async () => {
      const folder = mkdtempSync(path.join(tmpdir(), 'clipn-fuzz-'));
      try {
        const { findings, counts } = await runTarget(target, { seed: 1, first: 0, runs: 100, folder });
        assert.deepEqual(findings, []);
        // Damage that nothing survives, or that nobody notices, would test little.
        assert.ok((counts['accepted'] ?? 0) > 0, JSON.stringify(counts));
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }
});
