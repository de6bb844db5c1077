/** The packed server beside the packed library, installed by npm and asked over HTTP. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { CheckResult } from '../../lib/model/detector';
import { listening, post } from '../support/serve-process';
import { assertSameVerdicts, labels, model, PACKAGES, photos, SERVER, tarball } from './installed';
import { folder, must, npmEnv, userEnv } from './processes';

export function describeServer(): void {
  test('clipn-native-serve beside it: its command line gives the same verdicts over HTTP, and ends when told to', async () => {
    const app = path.join(folder, 'server');
    mkdirSync(app);
    writeFileSync(path.join(app, 'package.json'), '{ "private": true }');
    const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
    await must('npm', ['install', ...flags, ...[...PACKAGES, SERVER].map(tarball)], { cwd: app, env: npmEnv() });

    const program = path.join(app, 'node_modules/.bin/clipn-native-serve');
    const args = ['--model', model(), '--labels', labels(), '--port', '0'];
    const child = spawn(program, args, { cwd: app, env: userEnv(process.execPath), stdio: ['ignore', 'pipe', 'pipe'] });
    const server = await listening(child);
    try {
      const results: CheckResult[] = [];
      assert.match(await (await fetch(server.url)).text(), /<!doctype html>/i);
      for (const photo of photos()) {
        const { body } = await post(`${server.url}/v1/check`, readFileSync(photo));
        const [answer] = body['results'] as CheckResult[];
        results.push({ ...answer!, image: photo });
      }
      assertSameVerdicts(results);
      assert.deepEqual(await server.end(), [0, null]);
    } finally {
      server.child.kill('SIGKILL');
    }
  });
}
