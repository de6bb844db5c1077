import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { decodeImage } from '../../lib/images/decode';
import { type Quality, qualityOf } from '../../lib/images/quality';
import { photos } from '../support/paths';

const PATCH = 16;
const drawing = (body: string, width = 300) =>
  sharp(Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="200">${body}</svg>`));
const white = '<rect width="300" height="200" fill="#fff"/>';
const qualityIn = async (file: Buffer | string) => qualityOf(await decodeImage(file), PATCH);

/** Grey 128 with noise of at most `n` up and down, the same each time. */
function noise(n: number) {
  let state = 1;
  const data = Buffer.alloc(300 * 200 * 3).map(() => {
    state = (state * 48271) % 0x7fffffff;
    return 128 + Math.round(((2 * state) / 0x7fffffff - 1) * n);
  });
  return sharp(data, { raw: { width: 300, height: 200, channels: 3 } });
}

const DRAWN: [what: string, file: () => Promise<Buffer>, quality: Quality | undefined][] = [
  ['one colour', () => drawing(white).removeAlpha().png().toBuffer(), 'flat'],
  ['one colour as a JPEG', () => drawing(white).flatten().jpeg({ quality: 60 }).toBuffer(), 'flat'],
  ['one grey', () => drawing(white).toColourspace('b-w').removeAlpha().png().toBuffer(), 'flat'],
  ['the noise of a camera with its cap on', () => noise(2).png().toBuffer(), 'nearlyFlat'],
  ['a stronger noise', () => noise(8).png().toBuffer(), undefined],
  ['a small dot on white', () => drawing(`${white}<circle cx="150" cy="100" r="6"/>`).png().toBuffer(), undefined],
  [
    'a word on white',
    () => drawing(`${white}<text x="40" y="99" font-size="30">word</text>`).png().toBuffer(),
    undefined,
  ],
  ['eight pixels a side', () => noise(90).resize(8, 8).png().toBuffer(), 'tiny'],
  ['nothing to be seen', () => drawing('').png().toBuffer(), 'transparent'],
  ['a dot on nothing', () => drawing('<circle cx="150" cy="100" r="20"/>').png().toBuffer(), 'transparent'],
  [
    'a large dot on nothing',
    () => drawing('<circle cx="150" cy="100" r="90" fill="#c33"/>').png().toBuffer(),
    undefined,
  ],
];

describe('an image that carries nothing to judge is told:', () => {
  for (const [what, file, quality] of DRAWN) {
    test(`${what}: ${quality ?? 'nothing speaks against it'}`, async () => {
      assert.equal(await qualityIn(await file()), quality);
    });
  }
});

test('nothing speaks against the sample photos', async () => {
  const files = readdirSync(photos).filter((name) => name.endsWith('.jpg'));
  assert.ok(files.length >= 9);
  for (const name of files) assert.equal(await qualityIn(path.join(photos, name)), undefined, name);
});
