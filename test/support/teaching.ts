/** The least that can be taught: the toy network without a no side, and three classes of four small images. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import type { TeachOptions } from '../../lib/teach/teach';
import { smallestFiles } from './tiny-model';

export const CLASSES = ['cab', 'deed', 'fog'];
export const IMAGES = 12;

/** Writes base, data (class folders), config, tokenizer and templates; its tokenizer knows words of the letters a to s. */
export async function smallestTeaching(folder: string): Promise<{ base: string; data: string; options: TeachOptions }> {
  await mkdir(folder, { recursive: true });
  const { checkpoint, options } = await smallestFiles(folder, { kind: 'clip' });
  const templates = path.join(folder, 'templates.txt');
  await writeFile(templates, '{}\nb{}\n{}s\n');
  const data = path.join(folder, 'classes');
  for (let i = 0; i < IMAGES; i++) {
    const name = CLASSES[i % CLASSES.length]!;
    await mkdir(path.join(data, name), { recursive: true });
    const noise = { type: 'gaussian' as const, mean: 20 * i, sigma: 40 };
    await sharp({ create: { width: 36 + i, height: 40, channels: 3, background: '#000', noise } })
      .png()
      .toFile(path.join(data, name, `${i}.png`));
  }
  return { base: checkpoint, data, options: { ...options, templates, steps: 6, batch: 4, lr: 1e-3 } as TeachOptions };
}
