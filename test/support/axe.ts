/// <reference lib="dom" />
/** axe-core in a page that playwright drives. */
import { readFileSync } from 'node:fs';
import type { AxeResults, RunOptions } from 'axe-core';
import type { Page } from 'playwright-core';

/** Rules of accessibility that the page breaks, with the elements. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8'));
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(options: RunOptions): Promise<AxeResults> } };
    // Without preload it asks for no style sheet a second time, which a page may forbid.
    const found = await axe.run({ resultTypes: ['violations'], preload: false });
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join()}`);
  });
}
