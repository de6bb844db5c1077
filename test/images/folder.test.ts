import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import sharp from 'sharp';
import { findImages } from '../../lib/images/find';
import { hasClassFolders, readImageFolder } from '../../lib/images/folder';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-image-folder-'));
after(() => rmSync(folder, { recursive: true }));

/** Writes empty files, and folders for names that end in a slash. */
function tree(name: string, ...files: string[]): string {
  for (const file of files) {
    const target = path.join(folder, name, file);
    mkdirSync(file.endsWith('/') ? target : path.dirname(target), { recursive: true });
    if (!file.endsWith('/')) writeFileSync(target, '');
  }
  return path.join(folder, name);
}

test('lists images sorted by path with the class folder of each, and counts what is no image', async () => {
  const root = tree(
    'classes',
    'b/x.JPEG',
    'b/deep/y.png',
    'a/2.jpg',
    'a/10.jpg',
    'a/notes.txt',
    '.hidden/z.jpg',
    'a/.directory',
  );
  const { images, classes, classOf, otherFiles } = await readImageFolder(root);
  assert.deepEqual(images, ['a/10.jpg', 'a/2.jpg', 'b/deep/y.png', 'b/x.JPEG']);
  assert.deepEqual([classes, [...classOf], otherFiles], [['a', 'b'], [0, 0, 1, 1], 1]);
});

test('follows a class folder that is a link', async () => {
  const target = tree('elsewhere', 'photo.jpg');
  const root = tree('links', 'a/photo.jpg');
  symlinkSync(target, path.join(root, 'b'));
  const read = await readImageFolder(root);
  assert.deepEqual(
    [read.images, read.classes, hasClassFolders(read)],
    [['a/photo.jpg', 'b/photo.jpg'], ['a', 'b'], true],
  );
});

test('finds images whatever their names, and counts only what is no image', async () => {
  const root = tree('names', 'a.JFIF', 'b.jpe', 'c.BMP', 'd.txt');
  const png = await sharp({ create: { width: 1, height: 1, channels: 3, background: '#000' } })
    .png()
    .toBuffer();
  writeFileSync(path.join(root, 'upload'), png);
  writeFileSync(path.join(root, 'photo.jpg_large'), png);
  const { images, otherFiles } = await readImageFolder(root);
  assert.deepEqual([images, otherFiles], [['a.JFIF', 'b.jpe', 'c.BMP', 'photo.jpg_large', 'upload'], 1]);
});

test('a link back into the folder lists nothing twice', async () => {
  const root = tree('loop', 'a/photo.jpg', 'b/');
  symlinkSync(root, path.join(root, 'a', 'up'));
  symlinkSync(path.join(root, 'a'), path.join(root, 'again'));
  symlinkSync(path.join(root, 'a', 'photo.jpg'), path.join(root, 'b', 'copy.jpg'));
  assert.deepEqual((await readImageFolder(root)).images, ['a/photo.jpg']);
});

test('a link to a hidden folder, as git-annex and DVC have them, is an image of its own', async () => {
  const root = tree('annex', '.store/cat.jpg', 'clock.jpg');
  symlinkSync(path.join(root, '.store', 'cat.jpg'), path.join(root, 'cat.jpg'));
  assert.deepEqual((await readImageFolder(root)).images, ['cat.jpg', 'clock.jpg']);
});

test('a folder of images alone has no classes', async () => {
  assert.equal(hasClassFolders(await readImageFolder(tree('flat', '1.png', '2.png'))), false);
});

test('refuses a folder that is missing, a file, empty, or without an image, saying which', async () => {
  const refused = (root: string, message: RegExp) =>
    assert.rejects(readImageFolder(root), { code: 'ERR_CLIPN_DATA_FOLDER', message });
  await refused(path.join(folder, 'absent'), /absent does not exist/);
  await refused(path.join(tree('file', 'a.png'), 'a.png'), /is not a folder/);
  await refused(tree('empty', 'sub/'), /is empty/);
  await refused(tree('texts', 'a.txt', 'b.md'), /holds no image, only 2 other files/);
});

test('a path that the system refuses to look at stays, for who reads it to name; as a folder it is refused', async () => {
  const loop = path.join(tree('loop', 'dir/'), 'loop');
  symlinkSync(loop, loop);
  const long = path.join(folder, `${'x'.repeat(300)}.jpg`);
  assert.deepEqual(await findImages([loop, long]), [loop, long]);
  await assert.rejects(readImageFolder(loop), { code: 'ERR_CLIPN_IO', message: /^cannot list the folder .*: ELOOP/ });
});

test('refuses images beside class folders, and class folders without an image', async () => {
  const refused = async (root: string, message: RegExp) => {
    const read = await readImageFolder(root);
    assert.throws(() => hasClassFolders(read), { code: 'ERR_CLIPN_DATA_FOLDER', message });
  };
  await refused(tree('mixed', 'a/1.png', '2.png', '3.png'), /2 images lie beside them, e\.g\. 2\.png/);
  await refused(tree('gap', 'a/1.png', 'b/', 'c/only.txt'), /without an image: b, c/);
});
