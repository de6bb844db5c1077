import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { overlay, type PatchMap } from '../../lib';

/** Grey of one brightness. */
const plain = (width: number, height: number, light = 100) => ({
  data: new Uint8Array(width * height * 3).fill(light),
  width,
  height,
  channels: 3 as const,
});

const map: PatchMap = {
  width: 2,
  height: 2,
  values: [4, -2, 0, 1],
  covers: { x: 50, y: 0, width: 100, height: 100 },
};

async function pixels(png: Buffer) {
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  const at = (x: number, y: number) => [...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3)];
  return { at, ...info };
}

describe('an overlay', () => {
  test('is orange where a patch speaks for the label, blue where against it, grey where neither', async () => {
    const { at, width, height, format } = { ...(await pixels(await overlay(plain(200, 100), map))), format: 'png' };
    assert.deepEqual([width, height, format], [200, 100, 'png']);
    const [strongest, against, neither, weak] = [at(75, 25), at(125, 25), at(75, 75), at(125, 75)];
    // A quarter of 100 and three quarters of Okabe and Ito's orange; half as strong, of their blue.
    assert.deepEqual(strongest, [198, 144, 25]);
    assert.deepEqual(against, [63, 105, 129]);
    assert.deepEqual(neither, [100, 100, 100]);
    assert.ok(weak[0]! > 100 && weak[2]! < 100 && weak[0]! < strongest[0]!);
  });

  test('frames what the patches cover and darkens the rest', async () => {
    const { at } = await pixels(await overlay(plain(200, 100), map));
    assert.deepEqual(at(10, 50), [45, 45, 45]);
    assert.deepEqual(at(190, 50), [45, 45, 45]);
    assert.deepEqual([at(50, 50)[0], at(53, 50)[0], at(149, 50)[0]], [0, 255, 0]);
  });

  test('of a large image is drawn smaller, the map with it', async () => {
    const large = { ...map, covers: { x: 1000, y: 0, width: 2000, height: 2000 } };
    const { at, width, height } = await pixels(await overlay(plain(4000, 2000), large));
    assert.deepEqual([width, height], [1024, 512]);
    assert.deepEqual(at(384, 128), [198, 144, 25]);
    assert.deepEqual(at(100, 256), [45, 45, 45]);
  });

  test('of a map without any contribution is the image in grey', async () => {
    const { at } = await pixels(await overlay(plain(200, 100), { ...map, values: [0, 0, 0, 0] }));
    assert.deepEqual(at(75, 25), [100, 100, 100]);
  });

  test('is not made of what is no map, or another image’s', async () => {
    const refused = { code: 'ERR_CLIPN_INVALID_ARG' };
    await assert.rejects(overlay(plain(200, 100), undefined as unknown as PatchMap), refused);
    await assert.rejects(overlay(plain(200, 100), { ...map, values: [1] }), refused);
    await assert.rejects(overlay(plain(200, 100), { ...map, values: [1, 2, 3, Number.NaN] }), refused);
    await assert.rejects(overlay(plain(100, 100), map), { ...refused, message: /outside the image of 100 × 100/ });
  });

  test('is not made of more bytes than limitBytes', async () => {
    await assert.rejects(overlay(new Blob(['x'.repeat(6)]), map, { limitBytes: 5 }), {
      code: 'ERR_CLIPN_IMAGE_TOO_LARGE',
      message: /more than 5 bytes/,
    });
  });
});
