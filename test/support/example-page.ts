/// <reference lib="dom" />
/** The page of examples/electron in Chromium, with its own worker behind the bridge: what Electron does, done by playwright. */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Event, Open, Request } from '../../examples/electron/messages';

type CreateWorker = (send: (event: Event) => void) => (request: Request | Open) => Promise<void>;

export interface ExampleWorker {
  work(request: Request): Promise<void>;
  /** Where its events go from now on. */
  listener: (event: Event) => void;
}

/** The worker in this process. @param folder of the installed example */
export async function startWorker(folder: string, open: Omit<Open, 'type'>): Promise<ExampleWorker> {
  const { createWorker } = require(path.join(folder, 'worker.js')) as { createWorker: CreateWorker };
  const work = createWorker((event) => worker.listener(event));
  const worker: ExampleWorker = { work, listener: () => {} };
  await work({ type: 'open', ...open });
  return worker;
}

export interface ExamplePage {
  page: Page;
  /** What its console said, and requests for anything but its own files. */
  complaints: string[];
  /** Drops files and folders of this disk on the page, as the system does. */
  drop(...paths: string[]): Promise<void>;
  /** Opens the page afresh, with no memory of before. */
  reset(): Promise<void>;
  /** What the user will choose in the next dialogue. */
  willChoose(...paths: string[]): void;
}

/** The page with preload.js's bridge; as a text, for a function would bring along what tsx adds to it. */
const BRIDGE = `
  const listeners = [];
  window.tell = (event, bytes) => {
    for (const key in bytes) event[key] = Uint8Array.from(atob(bytes[key]), (character) => character.charCodeAt(0));
    for (const listener of listeners) listener(event);
  };
  window.clipn = {
    send: (request) => window.sendToWorker(request),
    onEvent: (listener) => listeners.push(listener),
    pathOf: (file) => window.dropped?.[file.name] ?? '',
    choose: () => window.choosePaths(),
  };
`;

/** An event, and its bytes in base64, which playwright would send as lists of numbers. */
function apart(event: Event): [plain: Event, bytes: Record<string, string>] {
  const entries = Object.entries(event);
  const isBytes = (value: unknown) => value instanceof Uint8Array;
  const bytes = entries.filter(([, value]) => isBytes(value));
  return [
    Object.fromEntries(entries.filter(([, value]) => !isBytes(value))) as unknown as Event,
    Object.fromEntries(bytes.map(([key, value]) => [key, Buffer.from(value).toString('base64')])),
  ];
}

/** @param folder of the installed example */
export async function openExample(
  browser: Browser,
  folder: string,
  worker: ExampleWorker,
  options: BrowserContextOptions,
): Promise<ExamplePage> {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  let telling = Promise.resolve();
  worker.listener = (event) => {
    // One after the other, as the messages of a port come; a page that is closed hears nothing.
    telling = telling
      .then(() => page.evaluate(([plain, bytes]) => window.tell(plain, bytes), apart(event)))
      .catch(() => {});
  };
  let chosen: string[] = [];
  await page.exposeFunction('sendToWorker', (request: Request) => void worker.work(request));
  await page.exposeFunction('choosePaths', () => chosen);
  await page.addInitScript(BRIDGE);

  const complaints: string[] = [];
  const address = pathToFileURL(path.join(folder, 'page/index.html')).href;
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error.stack)));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith('blob:') && path.dirname(url) !== path.dirname(address)) complaints.push(url);
  });
  await page.goto(address);
  const session = await context.newCDPSession(page);

  return {
    page,
    complaints,
    async drop(...paths) {
      const byName = Object.fromEntries(paths.map((each) => [path.basename(each), each]));
      await page.evaluate((names) => {
        window.dropped = names;
      }, byName);
      const data = { items: [], files: paths, dragOperationsMask: 1 };
      for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
        await session.send('Input.dispatchDragEvent', { type, x: 200, y: 200, data });
      }
    },
    async reset() {
      await page.evaluate(() => localStorage.clear());
      await page.emulateMedia({ colorScheme: null });
      await page.setViewportSize(options.viewport!);
      complaints.length = 0;
      await page.goto(address);
    },
    willChoose(...paths) {
      chosen = paths;
    },
  };
}

declare global {
  interface Window {
    /** The test's side of the bridge. */
    tell(event: Event, bytes: Record<string, string>): void;
    dropped?: Record<string, string>;
  }
}
