import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { create } from 'tar';
import { ClipnError } from '../../../lib/base/errors';
import type { BrokenSample, DataImage, Dataset } from '../../../lib/teach/data/dataset';
import { openDataset } from '../../../lib/teach/data/open';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-teach-data-'));
const at = (...names: string[]) => path.join(folder, ...names);
after(() => rmSync(folder, { recursive: true }));

const open = (data: string, options: Partial<Parameters<typeof openDataset>[1]> = {}) =>
  openDataset(data, { templates: 'plain', ...options });

async function all(dataset: Dataset): Promise<(DataImage | BrokenSample)[]> {
  const found: (DataImage | BrokenSample)[] = [];
  for (const part of dataset.parts) for await (const item of part.read()) found.push(item);
  return found;
}

/** Images' bytes as text, paths relative to the folder. */
async function told(data: string, options: Parameters<typeof open>[1] = {}) {
  return (await all(await open(data, options))).map((item) => {
    if ('broken' in item) return item.broken;
    const image =
      typeof item.image === 'string' ? path.relative(folder, item.image) : Buffer.from(item.image).toString();
    return [image, ...item.captions];
  });
}

async function refused(data: string, expected: RegExp, options: Parameters<typeof open>[1] = {}) {
  await assert.rejects(open(data, options), (error: unknown) => {
    assert.ok(error instanceof ClipnError, String(error));
    assert.equal(error.code, 'ERR_CLIPN_TEACH_DATA');
    assert.match(error.message, expected);
    return true;
  });
}

/** A shard of these files, in this order. */
function shard(name: string, files: Record<string, string>): string {
  const source = at(`${name}.files`);
  mkdirSync(path.dirname(at(name)), { recursive: true });
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(source, file)), { recursive: true });
    writeFileSync(path.join(source, file), content);
  }
  create({ sync: true, file: at(name), cwd: source, portable: true }, Object.keys(files));
  return at(name);
}

describe('WebDataset shards', () => {
  const files = { '000.jpg': 'A', '000.txt': 'a dog ', '000.json': '{}', '001.png': 'B', '001.txt': 'two\ncats' };

  test('give image and caption of each key, in order', async () => {
    assert.deepEqual(await told(shard('plain.tar', files)), [
      ['A', 'a dog'],
      ['B', 'two\ncats'],
    ]);
  });

  test('are read alike as a folder, by a glob and one by one; keys may lie in folders', async () => {
    shard('shards/1.tar', { 'x/1.jpg': 'C', 'x/1.txt': 'third' });
    shard('shards/0.tar', files);
    const expected = [
      ['A', 'a dog'],
      ['B', 'two\ncats'],
      ['C', 'third'],
    ];
    assert.deepEqual(await told(at('shards')), expected);
    assert.deepEqual(await told(at('shards', '*.tar')), expected);
    assert.deepEqual([...(await told(at('shards/0.tar'))), ...(await told(at('shards/1.tar')))], expected);
  });

  test('count what has no caption, an empty one, or no image', async () => {
    const broken = { 'a.jpg': 'A', 'b.jpg': 'B', 'b.txt': ' \n', 'c.txt': 'c', 'd.jpg': 'D', 'd.txt': 'd' };
    assert.deepEqual(await told(shard('broken.tar', broken)), ['no caption', 'no caption', 'no image', ['D', 'd']]);
  });

  test('that are cut short or damaged give what comes before, and one broken sample', async () => {
    const whole = readFileSync(shard('whole.tar', files));
    writeFileSync(at('cut.tar'), whole.subarray(0, 512 * 7 + 100)); // in the header of 001.png
    assert.deepEqual(await told(at('cut.tar')), [['A', 'a dog'], 'shard cut short or damaged']);
    const flipped = Buffer.from(whole);
    flipped[512 * 6 + 3]! ^= 0xff; // in a header's name: its checksum is wrong
    writeFileSync(at('flipped.tar'), flipped);
    assert.deepEqual((await told(at('flipped.tar'))).at(-1), 'shard cut short or damaged');
    writeFileSync(at('text.tar'), 'this is no tar file'.repeat(100));
    assert.deepEqual(await told(at('text.tar')), ['shard cut short or damaged']);
  });

  test('have a fingerprint that changes with the file', async () => {
    const before = (await open(shard('changing.tar', files))).parts[0]!.fingerprint;
    const after = (await open(shard('changing.tar', { ...files, '002.txt': 'more' }))).parts[0]!.fingerprint;
    assert.notEqual(before, after);
  });
});

describe('tables of pairs', () => {
  const table = (name: string, content: string) => {
    writeFileSync(at(name), content);
    return at(name);
  };

  test('may be comma- or tab-separated, quoted, with a byte order mark', async () => {
    const expected = [
      ['a.jpg', 'one, "two"'],
      ['sub/b.jpg', 'line\nbreak'],
    ];
    const quoted = '\ufefffilepath,title\r\na.jpg,"one, ""two"""\r\nsub/b.jpg,"line\nbreak"\r\n';
    assert.deepEqual(await told(table('a.csv', quoted)), expected);
    const tabs = 'title\tid\tfilepath\n"one, ""two"""\t1\ta.jpg\n"line\nbreak"\t2\tsub/b.jpg\n';
    assert.deepEqual(await told(table('a.tsv', tabs)), expected);
    assert.deepEqual(await told(table('open_clip.csv', tabs)), expected);
  });

  test('give an image with several captions once, and count rows without image or caption', async () => {
    const rows = 'image,caption\na.jpg,one\nb.jpg,two\na.jpg,three\n,four\nc.jpg,\n';
    assert.deepEqual(await told(table('several.csv', rows)), [
      'no caption',
      'no image',
      ['a.jpg', 'one', 'three'],
      ['b.jpg', 'two'],
    ]);
  });

  test('have their columns named where the names are unusual', async () => {
    const file = table('odd.csv', 'bild,beschreibung\na.jpg,ein Hund\n');
    const options = { imageColumn: 'Bild', captionColumn: 'beschreibung' };
    assert.deepEqual(await told(file, options), [['a.jpg', 'ein Hund']]);
    await refused(file, /no column of image paths: none of filepath.* its columns are bild, beschreibung/);
    await refused(file, /no beschriebung\. Did you mean beschreibung\?/, { ...options, captionColumn: 'beschriebung' });
  });

  test('are refused without rows, without pairs, and where a quote is not closed', async () => {
    await refused(table('empty.csv', ''), /has no rows/);
    await refused(table('header.csv', 'filepath,title\n'), /has no rows/);
    await refused(table('none.csv', 'filepath,title\na.jpg,\n,b\n'), /no row with both/);
    await refused(table('quote.csv', 'filepath,title\na.jpg,"b\n'), /cannot read .*quote/i);
  });
});

describe('class folders', () => {
  const image = (...names: string[]) => {
    mkdirSync(path.dirname(at(...names)), { recursive: true });
    writeFileSync(at(...names), 'image');
  };
  image('classes', 'grey_cat', 'x', '2.JPEG');
  image('classes', 'grey_cat', '1.png');
  image('classes', 'n01', 'a.jpg');
  image('classes', 'n02', 'a.jpg');
  image('classes', 'n02', 'notes.md');
  mkdirSync(at('classes', 'empty'));

  test('are a class each; every template makes a caption of its name', async () => {
    const dataset = await open(at('classes'), { templates: 'openai' });
    assert.deepEqual(
      dataset.classes!.map(({ name, captions }) => [name, captions.length]),
      [
        ['grey cat', 80],
        ['n01', 80],
        ['n02', 80],
      ],
    );
    assert.ok(dataset.classes![0]!.captions.includes('a bad photo of a grey cat.'));
    const images = (await all(dataset)) as DataImage[];
    assert.deepEqual(
      images.map((each) => [path.relative(at('classes'), each.image as string), each.class]),
      [
        ['grey_cat/1.png', 0],
        ['grey_cat/x/2.JPEG', 0],
        ['n01/a.jpg', 1],
        ['n02/a.jpg', 2],
      ],
    );
    assert.match(dataset.warnings.join(), /folders without images: empty/);
  });

  test('take names and synonyms of a file, which also chooses the folders; equal names are one class', async () => {
    writeFileSync(at('names.json'), JSON.stringify({ n01: ['dog', 'hound'], n02: 'dog', grey_cat: 'cat' }));
    const dataset = await open(at('classes'), { names: at('names.json') });
    assert.deepEqual(dataset.classes, [
      { name: 'cat', captions: ['a photo of a cat.'] },
      { name: 'dog', captions: ['a photo of a dog.', 'a photo of a hound.'] },
    ]);
    assert.deepEqual(
      (await all(dataset)).map((each) => (each as DataImage).class),
      [0, 0, 1, 1],
    );
    assert.match(dataset.warnings.join(), /1 of 4 folders are not in .*names.json/);
  });

  test('are refused when there is one class, a folder is missing, or the names are none', async () => {
    writeFileSync(at('one.json'), JSON.stringify({ n01: 'dog', n02: 'dog' }));
    await refused(at('classes'), /one class, dog/, { names: at('one.json') });
    writeFileSync(at('more.json'), JSON.stringify({ n01: 'dog', n09: 'cat' }));
    await refused(at('classes'), /folders that .* lacks: n09/, { names: at('more.json') });
    for (const [content, words] of [
      ['{', /JSON/],
      ['[]', /holds no names/],
      ['[1]', /not a JSON array of strings/],
      ['{"n01": 1}', /n01 has neither a name/],
      ['{"n01": []}', /n01 has neither a name/],
    ] as const) {
      writeFileSync(at('bad.json'), content);
      await refused(at('classes'), words, { names: at('bad.json') });
    }
  });
});

describe('what is no training data is refused with what was expected', () => {
  test('nothing there, no match, another file', async () => {
    await refused(at('absent'), /there is nothing at/);
    await refused(at('*.absent'), /no file matches/);
    writeFileSync(at('notes.txt'), 'text');
    await refused(at('notes.txt'), /neither a folder nor a \.tar, \.csv, \.tsv, \.jsonl, \.ndjson or \.parquet file/);
  });

  test('images without captions', async () => {
    mkdirSync(at('loose'));
    writeFileSync(at('loose', 'a.jpg'), 'image');
    await refused(
      at('loose'),
      /holds no captions: no \.tar or \.parquet files, no \.txt beside an image, no folders named after classes/,
    );
  });
});
