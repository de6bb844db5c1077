/** An installed Chromium, driven by playwright-core, for tests of pages. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
/** Quiet: no request of the browser's own. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const program = (process.env['PATH'] ?? '')
  .split(path.delimiter)
  .flatMap((folder) => NAMES.map((name) => path.join(folder, name)))
  .find((file) => existsSync(file));

/** Why tests with a browser are skipped; false when there is one, and in CI, where they must run. */
export const skipWithoutBrowser =
  program === undefined &&
  process.env['CI'] !== 'true' &&
  'Chromium is not installed (Debian: apt-get install chromium)';

/** Starts with a fresh profile; fails when none is installed. */
export async function launchBrowser(): Promise<Browser> {
  if (program === undefined) throw new Error('Chromium is not installed (Debian: apt-get install chromium)');
  return chromium.launch({ executablePath: program, args: FLAGS });
}
