/** Every form in which JavaScript has an image gives the samples of the same PNG. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { decodeRegion } from '../../lib/images/decode';
import { collectImage, type ImageInput, nameOf, type Region, splitRegion } from '../../lib/images/image-input';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-input-'));
after(() => rmSync(folder, { recursive: true }));

const [WIDTH, HEIGHT] = [5, 4];
const SAMPLES = Uint8Array.from({ length: WIDTH * HEIGHT * 3 }, (_, i) => (37 * i) % 256);
const drawn = () => sharp(SAMPLES, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } });
const file = path.join(folder, 'drawn image.png');
const png = drawn()
  .png()
  .toBuffer()
  .then((bytes) => {
    writeFileSync(file, bytes);
    return bytes;
  });

async function decode(input: ImageInput, options: { limitBytes?: number } = {}, signal?: AbortSignal) {
  const { whole, region } = splitRegion(input);
  return await decodeRegion(await collectImage(whole, options, signal), region, {});
}

const exactBuffer = (bytes: Buffer) =>
  bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;

const FORMS: Record<string, (bytes: Buffer) => ImageInput | Promise<ImageInput>> = {
  'a path': () => file,
  'a file URL': () => pathToFileURL(file),
  'a file: string': () => pathToFileURL(file).href,
  'a Buffer': (bytes) => bytes,
  'an ArrayBuffer': exactBuffer,
  'a DataView into a larger buffer': (bytes) => {
    const larger = new ArrayBuffer(bytes.length + 20);
    new Uint8Array(larger).set(bytes, 7);
    return new DataView(larger, 7, bytes.length);
  },
  'a SharedArrayBuffer': (bytes) => {
    const shared = new SharedArrayBuffer(bytes.length);
    new Uint8Array(shared).set(bytes);
    return shared as unknown as ArrayBuffer;
  },
  'a Blob': (bytes) => new Blob([exactBuffer(bytes)]),
  'a File': (bytes) => new File([exactBuffer(bytes)], 'upload.png'),
  'a Response': (bytes) => new Response(exactBuffer(bytes)),
  'a web stream': (bytes) => new Blob([exactBuffer(bytes)]).stream() as unknown as ImageInput,
  'a Node stream': () => createReadStream(file, { highWaterMark: 10 }),
  'a sharp pipeline': () => drawn(),
  "sharp's { data, info }": async () =>
    (await drawn().raw().toBuffer({ resolveWithObject: true })) as unknown as ImageInput,
  "sharp's { data, info } with alpha": async () =>
    (await drawn().ensureAlpha().raw().toBuffer({ resolveWithObject: true })) as unknown as ImageInput,
  ImageData: () => {
    const data = new Uint8ClampedArray(WIDTH * HEIGHT * 4).fill(255);
    for (let i = 0; i < WIDTH * HEIGHT; i++) data.set(SAMPLES.subarray(3 * i, 3 * i + 3), 4 * i);
    return { data, width: WIDTH, height: HEIGHT };
  },
  'raw samples': () => ({ data: SAMPLES, width: WIDTH, height: HEIGHT, channels: 3 }),
};

describe('gives the samples that were drawn:', () => {
  for (const [form, make] of Object.entries(FORMS)) {
    test(form, async () => {
      const { data, width, height, channels } = await decode(await make(await png));
      assert.deepEqual([width, height], [WIDTH, HEIGHT]);
      const rgb = Array.from({ length: WIDTH * HEIGHT }, (_, i) => [...data.subarray(channels * i, channels * i + 3)]);
      assert.deepEqual(rgb.flat(), [...SAMPLES]);
    });
  }
});

test('grey with alpha of sharp is grey', async () => {
  const output = { data: Uint8Array.of(10, 255, 20, 0), info: { width: 2, height: 1, channels: 2 as const } };
  const { data, channels } = await decode(output);
  assert.deepEqual([[...data], channels], [[10, 20], 1]);
});

test('an output of sharp without its samples is told as such', async () => {
  for (const data of [undefined, 'bytes']) {
    const output = { data, info: { width: 2, height: 1, channels: 2 } } as never;
    await assert.rejects(decode(output), { code: 'ERR_CLIPN_INVALID_ARG', message: /data must be a Uint8Array/ });
  }
});

test('a sharp pipeline is left to its owner', async () => {
  const pipeline = drawn();
  await decode(pipeline);
  const { format } = await sharp(await pipeline.webp().toBuffer()).metadata();
  assert.equal(format, 'webp');
});

test('a response over the network is read, and a region is what sharp cuts out', async () => {
  const server = createServer(async (_, answer) => answer.end(await png)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  try {
    const image = await fetch(`http://127.0.0.1:${port}/drawn.png`);
    const region: Region = { x: 1, y: 2, width: 3, height: 2 };
    const expected = await drawn().extract({ left: 1, top: 2, width: 3, height: 2 }).raw().toBuffer();
    assert.deepEqual([...(await decode({ image, region })).data], [...expected]);
  } finally {
    server.close();
  }
});

test('names are those of files and addresses', () => {
  assert.equal(nameOf(pathToFileURL(file)), file);
  for (const href of ['https://example.org/a.png', 'file://elsewhere/a.png', 'file:///a%2Fb.png']) {
    assert.equal(nameOf(new URL(href)), href);
  }
  assert.equal(nameOf(new File([], 'upload.png')), 'upload.png');
  assert.equal(nameOf(new Blob([])), undefined);
});

const refused: [what: string, input: () => Promise<ImageInput> | ImageInput, code: string, message: RegExp][] = [
  ['an http address', () => 'https://example.org/cat.jpg', 'ERR_CLIPN_INVALID_ARG', /begins with https: is no path/],
  ['an http URL', () => new URL('http://example.org/a.png'), 'ERR_CLIPN_INVALID_ARG', /begins with http: is no path/],
  ['a data: address', () => `data:image/png;base64,${'A'.repeat(9000)}`, 'ERR_CLIPN_INVALID_ARG', /^.{0,200}$/],
  ['base64 text', () => 'iVBORw0KGgo'.repeat(1000), 'ERR_CLIPN_IMAGE_NOT_FOUND', /^.{0,200}$/],
  ['a missing file: URL', () => `file://${folder}/none.png`, 'ERR_CLIPN_IMAGE_NOT_FOUND', /none\.png/],
  ['a file: address of another host', () => 'file://elsewhere/a.png', 'ERR_CLIPN_INVALID_ARG', /no file URL/],
  ['a file: URL of another host', () => new URL('file://elsewhere/a.png'), 'ERR_CLIPN_INVALID_ARG', /no file URL/],
  ['a response without an image', () => new Response('gone', { status: 404 }), 'ERR_CLIPN_IO', /status 404/],
  ['an empty response', () => new Response(null), 'ERR_CLIPN_IMAGE_DECODE', /no bytes/],
  ['a stream of text', () => Readable.from(['a', 'b']), 'ERR_CLIPN_INVALID_ARG', /gives a string/],
  ['a failing stream', () => failing(), 'ERR_CLIPN_IO', /the line went dead/],
  ['16-bit samples of sharp', () => wide(), 'ERR_CLIPN_INVALID_ARG', /bytes/],
  [
    'a region outside',
    () => ({ image: file, region: { x: 3, y: 0, width: 3, height: 1 } }),
    'ERR_CLIPN_INVALID_ARG',
    /outside/,
  ],
  [
    'half a pixel',
    () => ({ image: file, region: { x: 0.5, y: 0, width: 1, height: 1 } }),
    'ERR_CLIPN_INVALID_ARG',
    /region\.x/,
  ],
];

function failing(): Readable {
  return new Readable({
    read() {
      this.destroy(new Error('the line went dead'));
    },
  });
}

const wide = async () =>
  (await drawn().raw({ depth: 'ushort' }).toBuffer({ resolveWithObject: true })) as unknown as ImageInput;

describe('is refused with its reason:', () => {
  for (const [what, input, code, message] of refused) {
    test(what, async () => {
      await png;
      await assert.rejects(async () => decode(await input()), { code, message });
    });
  }

  test('a stream that was asked about before', async () => {
    const stream = createReadStream(file);
    await decode(stream);
    await assert.rejects(decode(stream), { code: 'ERR_CLIPN_INVALID_ARG', message: /read before/ });
  });

  test('a response whose body was used', async () => {
    const response = new Response('text');
    await response.text();
    await assert.rejects(async () => decode(response), { code: 'ERR_CLIPN_INVALID_ARG', message: /read before/ });
  });

  test('more bytes than limitBytes, and the rest is not read', async () => {
    const endless = Readable.from(
      (function* () {
        while (true) yield Buffer.alloc(1000);
      })(),
    );
    await assert.rejects(async () => decode(endless, { limitBytes: 5000 }), { code: 'ERR_CLIPN_IMAGE_TOO_LARGE' });
    assert.ok(endless.destroyed);
    await assert.rejects(async () => decode(new Blob(['x'.repeat(6)]), { limitBytes: 5 }), {
      code: 'ERR_CLIPN_IMAGE_TOO_LARGE',
    });
  });

  test('a stream that never ends, when the signal aborts', async () => {
    const silent = new PassThrough();
    const controller = new AbortController();
    const answer = decode(silent, {}, controller.signal);
    controller.abort(new Error('enough'));
    await assert.rejects(answer, { message: 'enough' });
    assert.ok(silent.destroyed);
  });
});
