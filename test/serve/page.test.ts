/// <reference lib="dom" />
/** The page of the server in Chromium: real drops, a camera, keys, themes, widths, and rules of accessibility. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser, CDPSession, Page } from 'playwright-core';
import { violations } from '../support/axe';
import { launchBrowser, skipWithoutBrowser } from '../support/chromium';
import { photos } from '../support/paths';
import { writeCalibration } from '../support/serve-calibration';
import { LABELS, photo, type ServeProcess, startServer } from '../support/serve-process';

const WIDE = { width: 1360, height: 860 };
const MIDDLE = { width: 900, height: 700 };
const NARROW = { width: 320, height: 640 };
const file = (name: string) => path.join(photos, `${name}.jpg`);

/** Each test is skipped, not their suite, so that the summary counts them. */
const check = (name: string, use: () => Promise<void>) => test(name, { skip: skipWithoutBrowser }, use);

interface Opened {
  page: Page;
  drop(...files: string[]): Promise<void>;
}

describe('the page of the server in Chromium', () => {
  const scratch = mkdtempSync(path.join(tmpdir(), 'clipn-page-'));
  let browser: Browser;
  let plain: ServeProcess;
  let calibrated: ServeProcess;

  before(async () => {
    if (skipWithoutBrowser) return;
    const calibration = path.join(scratch, 'calibration.json');
    await writeCalibration(calibration);
    [browser, plain, calibrated] = await Promise.all([
      launchBrowser(),
      startServer(),
      startServer(['--calibration', calibration, '--no-live-labels']),
    ]);
  });
  after(async () => {
    await browser?.close();
    await Promise.all([plain?.end(), calibrated?.end()]);
    rmSync(scratch, { recursive: true });
  });

  /** Hands over a fresh page that is ready; fails if its console complained or it asked anybody else. */
  async function withPage(
    use: (opened: Opened) => Promise<void>,
    { server = plain, viewport = WIDE, camera = false, expected = [] as RegExp[] } = {},
  ): Promise<void> {
    const context = await browser.newContext({
      viewport,
      reducedMotion: 'reduce',
      ...(camera && { permissions: ['camera'] }),
    });
    const page = await context.newPage();
    const complaints: string[] = [];
    const complain = (text: string) => {
      if (!expected.some((each) => each.test(text))) complaints.push(text);
    };
    page.on('console', (message) => complain(message.text()));
    page.on('pageerror', (error) => complain(String(error.stack)));
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !request.url().startsWith('blob:')) complain(request.url());
    });
    await page.goto(server.url);
    await status(page, 'Ready');
    const session: CDPSession = await context.newCDPSession(page);
    const drop = async (...files: string[]) => {
      const data = { items: [], files, dragOperationsMask: 1 };
      for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
        await session.send('Input.dispatchDragEvent', { type, x: 200, y: 200, data });
      }
    };
    await use({ page, drop });
    await context.close();
    assert.deepEqual(complaints, []);
  }

  const status = (page: Page, text: string) => page.getByRole('status').getByText(text, { exact: true }).waitFor();
  const verdict = (page: Page, text: string) => page.locator('#verdict').getByText(text, { exact: true }).waitFor();
  const sentence = (page: Page, text: string | RegExp) => page.locator('#sentence').getByText(text).waitFor();
  const chips = (page: Page) => page.locator('.card .chip').allTextContents();

  check('judges dropped photos as the README has it, says why, and shows where', () =>
    withPage(async ({ page, drop }) => {
      await drop(file('rocket'), file('cat'), file('boats'));
      await status(page, '3 photos');
      assert.deepEqual(await chips(page), ['in', 'out', 'out']);
      await verdict(page, 'In: ferry');
      await sentence(page, /Looks most like “ferry” \(p_yes 74 %\)/);
      assert.match((await page.locator('#shares caption').textContent())!, /0\.699/);
      assert.equal(await page.locator('#shares tr').count(), 6);

      await page.getByLabel('Show where').check();
      const map = await page.locator('#map').boundingBox();
      const picture = await page.locator('#large').boundingBox();
      // 512 × 410 becomes 79 × 64, and of that the model sees the middle 64 × 64.
      const scale = picture!.width / 512;
      const seen = (512 * 64) / 79;
      assert.ok(
        Math.abs(map!.width / scale - seen) < 1 && Math.abs(map!.height / scale - 410) < 1,
        JSON.stringify(map),
      );
      assert.ok(Math.abs((map!.x - picture!.x) / scale - (512 - seen) / 2) < 5, JSON.stringify(map));
      const drawn = await page.$eval('#map', (canvas: HTMLCanvasElement) => {
        const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
        return { size: [canvas.width, canvas.height], most: Math.max(...data.filter((_, i) => i % 4 === 3)) };
      });
      assert.deepEqual(drawn, { size: [8, 8], most: 191 });

      await page.getByRole('option', { name: 'cat.jpg' }).click();
      await verdict(page, 'Out: none of your classes');
    }),
  );

  check('judges what is pasted, and says of what is no photo that it is none', () =>
    withPage(
      async ({ page, drop }) => {
        await page.evaluate(async (base64) => {
          const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], 'pasted.jpg', { type: 'image/jpeg' }));
          document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }));
        }, photo('boats').toString('base64'));
        await verdict(page, 'In: ferry');
        const broken = path.join(scratch, 'broken.jpg');
        writeFileSync(broken, photo('cat').subarray(0, 2000));
        await drop(broken);
        await verdict(page, 'Could not be judged');
        await sentence(page, /premature end/);
        await status(page, '2 photos');
        assert.equal(await page.getByRole('alert').isVisible(), false);
      },
      { expected: [/status of 422/] },
    ),
  );

  check('judges anew when classes are taken away and added, and goes back', () =>
    withPage(async ({ page, drop }) => {
      await drop(file('boats'));
      await verdict(page, 'In: ferry');
      await page.getByRole('button', { name: 'Remove ferry' }).click();
      await page.locator('#verdict').getByText('ferry').waitFor({ state: 'detached' });
      assert.equal(await page.locator('#warnings summary').textContent(), 'One note on these classes');
      await page.getByLabel('Add a class').fill('lawn mower, ferry');
      await page.keyboard.press('Enter');
      await verdict(page, 'In: ferry');
      assert.equal(await page.locator('#labels li').count(), LABELS.length + 1);
      await page.getByRole('button', { name: 'Back to the server’s classes' }).click();
      await status(page, '1 photo');
      assert.equal(await page.locator('#labels li').count(), LABELS.length);
      await verdict(page, 'In: ferry');
    }),
  );

  check('holds scores against a threshold, and goes back to the rule of the server', () =>
    withPage(async ({ page, drop }) => {
      await drop(...['coffee', 'cat', 'boats'].map(file));
      await status(page, '3 photos');
      await page.focus('#threshold');
      // Scores of the README: 0.699, 0.002 and 0.415.
      for (const [threshold, expected] of [
        ['0', ['in', 'in', 'in']],
        ['0.41', ['in', 'out', 'in']],
        ['0.42', ['in', 'out', 'out']],
        ['0.7', ['out', 'out', 'out']],
      ] as const) {
        await page.locator('#threshold').fill(threshold);
        assert.deepEqual(await chips(page), expected, threshold);
      }
      await sentence(page, 'but its score is below your threshold (atd 0.699, threshold 0.7)');
      await verdict(page, 'Out: none of your classes');
      await page.getByRole('button', { name: 'Back to the server’s rule' }).click();
      assert.deepEqual(await chips(page), ['in', 'out', 'out']);
      await sentence(page, /at least as likely as none of them/);
    }),
  );

  check('with a calibration shows its threshold, the course of the drift monitor and its alarm', () =>
    withPage(
      async ({ page, drop }) => {
        assert.equal(await page.locator('#label-form').isVisible(), false);
        await page.getByText(/The server’s rule: in from 0\.431 on/).waitFor();
        await page.locator('#drift-text').getByText('Seen: 0').waitFor();
        for (let i = 0; i < 3; i++) {
          await drop(...Array.from({ length: 8 }, (_, j) => file(['gravel', 'cat'][j % 2]!)));
          await page
            .locator('#drift-text')
            .getByText(`Seen: ${8 * (i + 1)}`)
            .waitFor();
        }
        await page
          .locator('#drift-text')
          .getByText(/^Alarm at image \d+/)
          .waitFor();
        const course = (await page.locator('#drift polyline').getAttribute('points'))!.trim().split(' ');
        assert.equal(course.length, 25);
      },
      { server: calibrated },
    ),
  );

  check('looks through the camera, and keeps a picture', () =>
    withPage(
      async ({ page }) => {
        // A camera of the test's own: a canvas as a stream.
        await page.evaluate(async (base64) => {
          const image = new Image();
          image.src = `data:image/jpeg;base64,${base64}`;
          const canvas = document.createElement('canvas');
          [canvas.width, canvas.height] = [512, 410];
          const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
          const bitmap = await createImageBitmap(new Blob([bytes]));
          setInterval(() => canvas.getContext('2d')!.drawImage(bitmap, 0, 0), 50);
          navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(20);
        }, photo('boats').toString('base64'));
        await page.getByRole('button', { name: 'Camera' }).click();
        await verdict(page, 'In: ferry');
        await status(page, 'Looking through the camera');
        assert.equal(await page.locator('.card').count(), 0);
        await page.getByRole('button', { name: 'Keep this picture' }).click();
        await page.locator('.card[data-verdict="in"]').waitFor();
        await page.getByRole('button', { name: 'Stop the camera' }).click();
        await status(page, '1 photo');
        assert.equal(await page.locator('#video').isVisible(), false);
      },
      { expected: [/Content Security Policy/] },
    ),
  );

  check('is worked with by keys alone', () =>
    withPage(async ({ page, drop }) => {
      await drop(file('cat'), file('boats'), file('coffee'));
      await status(page, '3 photos');
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement!.id), 'choose');
      for (let i = 0; i < 10; i++) {
        await page.keyboard.press('Tab');
        if (await page.evaluate(() => document.activeElement!.classList.contains('card'))) break;
      }
      const name = () => page.evaluate(() => document.activeElement!.textContent);
      assert.equal(await name(), 'out 0.415, coffee.jpg');
      await page.keyboard.press('ArrowRight');
      assert.equal(await name(), 'in ferry, boats.jpg');
      await verdict(page, 'In: ferry');
      await page.keyboard.press('End');
      assert.equal(await name(), 'out 0.002, cat.jpg');
      await page.keyboard.press('Home');
      assert.equal(await name(), 'out 0.415, coffee.jpg');
    }),
  );

  check(
    'breaks no rule of accessibility and does not overflow, empty and full, light and dark, at three widths',
    async () => {
      for (const viewport of [WIDE, MIDDLE, NARROW]) {
        await withPage(
          async ({ page, drop }) => {
            const hold = async (what: string) => {
              for (const colorScheme of ['light', 'dark'] as const) {
                await page.emulateMedia({ colorScheme });
                assert.deepEqual(await violations(page), [], `${what}, ${colorScheme}, ${viewport.width}`);
              }
              const width = await page.evaluate(() => document.documentElement.scrollWidth);
              assert.ok(width <= viewport.width, `${what}: ${width} wide`);
            };
            await hold('empty');
            await drop(...['gravel', 'cat', 'rocket', 'boats'].map(file));
            await status(page, '4 photos');
            await page.getByLabel('Show where').check();
            await hold('full');
          },
          { viewport },
        );
      }
    },
  );

  check('asks for the key of a server that has some, and goes on with it', async () => {
    const key = 'a-key-that-nobody-guesses';
    const server = await startServer([], { env: { CLIPN_SERVE_API_KEYS: key } });
    const context = await browser.newContext({ viewport: WIDE });
    const page = await context.newPage();
    await page.goto(server.url);
    await page.getByLabel('API key').fill('a wrong one of enough letters');
    await page.keyboard.press('Enter');
    await page.getByLabel('API key').fill(key);
    await page.keyboard.press('Enter');
    await status(page, 'Ready');
    assert.equal(await page.locator('#labels li').count(), LABELS.length);
    await context.close();
    await server.end();
  });

  check('says that a proxy answered in its place, and judges on', async () => {
    await withPage(
      async ({ page, drop }) => {
        const html = { status: 502, contentType: 'text/html', body: '<h1>Bad gateway</h1>' };
        await page.route('**/v1/check**', (route) => route.fulfill(html));
        await drop(...['boats', 'cat', 'coffee', 'rocket', 'clock'].map(file));
        await page.getByRole('alert').getByText('What came with status 502 is no answer of the server.').waitFor();
        await page.getByRole('button', { name: 'Dismiss' }).click();
        await page.unroute('**/v1/check**');
        await drop(file('boats'));
        await page.locator('.card .chip').getByText('in', { exact: true }).waitFor();
      },
      { expected: [/status of 502/] },
    );
  });

  check('says that the server is gone', async () => {
    const server = await startServer();
    await withPage(
      async ({ page, drop }) => {
        await server.end();
        await drop(file('cat'));
        await page.getByRole('alert').getByText('The server does not answer.').waitFor();
        await page.getByRole('button', { name: 'Dismiss' }).click();
        assert.equal(await page.getByRole('alert').isVisible(), false);
      },
      { server, expected: [/ERR_CONNECTION_REFUSED/] },
    );
  });
});
