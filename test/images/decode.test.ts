import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import sharp from 'sharp';
import { decodeImage } from '../../lib/images/decode';
import { goldenFile } from '../support/paths';

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
  assert.equal(channels, 4);
  assert.deepEqual([...data].filter((_, i) => i % 4 !== 3).slice(0, 6), [0, 10, 20, 40, 50, 60]);
});

test('EXIF orientation is applied unless it is switched off', async () => {
  const turned = await raw(3).jpeg().withMetadata({ orientation: 6 }).toBuffer();
  const { width, height } = await decodeImage(turned);
  assert.deepEqual([width, height], [2, 3]);
  const plain = await decodeImage(turned, { exif: false });
  assert.deepEqual([plain.width, plain.height], [3, 2]);
});

// Files and bytes by Pillow: test/reference/make_image_golden.py.
const cmyk = JSON.parse(readFileSync(goldenFile('cmyk.json'), 'utf8'));
for (const { format, file, rgb } of cmyk.cases) {
  test(`a CMYK ${format} gives the RGB bytes that Pillow gives`, async () => {
    const { data, ...size } = await decodeImage(Buffer.from(file, 'base64'));
    assert.deepEqual(size, { width: cmyk.width, height: cmyk.height, channels: 3 });
    assert.deepEqual([...data], rgb);
  });
}

// JPEGs cut short and bytes by Pillow with LOAD_TRUNCATED_IMAGES: test/reference/make_truncated_golden.py.
const truncated = JSON.parse(readFileSync(goldenFile('truncated.json'), 'utf8'));
for (const { name, file, rgb } of truncated.cases) {
  test(`a JPEG cut short (${name}) is refused, and with truncated: 'accept' gives what Pillow gives`, async () => {
    const bytes = Buffer.from(file, 'base64');
    await assert.rejects(decodeImage(bytes), { code: 'ERR_CLIPN_IMAGE_DECODE' });
    const { data, ...size } = await decodeImage(bytes, { truncated: 'accept' });
    assert.deepEqual(size, { width: truncated.width, height: truncated.height, channels: 3 });
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
  ['null', null, /an image is a path/],
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
  await assert.rejects(decodeImage(empty), { code: 'ERR_CLIPN_IMAGE_DECODE', message: /no bytes/ });
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
    hint: /`limitPixels`, .*--limit-pixels/,
  });
});

test('of 16-bit grey the upper 8 bits are used', async () => {
  const wide = Uint16Array.from([0x0000, 0x01ff, 0x7f80, 0x80ff, 0xff00, 0xffff]);
  const png = await sharp(wide, { raw: { width: 3, height: 2, channels: 1 } })
    .toColourspace('grey16')
    .png()
    .toBuffer();
  assert.deepEqual([png[24], png[25]], [16, 0], 'the file is 16-bit grey');
  const { data, channels } = await decodeImage(png);
  const grey = [...data].filter((_, i) => i % channels === 0);
  assert.deepEqual(grey, [0x00, 0x01, 0x7f, 0x80, 0xff, 0xff]);
});

test("a GIF's transparent pixels have the palette's colour", async () => {
  // GIF89a, 1 × 1, palette (10, 20, 30) and (0, 0, 0), transparent index 0, which the only pixel has.
  const gif = '47494638396101000100800000' + '0a141e000000' + '21f90401000000002c00000000010001000002024401003b';
  const { data } = await decodeImage(Buffer.from(gif, 'hex'));
  assert.deepEqual([...data.subarray(0, 3)], [10, 20, 30]);
});

for (const [head, kind] of [
  ['<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="5" height="5"/></svg>', 'an SVG drawing'],
  ['\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'a HEIC image'],
  ['\0\0\0\x18ftypisom\0\0\0\0isomavc1', 'a video'],
  ['\0\0\0\x0cjP  \r\n\x87\n', 'a JPEG 2000 image'],
  ['\0\0\x01\0\x01\0\x10\x10\0\0', 'a Windows icon (ICO)'],
  ['P6\n2 2\n255\n............', 'a PNM image'],
  ['version https://git-lfs.github.com/spec/v1\noid sha256:0', 'a pointer of Git LFS'],
  ['<!DOCTYPE html><html><body>Not found', 'an HTML page'],
  ['{"error": "not found"}', 'JSON'],
] as const) {
  test(`${kind} is refused by its name`, async () => {
    await assert.rejects(decodeImage(Buffer.from(head, 'latin1')), {
      code: 'ERR_CLIPN_IMAGE_DECODE',
      message: new RegExp(`the image buffer is ${kind.replace(/[()]/g, '.')}.*, which is not read`),
    });
  });
}

test('bytes that are nothing known are refused without "unknown error"', async () => {
  await assert.rejects(decodeImage(Buffer.from('hello, world')), (error: Error & { code: string }) => {
    return error.code === 'ERR_CLIPN_IMAGE_DECODE' && !/unknown error/i.test(error.message);
  });
});

test('samples of 32 bits are refused, not clipped', async () => {
  // TIFF 6.0: one pixel, a float of 0.5, by its tags 256 to 279 (size, bits, photometric, strip) and 339 (IEEE).
  const tags = { 256: 1, 257: 1, 258: 32, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 4, 339: 3 };
  const entries = Object.entries(tags).map(([tag, value]) => {
    return Buffer.from(Uint16Array.of(Number(tag), 3, 1, 0, value, 0).buffer);
  });
  const head = Buffer.from('49492a000c0000000000003f0a00', 'hex');
  const tiff = Buffer.concat([head, ...entries, Buffer.alloc(4)]);
  await assert.rejects(decodeImage(tiff), { code: 'ERR_CLIPN_IMAGE_DECODE', message: /not of 8 or 16 bits/ });
});

test('a named pipe is refused, which would be waited for without end', {
  skip: process.platform === 'win32',
}, async () => {
  const pipe = path.join(folder, 'pipe.jpg');
  execFileSync('mkfifo', [pipe]);
  await assert.rejects(decodeImage(pipe), {
    code: 'ERR_CLIPN_INVALID_ARG',
    message: /is a pipe/,
    hint: /standard input/,
  });
});
