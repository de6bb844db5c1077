/// <reference lib="dom" />
/** The app of examples/electron: its page in Chromium, with its own worker and the real core behind the bridge. */
import assert from 'node:assert/strict';
import { copyFileSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { violations } from '../support/axe';
import { launchBrowser, skipWithoutBrowser } from '../support/chromium';
import { installExample } from '../support/example';
import { type ExamplePage, openExample, startWorker } from '../support/example-page';
import { photos, repository } from '../support/paths';

const WIDE = { width: 1200, height: 800 };
const MIDDLE = { width: 800, height: 600 };
const NARROW = { width: 320, height: 640 };
const BATCH = 80;
const HOSTILE = '<img src=x onerror="window.pwned=1">.jpg';
const photo = (name: string) => path.join(photos, `${name}.jpg`);

/** Each test is skipped, not their suite, so that the summary counts them. */
const check = (name: string, use: () => Promise<void>) => test(name, { skip: skipWithoutBrowser }, use);

describe('the page of examples/electron in Chromium', () => {
  const scratch = mkdtempSync(path.join(tmpdir(), 'clipn-electron-'));
  let example: ReturnType<typeof installExample>;
  let browser: Browser;
  let app: ExamplePage;

  before(async () => {
    if (skipWithoutBrowser) return;
    example = installExample('electron');
    const model = path.join(repository, 'models/small/model.pt');
    const [launched, worker] = await Promise.all([launchBrowser(), startWorker(example.folder, { model })]);
    browser = launched;
    app = await openExample(browser, example.folder, worker, { viewport: WIDE });
  });
  after(async () => {
    await browser?.close();
    example?.remove();
    rmSync(scratch, { recursive: true });
  });

  /** Hands over the page when its model is ready; fails if it complained. */
  async function withPage(use: (app: ExamplePage) => Promise<void>): Promise<void> {
    await app.reset();
    await status(app.page, 'Ready');
    await use(app);
    assert.deepEqual(app.complaints, []);
  }

  const status = (page: Page, text: string) => page.getByRole('status').getByText(text, { exact: true }).waitFor();
  const verdict = (page: Page, text: string) => page.locator('#verdict').getByText(text, { exact: true }).waitFor();
  const sentence = (page: Page, text: string | RegExp) => page.locator('#sentence').getByText(text).waitFor();
  const option = (page: Page, name: string) => page.getByRole('option', { name });
  /** Of all cards, as `boats.jpg in`. */
  const cards = (page: Page) =>
    page
      .locator('.card')
      .evaluateAll((all) =>
        all.map((each) => `${each.querySelector('.name')!.textContent} ${each.querySelector('.chip')!.textContent}`),
      );

  check('judges dropped photos as the README has it, says why, and shows where', () =>
    withPage(async ({ page, drop }) => {
      await drop(photo('boats'), photo('cat'), photo('rocket'));
      await status(page, '3 photos');
      assert.deepEqual(await cards(page), ['boats.jpg in', 'cat.jpg out', 'rocket.jpg out']);

      await verdict(page, 'In: ferry');
      await sentence(page, /Looks most like “ferry” \(p_yes 74 %\)/);
      assert.match((await page.locator('#shares caption').textContent())!, /^Score 0\.699/);
      const sizes = () => page.$eval('#large', (image) => (image as HTMLImageElement).src);
      await page.waitForFunction(() => document.querySelector<HTMLImageElement>('#large')!.naturalWidth > 0);
      const plain = await sizes();
      await page.getByLabel('Show where').check();
      assert.notEqual(await sizes(), plain);
      await page.waitForFunction(() => document.querySelector<HTMLImageElement>('#large')!.naturalWidth > 0);

      await option(page, 'cat.jpg').click();
      await verdict(page, 'Out: none of your classes');
      await page.waitForFunction(() => document.querySelectorAll('.thumbnail img').length === 3);
    }),
  );

  check('judges anew when classes are taken away and added, and keeps them', () =>
    withPage(async ({ page, drop }) => {
      await drop(photo('boats'));
      await verdict(page, 'In: ferry');
      await page.getByRole('button', { name: 'Remove ferry' }).click();
      await page.locator('#verdict').getByText('ferry').waitFor({ state: 'detached' });
      await page.waitForFunction(() => /in|out/.test(document.querySelector('.chip')!.textContent!));
      assert.doesNotMatch((await page.locator('.label').textContent())!, /ferry/);
      assert.equal(await page.locator('#warnings summary').textContent(), 'One note on these classes');
      await page.getByLabel('Add a class').fill('ferry, lawn mower');
      await page.keyboard.press('Enter');
      await verdict(page, 'In: ferry');
      assert.equal(await page.locator('#warnings').isVisible(), false);
      await page.reload();
      await status(page, 'Ready');
      assert.equal(await page.locator('#labels li').count(), 11);
    }),
  );

  check('holds scores against a threshold, and goes back to the rule of the model', () =>
    withPage(async ({ page, drop }) => {
      const names = ['boats', 'cat', 'coffee'];
      await drop(...names.map(photo));
      await status(page, '3 photos');
      const verdicts = async () => (await cards(page)).map((card) => card.split(' ')[1]);
      await page.focus('#threshold');
      // Scores of the README: 0.699, 0.002 and 0.415.
      for (const [threshold, expected] of [
        ['0', ['in', 'in', 'in']],
        ['0.41', ['in', 'out', 'in']],
        ['0.42', ['in', 'out', 'out']],
        ['0.7', ['out', 'out', 'out']],
      ] as const) {
        await page.locator('#threshold').fill(threshold);
        assert.deepEqual(await verdicts(), expected, threshold);
      }
      await sentence(page, /is below the threshold of 0\.7/);
      await verdict(page, 'Out: none of your classes');
      await page.getByText('In 0').waitFor();
      await page.getByRole('button', { name: 'own rule' }).click();
      assert.deepEqual(await verdicts(), ['in', 'out', 'out']);
      await sentence(page, /at least as likely as none of them/);
    }),
  );

  check('judges a folder with progress, stops when told, and goes on where it stopped', () => {
    const folder = path.join(scratch, 'batch');
    mkdirSync(path.join(folder, 'below'), { recursive: true });
    copyFileSync(photo('boats'), path.join(folder, 'boats.jpg'));
    const names = ['.jpg', '.jpeg', '.jpe', '.jif', '.jfif'];
    for (let i = 1; i < BATCH; i++) {
      const name = `${i}${names[i % names.length]}`;
      linkSync(path.join(folder, 'boats.jpg'), path.join(folder, i % 2 ? 'below' : '', name));
    }
    writeFileSync(path.join(folder, 'notes.txt'), 'no image, and not asked about');
    return withPage(async ({ page, drop }) => {
      // Pressed by the page itself when it sees the first answers: a test would come late.
      await page.evaluate(() => {
        const said = document.getElementById('status')!;
        const press = new MutationObserver(() => {
          if (!/^[1-9]\d* of/.test(said.textContent!)) return;
          press.disconnect();
          document.getElementById('stop')!.click();
        });
        press.observe(said, { childList: true, characterData: true, subtree: true });
      });
      await drop(folder);
      await page.getByRole('button', { name: 'Go on' }).waitFor();
      const judged = Number(/^(\d+) of 80 photos$/.exec((await page.getByRole('status').textContent())!)?.[1]);
      assert.ok(judged > 0 && judged < BATCH, `${judged}`);
      assert.equal(await page.locator('#progress').evaluate((bar) => (bar as HTMLProgressElement).value), judged);
      assert.equal(await page.getByText('In ').first().textContent(), `In ${judged}`);

      await page.getByRole('button', { name: 'Go on' }).click();
      await status(page, '80 photos');
      assert.deepEqual(new Set((await cards(page)).map((card) => card.split(' ')[1])), new Set(['in']));
      assert.equal(await page.locator('#progress').isVisible(), false);
      await page.getByText('Out 0').click();
      assert.equal(await page.locator('.card:visible').count(), 0);
    });
  });

  check('says what is wrong: with a file, a folder without images, classes', () => {
    const nothing = path.join(scratch, 'nothing');
    mkdirSync(nothing);
    copyFileSync(photo('cat'), path.join(scratch, HOSTILE));
    return withPage(async ({ page, drop }) => {
      await drop(path.join(repository, 'README.md'), path.join(scratch, HOSTILE));
      await status(page, '2 photos, 1 could not be read');
      assert.deepEqual(await cards(page), ['README.md error', `${HOSTILE} out`]);
      await verdict(page, 'Could not be read');
      await sentence(page, /README\.md cannot be decoded: .*The file is not an image/);
      assert.equal(await page.evaluate(() => 'pwned' in window), false);

      const alert = page.getByRole('alert');
      await drop(nothing);
      await alert.getByText('no image in that folder').waitFor();
      await alert.getByRole('button', { name: 'Dismiss' }).click();
      assert.equal(await alert.isVisible(), false);

      while ((await page.locator('#labels button').count()) > 0) await page.locator('#labels button').first().click();
      await alert.getByText('there are no labels').waitFor();
      await page.getByLabel('Add a class').fill('tabby');
      await page.keyboard.press('Enter');
      await alert.waitFor({ state: 'hidden' });
    });
  });

  check('works by keyboard alone', () =>
    withPage(async ({ page, willChoose }) => {
      const tabTo = async (selector: string) => {
        for (let stop = 0; stop < 40; stop++) {
          await page.keyboard.press('Tab');
          if (await page.evaluate((wanted) => document.activeElement!.matches(wanted), selector)) return;
        }
        assert.fail(`Tab does not reach ${selector}`);
      };
      willChoose(photos);
      await tabTo('#add-folder');
      await page.keyboard.press('Enter');
      const all = readdirSync(photos).filter((name) => name.endsWith('.jpg')).length;
      await status(page, `${all} photos`);
      await tabTo('#label');
      await page.keyboard.type('steam engine');
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: 'Remove steam engine' }).waitFor();
      await tabTo('#threshold');
      await page.keyboard.press('End');
      await page.getByRole('button', { name: 'own rule' }).waitFor();
      await tabTo('#own-rule');
      await page.keyboard.press('Space');
      await tabTo('.card');
      await verdict(page, 'Out: none of your classes');
      await page.keyboard.press('ArrowRight');
      await verdict(page, 'In: ferry');
      assert.equal(await page.evaluate(() => document.activeElement!.querySelector('.name')!.textContent), 'boats.jpg');
      await page.keyboard.press('End');
      assert.equal(await option(page, 'rocket.jpg').getAttribute('aria-selected'), 'true');
      await page.keyboard.press('ArrowUp');
      assert.equal(await option(page, 'coffee.jpg').getAttribute('aria-selected'), 'true');
      await page.locator('#map').waitFor(); // not there before the reasons are
      await tabTo('#map');
    }),
  );

  check('breaks no rule of axe, light and dark, in windows of any size', () =>
    withPage(async ({ page, drop }) => {
      assert.deepEqual(await violations(page), [], 'empty');
      await drop(photo('boats'), photo('coffee'), path.join(repository, 'README.md'));
      await status(page, '3 photos, 1 could not be read');
      await sentence(page, /ferry/);
      await page.locator('#threshold').fill('0.3');
      await drop(path.join(repository, 'examples/server'));
      await page.getByRole('alert').waitFor();
      for (const [colorScheme, viewport] of [
        ['light', WIDE],
        ['dark', WIDE],
        ['light', MIDDLE],
        ['dark', NARROW],
      ] as const) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize(viewport);
        assert.deepEqual(await violations(page), [], `${colorScheme}, ${viewport.width} pixels wide`);
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), viewport.width);
      }
    }),
  );
});
