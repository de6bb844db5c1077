import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { decodeImage } from '../../lib/images/decode';
import { goldenFile } from '../support/paths';

// Files and bytes by Pillow: test/reference/make_bmp_golden.py.
interface Golden {
  width: number;
  height: number;
  cases: { name: string; file: string; rgb: number[] }[];
}
const golden: Golden = JSON.parse(readFileSync(goldenFile('bmp.json'), 'utf8'));

describe('a BMP gives the RGB bytes that Pillow gives:', () => {
  for (const { name, file, rgb } of golden.cases) {
    test(name, async () => {
      const { data, ...size } = await decodeImage(Buffer.from(file, 'base64'));
      assert.deepEqual(size, { width: golden.width, height: golden.height, channels: 3 });
      assert.deepEqual([...data], rgb);
    });
  }
});

describe('a damaged BMP is refused with its reason, never decoded beyond its bytes:', () => {
  for (const { name, file } of golden.cases) {
    const whole = Buffer.from(file, 'base64');
    test(`${name}, cut short anywhere`, async () => {
      // The last bytes of run lengths are their end mark: without it all pixels may be there.
      const most = name.includes('run') ? whole.length - 2 : whole.length;
      for (let length = 18; length < most; length++) {
        await assert.rejects(decodeImage(whole.subarray(0, length)), { code: 'ERR_CLIPN_IMAGE_DECODE' });
      }
    });
  }

  test('a size beyond the limit, before memory is taken', async () => {
    const huge = Buffer.from(golden.cases.find(({ name }) => name === '24 bits')!.file, 'base64');
    huge.writeInt32LE(100_000, 18);
    huge.writeInt32LE(100_000, 22);
    await assert.rejects(decodeImage(huge), { code: 'ERR_CLIPN_IMAGE_TOO_LARGE' });
  });
});
