import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import sharp from 'sharp';
import { decodeImage } from '../lib/image';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-image-'));
after(() => rmSync(folder, { recursive: true }));

/** 3 × 2 samples counting up. */
const samples = (channels: number) => Buffer.from(Array.from({ length: 6 * channels }, (_, i) => 10 * i));
const raw = (channels: 1 | 3 | 4) => sharp(samples(channels), { raw: { width: 3, height: 2, channels } });

test('a PNG gives its own samples', async () => {
  const image = await decodeImage(await raw(3).png().toBuffer());
  assert.deepEqual({ ...image, data: [...image.data] }, { data: [...samples(3)], width: 3, height: 2, channels: 3 });
});

test('alpha is dropped, not blended', async () => {
  const { data, channels } = await decodeImage(await raw(4).png().toBuffer());
  assert.equal(channels, 3);
  assert.deepEqual([...data.subarray(0, 6)], [0, 10, 20, 40, 50, 60]);
});

test('EXIF orientation is applied unless it is switched off', async () => {
  const turned = await raw(3).jpeg().withMetadata({ orientation: 6 }).toBuffer();
  const { width, height } = await decodeImage(turned);
  assert.deepEqual([width, height], [2, 3]);
  const plain = await decodeImage(turned, { exif: false });
  assert.deepEqual([plain.width, plain.height], [3, 2]);
});

// Files and bytes by Pillow: test/reference/make_image_golden.py.
const cmyk = JSON.parse(readFileSync(path.join(__dirname, 'golden/cmyk.json'), 'utf8'));
for (const { format, file, rgb } of cmyk.cases) {
  test(`a CMYK ${format} gives the RGB bytes that Pillow gives`, async () => {
    const { data, ...size } = await decodeImage(Buffer.from(file, 'base64'));
    assert.deepEqual(size, { width: cmyk.width, height: cmyk.height, channels: 3 });
    assert.deepEqual([...data], rgb);
  });
}

test('raw samples are copied, so that the caller may go on using his buffer', async () => {
  const data = Uint8Array.from(samples(3));
  const image = await decodeImage({ data, width: 3, height: 2, channels: 3 });
  data.fill(0);
  assert.equal(image.data[1], 10);
});

for (const [what, input, message] of [
  ['data of the wrong length', { data: new Uint8Array(5), width: 1, height: 2, channels: 3 }, /5 bytes, not 1 × 2 × 3/],
  ['2 channels', { data: new Uint8Array(4), width: 1, height: 2, channels: 2 }, /channels must be 1, 3 or 4/],
  ['width 0', { data: new Uint8Array(0), width: 0, height: 2, channels: 3 }, /width/],
  ['floats', { data: new Float32Array(3), width: 1, height: 1, channels: 3 }, /Uint8Array/],
  ['null', null, /expected a path/],
] as const) {
  test(`a raw image with ${what} is refused`, async () => {
    await assert.rejects(decodeImage(input as never), { code: 'ERR_CLIPN_INVALID_ARG', message });
  });
}

test('a missing file, a folder, an empty and a non-image file each have their code', async () => {
  const empty = path.join(folder, 'empty.jpg');
  const text = path.join(folder, 'text.jpg');
  writeFileSync(empty, '');
  writeFileSync(text, 'not an image');
  await assert.rejects(decodeImage(path.join(folder, 'none.jpg')), { code: 'ERR_CLIPN_IMAGE_NOT_FOUND' });
  await assert.rejects(decodeImage(folder), { code: 'ERR_CLIPN_INVALID_ARG', message: /folder/ });
  await assert.rejects(decodeImage(empty), { code: 'ERR_CLIPN_IMAGE_DECODE', message: /empty/ });
  await assert.rejects(decodeImage(text), { code: 'ERR_CLIPN_IMAGE_DECODE' });
});

test('a JPEG cut short is refused, not filled with grey', async () => {
  const noise = Buffer.from(Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 251));
  const whole = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
    .jpeg()
    .toBuffer();
  await assert.rejects(decodeImage(whole.subarray(0, whole.length / 2)), { code: 'ERR_CLIPN_IMAGE_DECODE' });
});

test('an image over the pixel limit is refused before it is decoded', async () => {
  const png = await raw(3).png().toBuffer();
  await assert.rejects(decodeImage(png, { limitPixels: 5 }), {
    code: 'ERR_CLIPN_IMAGE_TOO_LARGE',
    message: /more than 5 pixels/,
  });
});
