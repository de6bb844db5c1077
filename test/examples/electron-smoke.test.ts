/// <reference lib="dom" />
/** examples/electron in Electron itself, which is no dependency of this repository: ELECTRON_PATH names its program. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { _electron as electron } from 'playwright-core';
import type { Request } from '../../examples/electron/messages';
import { installExample } from '../support/example';
import { photos } from '../support/paths';

const executablePath = process.env['ELECTRON_PATH'];
const skip = executablePath === undefined && 'ELECTRON_PATH does not name the program of Electron';

/** Starts the app as it is, with a window that is never shown. */
const HIDDEN = `
  const { BrowserWindow } = require('electron');
  BrowserWindow.prototype.show = () => {};
  require('./main.js');
`;

describe('examples/electron in Electron', () => {
  const { folder, remove } = installExample('electron');
  after(remove);

  test('judges a photo in its utility process, shows it in its page, and ends with 0', { skip }, async () => {
    const start = path.join(folder, 'hidden.js');
    writeFileSync(start, HIDDEN);
    // Chromium's sandbox refuses to run as root.
    const args = [...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), start];
    const app = await electron.launch({ executablePath: executablePath!, args, timeout: 30_000 });
    const ended = once(app.process(), 'exit');
    const page = await app.firstWindow();
    const complaints: string[] = [];
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error.stack)));

    await page.waitForLoadState('load');
    await page.evaluate(
      (paths) => {
        const { clipn } = window as unknown as { clipn: { send(request: Request): void } };
        clipn.send({ type: 'add', paths });
      },
      [path.join(photos, 'boats.jpg')],
    );
    // By the clock, for a hidden window draws no frames.
    await page.waitForFunction(() => document.getElementById('sentence')!.textContent !== '', null, { polling: 50 });
    const said = await page.evaluate(() => document.getElementById('verdict')!.textContent);
    console.log(said);
    assert.equal(said, 'In: ferry');
    const globals = await page.evaluate(() => ['require', 'process', 'Buffer'].filter((name) => name in window));
    assert.deepEqual(globals, [], 'the page has nothing of Node');
    assert.deepEqual(complaints, []);
    await app.close();
    assert.deepEqual(await ended, [0, null]);
  });
});
