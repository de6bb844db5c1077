/** Many small images, all of them different: crops of the sample photos, each with a mark of its own. */
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { uniformSource } from '../../lib/base/random';
import { photos } from './paths';

const SIDE = 48;

/** Paths of `count` PNG files. */
export async function writeSmallImages(folder: string, count: number, seed: number): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const random = uniformSource(seed);
  const names = readdirSync(photos).filter((name) => name.endsWith('.jpg'));
  const decoded = await Promise.all(
    names.map((name) => sharp(path.join(photos, name)).removeAlpha().raw().toBuffer({ resolveWithObject: true })),
  );
  const paths: string[] = [];
  for (let i = 0; i < count; i++) {
    const { data, info } = decoded[i % decoded.length]!;
    const side = Math.floor(SIDE * (1 + 3 * random()));
    const left = Math.floor(random() * (info.width - side));
    const top = Math.floor(random() * (info.height - side));
    const mark = {
      create: { width: 4, height: 1, channels: 3 as const, background: { r: i >> 16, g: (i >> 8) & 255, b: i & 255 } },
    };
    const file = path.join(folder, `${String(i).padStart(6, '0')}.png`);
    await sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } })
      .extract({ left, top, width: side, height: side })
      .resize(SIDE, SIDE)
      .composite([{ input: mark, left: 0, top: 0 }])
      .png({ compressionLevel: 1 })
      .toFile(file);
    paths.push(file);
  }
  return paths;
}
