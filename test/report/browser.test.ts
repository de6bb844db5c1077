/// <reference lib="dom" />
/** The report in a real Chromium. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { EvalResult } from '../../lib/evaluate/result';
import { renderReport } from '../../lib/report/render';
import { violations } from '../support/axe';
import { launchBrowser, skipWithoutBrowser } from '../support/chromium';
import { exampleResult, hostile, plainResult } from '../support/eval-result';

const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 360, height: 740 };
const EVIL = '</script></style></title><img src=x onerror="window.pwned=1">\'"&<!--';

/** Each test is skipped, not their suite, so that the summary counts them. */
const check = (name: string, use: () => Promise<void>) => test(name, { skip: skipWithoutBrowser }, use);

describe('the report in Chromium', () => {
  let folder: string;
  let browser: Browser;
  let result: EvalResult;
  const urls: Record<'full' | 'plain' | 'hostile', string> = { full: '', plain: '', hostile: '' };

  before(async () => {
    if (skipWithoutBrowser) return;
    folder = mkdtempSync(path.join(tmpdir(), 'clipn-report-'));
    [browser, result] = await Promise.all([launchBrowser(), exampleResult(30)]);
    result.worst.falseAccepts.splice(6);
    result.worst.falseRejects.splice(6);
    const results = { full: result, plain: plainResult(result), hostile: hostile(result, EVIL) };
    for (const [name, each] of Object.entries(results)) {
      const file = path.join(folder, `${name}.html`);
      writeFileSync(file, await renderReport(each));
      urls[name as keyof typeof urls] = pathToFileURL(file).href;
    }
  });
  after(async () => {
    await browser?.close();
    if (folder) rmSync(folder, { recursive: true });
  });

  /** Opens a page, hands it over, and fails if it asked for anything, said anything on its console or scrolls sideways. */
  async function withPage(
    name: keyof typeof urls,
    options: BrowserContextOptions,
    use: (page: Page) => Promise<void>,
  ): Promise<void> {
    const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
    const page = await context.newPage();
    const said: string[] = [];
    page.on('console', (message) => said.push(message.text()));
    page.on('pageerror', (error) => said.push(String(error.stack)));
    page.on('request', (request) => {
      if (request.url() !== urls[name] && !request.url().startsWith('data:image/')) said.push(request.url());
    });
    await page.goto(urls[name]);
    try {
      await use(page);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.equal(width, options.viewport!.width, 'scrolls sideways');
    } finally {
      await context.close();
    }
    assert.deepEqual(said, []);
  }

  /** Share of a canvas's pixels in about the colour that a custom property has now. */
  const shareOfColour = (page: Page, canvas: string, property: string) =>
    page.$eval(
      canvas,
      (element, name) => {
        const probe = document.body.appendChild(document.createElement('span'));
        probe.style.color = `var(--${name})`;
        const colour = getComputedStyle(probe).color.match(/\d+/g)!.map(Number);
        probe.remove();
        const drawn = element as HTMLCanvasElement;
        const { width, height } = drawn;
        const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })!;
        copy.drawImage(drawn, 0, 0);
        const { data } = copy.getImageData(0, 0, width, height);
        let found = 0;
        for (let i = 0; i < data.length; i += 4) {
          const isNear = [0, 1, 2].every((k) => Math.abs(data[i + k]! - colour[k]!) < 4);
          if (isNear && data[i + 3] === 255) found++;
        }
        return found / (width * height);
      },
      property,
    );

  const background = (page: Page) =>
    page.evaluate(() => {
      const channels = getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g)!.map(Number);
      return channels.reduce((sum, channel) => sum + channel, 0) / 3;
    });

  check('draws a histogram and a ROC curve per OOD set, loads nothing, and breaks no rule of axe', () =>
    withPage('full', { viewport: DESKTOP }, async (page) => {
      assert.equal(await page.locator('.histogram canvas').count(), 4);
      assert.equal(await page.locator('.roc canvas').count(), 4);
      for (const set of [1, 4]) {
        const within = (kind: string) => `figure.set:nth-of-type(${set}) .${kind} canvas`;
        assert.ok((await shareOfColour(page, within('histogram'), 'id')) > 0.0005);
        assert.ok((await shareOfColour(page, within('histogram'), 'ood')) > 0.0005);
        assert.ok((await shareOfColour(page, within('roc'), 'ink')) > 0.0005);
      }
      assert.deepEqual(await violations(page), []);
    }),
  );

  check('follows the system into the dark, on a phone too, and its button out of it', () =>
    withPage('full', { viewport: PHONE, colorScheme: 'dark' }, async (page) => {
      assert.ok((await background(page)) < 60);
      assert.deepEqual(await violations(page), []);
      assert.ok((await shareOfColour(page, '.histogram canvas', 'ood')) > 0.0005);
      await page.getByRole('button', { name: 'Light theme' }).click();
      assert.ok((await background(page)) > 220);
      assert.ok((await shareOfColour(page, '.histogram canvas', 'ood')) > 0.0005, 'charts are drawn anew');
    }),
  );

  check('sorts, filters and pages the classes by keyboard', () =>
    withPage('full', { viewport: DESKTOP }, async (page) => {
      const rows = page.locator('#class-table tbody tr');
      const column = (i: number) => rows.evaluateAll((all, at) => all.map((row) => row.children[at]!.textContent!), i);
      const sorted = result.classes.map(({ accuracy }) => accuracy!).sort((a, b) => b - a);
      const percent = (share: number) => (100 * share).toFixed(1);

      await page.focus('#class-filter');
      // Next page, the table's box, Class, Images, Accuracy; there is no previous page.
      for (let stop = 0; stop < 5; stop++) await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Accuracy, %');
      await page.keyboard.press('Enter');
      assert.equal(await page.locator('#class-table th[aria-sort=descending]').textContent(), 'Accuracy, %');
      assert.deepEqual(await column(2), sorted.slice(0, 25).map(percent));
      await page.keyboard.press('Space');
      assert.equal(await page.locator('#class-table th[aria-sort=ascending]').textContent(), 'Accuracy, %');
      assert.deepEqual(await column(2), sorted.reverse().slice(0, 25).map(percent));

      await page.focus('#class-next');
      await page.keyboard.press('Enter');
      assert.equal(await page.textContent('#class-status'), '26–30 of 30');
      assert.deepEqual(await column(2), sorted.slice(25).map(percent));

      await page.focus('#class-filter');
      await page.keyboard.type('ER');
      const found = result.classes.map(({ label }) => label).filter((label) => label.toLowerCase().includes('er'));
      assert.ok(found.length > 0 && found.length < 25);
      assert.deepEqual((await column(0)).sort(), found.sort());
    }),
  );

  check('shows another metric and score, and moves the threshold, by keyboard', () =>
    withPage('full', { viewport: DESKTOP }, async (page) => {
      await page.focus('input[name=metric]:checked');
      await page.keyboard.press('ArrowRight');
      const shown = page.locator('#score-table tbody:visible');
      assert.equal(await shown.count(), 1);
      assert.match((await shown.textContent())!, /^\s*FPR95, % ↓/);

      await page.focus('#chart-score');
      await page.keyboard.type('gap');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Home');
      for (let step = 0; step < 20; step++) await page.keyboard.press('ArrowRight');
      const { histogram } = result.scores['gap']!;
      const accepted = (counts: number[]) => {
        const all = counts.reduce((a, b) => a + b);
        return `${(100 * (counts.slice(20).reduce((a, b) => a + b) / all)).toFixed(1)} %`;
      };
      const ofId = accepted(histogram.id);
      assert.match((await page.textContent('#chart-state'))!, new RegExp(`accepts ${ofId} of ID`));
      for (const [i, set] of Object.keys(result.ood).entries()) {
        const readout = (await page.locator('.readout').nth(i).textContent())!;
        assert.ok(readout.endsWith(`accepted at the threshold ${accepted(histogram.ood[set]!)}`), readout);
      }
      assert.doesNotMatch((await page.textContent('#chart-state'))!, /promises/);
      await page.locator('#chart-table summary').press('Enter');
      const row = await page.locator('#chart-table tbody tr').nth(20).locator('td').allTextContents();
      assert.equal(`${row[0]} %`, ofId);
    }),
  );

  check('tells what a calibration with the chosen threshold would promise, and draws its curve', () =>
    withPage('full', { viewport: PHONE }, async (page) => {
      const state = async () => (await page.textContent('#chart-state'))!;
      await page.focus('#chart-edge');
      await page.keyboard.press('Home');
      // The lowest edge lies below every threshold of the curve.
      assert.match(await state(), /As calibrated, it promises 99 % of ID/);
      await page.keyboard.press('End');
      assert.match(await state(), /As calibrated, it promises less than 50 % of ID/);
      const { width } = (await page.locator('.promise-chart').boundingBox())!;
      assert.ok(width > 200 && width <= PHONE.width, `${width}`);
    }),
  );

  check('draws the least that is valid: one score, set, class and bin', () =>
    withPage('plain', { viewport: PHONE }, async (page) => {
      assert.equal(await page.locator('.plot canvas').count(), 2);
      assert.ok((await shareOfColour(page, '.histogram canvas', 'ood')) > 0.0005);
      assert.equal(await page.textContent('#class-status'), '1–1 of 1');
    }),
  );

  check('shows hostile names as the text they are', () =>
    withPage('hostile', { viewport: PHONE }, async (page) => {
      assert.equal(await page.evaluate(() => (window as { pwned?: number }).pwned), undefined);
      assert.equal(await page.locator('img[src=x]').count(), 0);
      assert.equal(await page.locator('.histogram canvas').count(), 4);
      assert.equal(await page.locator('figure h3 .key').first().textContent(), `iNaturalist${EVIL}`);
      const labels = await page.locator('#class-table tbody th').allTextContents();
      assert.ok(labels.length === 25 && labels.every((label) => label.endsWith(EVIL)));
    }),
  );
});
