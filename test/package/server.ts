/** The packed server beside the packed library, installed by npm and asked over HTTP. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { CheckResult } from '../../lib/model/detector';
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
    const server = spawn(program, args, {
      cwd: app,
      env: userEnv(process.execPath),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    try {
      const results: CheckResult[] = [];
      const url = await addressOf(server);
      assert.match(await (await fetch(url)).text(), /<!doctype html>/i);
      for (const photo of photos()) {
        const headers = { 'content-type': 'image/jpeg' };
        const response = await fetch(`${url}/v1/check`, { method: 'POST', headers, body: readFileSync(photo) });
        const { results: answers } = (await response.json()) as { results: CheckResult[] };
        results.push({ ...answers[0]!, image: photo });
      }
      assertSameVerdicts(results);
      server.kill('SIGTERM');
      assert.deepEqual(await once(server, 'exit'), [0, null]);
    } finally {
      server.kill('SIGKILL');
    }
  });
}

/** As its log tells it. */
async function addressOf({ stdout, stderr }: ReturnType<typeof spawn>): Promise<string> {
  let said = '';
  stderr!.on('data', (chunk) => {
    said += chunk;
  });
  for await (const line of createInterface(stdout!)) {
    said += line;
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
    if (url !== undefined) return url;
  }
  assert.fail(`it does not listen: ${said}`);
}
