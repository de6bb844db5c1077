import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import sharp from 'sharp';
import { thumbnail } from '../../lib/images/thumbnail';
import { goldenFile, photos } from '../support/paths';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-thumbnail-'));
after(() => rmSync(folder, { recursive: true }));

async function sizeOf(uri: string | null) {
  const [head, base64] = uri!.split(',');
  assert.equal(head, 'data:image/jpeg;base64');
  const { width, height } = await sharp(Buffer.from(base64!, 'base64')).metadata();
  return [width, height];
}

test('a thumbnail has a longer side of 96 pixels, whatever kind of file it is of', async () => {
  const { width, height } = await sharp(path.join(photos, 'boats.jpg')).metadata();
  const scale = 96 / Math.max(width, height);
  assert.deepEqual(await sizeOf(await thumbnail(path.join(photos, 'boats.jpg'))), [
    Math.round(width * scale),
    Math.round(height * scale),
  ]);
  const [bmp] = JSON.parse(readFileSync(goldenFile('bmp.json'), 'utf8')).cases;
  const file = path.join(folder, 'a.bmp');
  writeFileSync(file, Buffer.from(bmp.file, 'base64'));
  assert.equal(Math.max(...(await sizeOf(await thumbnail(file)))), 96);
});

test('of a file that is none there is no thumbnail', async () => {
  assert.equal(await thumbnail(path.join(folder, 'missing.jpg')), null);
});
