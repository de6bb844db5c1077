import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { gunzipSync, inflateSync } from 'node:zlib';
import { create } from 'tar';
import { ClipnError } from '../../../lib/base/errors';
import type { BrokenSample, DataImage, Dataset } from '../../../lib/teach/data/dataset';
import { openDataset } from '../../../lib/teach/data/open';
import { openParquet } from '../../../lib/teach/data/parquet';
import { goldenFile } from '../../support/paths';

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

/** What is said when it is refused: the message, and what to do. */
async function refusal(data: string, options: Parameters<typeof open>[1] = {}, code = 'ERR_CLIPN_TEACH_DATA') {
  const error: unknown = await open(data, options).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  assert.ok(error instanceof ClipnError, String(error));
  assert.equal(error.code, code);
  return `${error.message} ${error.hint}`;
}

async function refused(data: string, expected: RegExp, options: Parameters<typeof open>[1] = {}) {
  assert.match(await refusal(data, options), expected);
}

const { cases } = JSON.parse(readFileSync(goldenFile('teach-data.json'), 'utf8')) as {
  cases: { name: string; files: Record<string, string> }[];
};
const golden = (name: string) => cases.find((each) => each.name === name)!;
const inflate = (base64: string) => inflateSync(Buffer.from(base64, 'base64'));

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

  test('say of what they leave out which fields it has', async () => {
    const [sample] = await all(
      await open(shard('odd.tar', { '1.jpg': 'A', '1.npy': 'x', '2.jpg': 'B', '2.txt': 'b' })),
    );
    assert.deepEqual(sample, { name: `${at('odd.tar')}: 1 (jpg, npy)`, broken: 'no caption' });
  });

  test('with two fields that could be the image or the caption are refused, naming the flag', async () => {
    const texts = shard('texts.tar', { '1.jpg': 'A', '1.cap': 'a', '1.txt': 'b' });
    await refused(
      texts,
      /1 \(jpg, cap, txt\): several fields could be the caption: cap, txt \(--caption-field names one\)/,
    );
    assert.deepEqual(await told(texts, { captionField: 'cap' }), [['A', 'a']]);
    const json = shard('json.tar', { '1.jpg': 'A', '1.json': '{"title": "a", "caption": "b"}' });
    await refused(json, /could be the caption: json\.title, json\.caption \(--caption-field/);
    const images = shard('images.tar', { '1.jpg': 'A', '1.mask.png': 'B', '1.txt': 'a' });
    await refused(images, /could be the image: jpg, mask\.png \(--image-field names one\)/);
    assert.deepEqual(await told(images, { imageField: 'mask.png' }), [['B', 'a']]);
  });

  test('with such a sample further on leave it out', async () => {
    const mixed = shard('mixed.tar', { '1.jpg': 'A', '1.txt': 'a', '2.jpg': 'B', '2.txt': 'b', '2.cap': 'c' });
    const broken = 'several fields could be the caption: txt, cap (--caption-field names one)';
    assert.deepEqual(await told(mixed), [['A', 'a'], broken]);
  });

  test('without the field that was asked for are refused, saying what they have', async () => {
    const data = shard('named.tar', { '1.jpg': 'A', '1.json': '{"caption": "a", "url": "u"}' });
    const has = 'they have jpg, json, json\\.caption, json\\.url\\.';
    for (const [captionField, words] of [
      ['json.capton', `can be used with --caption-field json\\.capton: ${has} Did you mean json\\.caption\\?`],
      ['json.url.more', has],
      ['txt', has],
    ] as const) {
      await refused(data, new RegExp(words), { captionField });
    }
    await refused(data, /with --image-field png: /, { imageField: 'png' });
  });

  test('with class numbers are refused without names, and where names and fields do not go together', async () => {
    const data = shard('cls.tar', { '1.jpg': 'A', '1.cls': '1', '1.json': '{}' });
    writeFileSync(at('names.txt'), 'cat\ndog\n');
    await refused(data, /1 \(jpg, cls, json\): a class number instead of a caption \(--names FILE/);
    await refused(data, /cls holds class numbers: --names FILE/, { captionField: 'cls' });
    await refused(data, /--names is for class numbers/, { captionField: 'json', names: at('names.txt') });
    await refused(shard('no-cls.tar', files), /with --names .*: they have jpg, txt/, { names: at('names.txt') });
    const both = shard('both-cls.tar', { '1.jpg': 'A', '1.fine.cls': '1', '1.cls': '0' });
    await refused(both, /could be the class: fine\.cls, cls/, { names: at('names.txt') });
    writeFileSync(at('one.txt'), 'dog\n');
    await refused(data, /one\.txt has one class, dog/, { names: at('one.txt') });
    writeFileSync(at('gap.txt'), 'cat\n\ndog\n');
    await refused(data, /line 2 is blank: class 1 has no name/, { names: at('gap.txt') });
  });

  test('count a caption in another encoding, and shards of other files', async () => {
    const latin = shard('latin.tar', { '1.jpg': 'A', '1.txt': 'a dog', '2.jpg': 'B', '2.txt': 'x' });
    const bytes = readFileSync(latin);
    bytes[bytes.indexOf('a dog')] = 0xe4;
    writeFileSync(latin, bytes);
    assert.deepEqual(await told(latin), ['caption that is neither UTF-8 nor UTF-16', ['B', 'x']]);
    assert.deepEqual(await told(shard('unnamed.tar', { README: 'x' })), [
      'shard without files that are named KEY.FIELD',
    ]);
  });

  test('have a fingerprint that changes with the field that is read', async () => {
    const data = shard('print.tar', { '1.jpg': 'A', '1.txt': 'a', '1.cap': 'b' });
    const [one, other] = await Promise.all(['txt', 'cap'].map((captionField) => open(data, { captionField })));
    assert.notEqual(one!.parts[0]!.fingerprint, other!.parts[0]!.fingerprint);
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

  test('with two columns that could be meant are refused, naming the flag', async () => {
    const file = table('two.csv', 'filepath,title,caption\na.jpg,one,two\n');
    await refused(file, /several columns that could hold captions: title, caption \(--caption-column names one\)/);
    assert.deepEqual(await told(file, { captionColumn: 'caption' }), [['a.jpg', 'two']]);
    const same = table('same.csv', 'filepath,title,title\na.jpg,one,two\n');
    await refused(same, /title, title \(their names must differ\)/, { captionColumn: 'title' });
  });

  test('without a header are read by number alone', async () => {
    const file = table('bare.tsv', 'a dog\ta.jpg\n');
    await refused(file, /its columns are a dog, a\.jpg .* Without a header, give the numbers of its columns/);
    await refused(file, /both columns by number/, { imageColumn: '2' });
    await refused(file, /has no column 3: its first row has 2/, { imageColumn: '3', captionColumn: '1' });
    const header = table('header.tsv', 'caption\timage\na dog\ta.jpg\n');
    const numbers = { imageColumn: '2', captionColumn: '1' };
    await refused(header, /first row .* is a header: name its columns, --image-column image/, numbers);
  });

  test('of which the delimiter cannot be told are refused', async () => {
    const numbers = { imageColumn: '2', captionColumn: '1' };
    await refused(table('both.csv', 'a dog, old;a.jpg\n'), /cannot tell .* , and ; in it.*--delimiter/, numbers);
    const inches = table('inches.tsv', 'a 5" disk\t7".jpg\n');
    assert.deepEqual(await told(inches, numbers), [['7".jpg', 'a 5" disk']]);
    await refused(table('none.csv', 'a dog\n'), /cannot tell .* no tab, comma, semicolon or \|/, numbers);
  });

  test('in which a stray quote would swallow rows are refused', async () => {
    const file = table('stray.tsv', 'title\tfilepath\n"a dog\ta.jpg\nb dog"\tb.jpg\nc\tc.jpg\n');
    await refused(file, /cannot read .*: the quote at the start of "a dog\\ta\.jpg\\nb dog" closes rows below/);
  });

  test('of addresses are refused: nothing is fetched', async () => {
    const bare = table('cc3m.tsv', 'a dog\thttp://example.org/1.jpg\nb\thttps://example.org/2.jpg\n');
    const numbers = { imageColumn: '2', captionColumn: '1' };
    await refused(bare, /holds addresses of images, such as http:\/\/example\.org\/1\.jpg.*img2dataset/, numbers);
    await refused(table('list.csv', 'url,caption\nu,c\n'), /no column of image paths.* teach fetches no images/);
    const some = table('some.csv', 'image,caption\na.jpg,one\nftp://x/b.jpg,two\n');
    assert.deepEqual(await told(some), ['image is an address', ['a.jpg', 'one']]);
  });

  test('as JSON lines are refused with the line that is wrong', async () => {
    await refused(
      table('broken.jsonl', '{"image": "a", "text": "b"}\n\n{"image": \n'),
      /broken\.jsonl, line 3: .*JSON/,
    );
    await refused(table('list.jsonl', '["a", "b"]\n'), /list\.jsonl, line 1 is no JSON object/);
    await refused(table('empty.jsonl', '\n'), /has no rows/);
    await refused(table('other.ndjson', '{"image": "a", "tags": "b"}\n'), /no column of captions.* are image, tags/);
    const rows = '{"image": "a", "text": "b"}\n{"image": 1, "text": "c"}\n{"image": "d", "text": null}\n';
    assert.deepEqual(await told(table('odd.jsonl', rows)), ['no caption', 'no image', ['a', 'b']]);
    await refused(table('d.jsonl', rows), /--delimiter is for \.csv and \.tsv/, { delimiter: ';' });
  });

  test('in another encoding are refused', async () => {
    writeFileSync(at('latin.csv'), Buffer.from('filepath,title\na.jpg,H\xfcndin\n', 'latin1'));
    await refused(at('latin.csv'), /cannot read .*latin\.csv: not UTF-8 or UTF-16 text/);
    writeFileSync(at('latin.jsonl'), Buffer.from('{"image": "a", "text": "H\xfcndin"}\n', 'latin1'));
    await refused(at('latin.jsonl'), /cannot read .*latin\.jsonl: not UTF-8 or UTF-16 text/);
  });

  // Found by `npm run fuzz -- --only table.parquet --seed 1 --first 2838 --runs 1`: a page whose counts hyparquet trusts.
  test('as Parquet that would be read without end are given up', async () => {
    writeFileSync(at('endless.parquet'), gunzipSync(readFileSync(goldenFile('endless.parquet.gz'))));
    const opened = await openParquet(at('endless.parquet'), { groupMs: 500 });
    assert.ok('pairs' in opened);
    const read = async () => {
      for await (const _ of opened.pairs);
    };
    await assert.rejects(read(), { code: 'ERR_CLIPN_TEACH_DATA', message: /2 rows took more than 1 s to read/ });
  });

  test('as Parquet are refused when cut short, and count what follows damage among images', async () => {
    const [content] = Object.values(golden('img2dataset: parquet').files).map(inflate);
    writeFileSync(at('cut.parquet'), content!.subarray(0, 900));
    await refused(at('cut.parquet'), /cannot read .*cut\.parquet: /);
    writeFileSync(at('text.parquet'), 'no table');
    await refused(at('text.parquet'), /cannot read .*text\.parquet: /);
    const { parquetMetadataAsync, asyncBufferFromFile } = await import('hyparquet');
    writeFileSync(at('damaged.parquet'), content!);
    const { row_groups } = await parquetMetadataAsync(await asyncBufferFromFile(at('damaged.parquet')));
    const { meta_data } = row_groups[1]!.columns.find((column) => column.meta_data!.path_in_schema[0] === 'jpg')!;
    const page = Number(meta_data!.dictionary_page_offset ?? meta_data!.data_page_offset);
    writeFileSync(at('damaged.parquet'), Buffer.from(content!).fill(0xff, page, page + 8));
    const found = await told(at('damaged.parquet'));
    assert.deepEqual(
      found.map((each) => (typeof each === 'string' ? each : each[1])),
      ['a dog, brown and old', 'the "big" cat', 'Parquet file damaged'],
    );
    const list = Object.entries(golden('img2dataset: webdataset').files).find(([name]) => name.endsWith('.parquet'))!;
    writeFileSync(at('00000.parquet'), inflate(list[1]));
    await refused(
      at('00000.parquet'),
      /no column of image paths.* url, .* give teach the folder that it wrote, not the list/,
    );
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
  // Left out: what is hidden, and a link that leads to no folder.
  image('classes', '.ipynb_checkpoints', 'a.jpg');
  symlinkSync(at('classes', 'n02', 'notes.md'), at('classes', 'LICENSE'));

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

describe('images with texts beside them', () => {
  const files = (below: string, content: Record<string, string>) => {
    for (const [name, text] of Object.entries(content)) {
      mkdirSync(path.dirname(at(below, name)), { recursive: true });
      writeFileSync(at(below, name), text);
    }
    return at(below);
  };

  test('are taken from one folder, whatever the kind of text; what has none is counted', async () => {
    const data = files('flat', { 'a.1.jpg': 'A', 'a.1.txt': 'a dog\n', 'b.PNG': 'B', 'b.CAPTION': 'b', 'c.jpg': 'C' });
    assert.deepEqual(await told(data), [['flat/a.1.jpg', 'a dog'], ['flat/b.PNG', 'b'], 'no caption']);
    const two = files('flat-two', { 'a.jpg': 'A', 'a.txt': 'a', 'a.cap': 'b', 'b.jpg': 'B', 'b.txt': 'b' });
    const broken = 'several fields could be the caption: cap, txt (--caption-field names one)';
    assert.deepEqual(await told(two), [broken, ['flat-two/b.jpg', 'b']]);
  });

  test('in folders that could be classes are refused until one of both is asked for', async () => {
    const data = files('unsure', {
      'cat/1.jpg': 'A',
      'cat/1.txt': '0 0.5 0.5',
      'dog/2.jpg': 'B',
      'dog/2.txt': '1 0 1',
    });
    await refused(
      data,
      /a caption could be the folder's name, or what cat.1\.txt says .*captionField \(--caption-field\) txt .*names \(--names\)/,
    );
    assert.deepEqual(await told(data, { captionField: 'txt' }), [
      ['unsure/cat/1.jpg', '0 0.5 0.5'],
      ['unsure/dog/2.jpg', '1 0 1'],
    ]);
    writeFileSync(at('unsure.json'), '{"cat": "cat", "dog": "dog"}');
    assert.deepEqual(
      (await open(data, { names: at('unsure.json') })).classes!.map(({ name }) => name),
      ['cat', 'dog'],
    );
    await refused(data, /no image with a file of its name for --caption-field cap/, { captionField: 'cap' });
  });

  test('have a fingerprint that changes with a caption', async () => {
    const data = files('texts', { 'a.jpg': 'A', 'a.txt': 'a' });
    const before = (await open(data)).parts[0]!.fingerprint;
    writeFileSync(at('texts', 'a.txt'), 'longer');
    assert.notEqual((await open(data)).parts[0]!.fingerprint, before);
  });
});

describe('what is no training data is refused with what was expected', () => {
  test('nothing there, no match, another file', async () => {
    await refused(at('absent'), /there is nothing at/);
    await refused(at('*.absent'), /no file matches/);
    writeFileSync(at('notes.txt'), 'text');
    await refused(at('notes.txt'), /neither a folder nor a \.tar, \.csv, \.tsv, \.jsonl, \.ndjson or \.parquet file/);
  });

  test('files of several kinds', async () => {
    mkdirSync(at('kinds'));
    for (const name of ['0.tar', '0.parquet']) writeFileSync(at('kinds', name), '');
    await refused(at('kinds', '0.*'), /matches files of several kinds: \.parquet, \.tar; choose one/);
  });

  test('an option that belongs to another kind of data', async () => {
    const tar = shard('of-another.tar', { '1.jpg': 'A', '1.txt': 'a' });
    writeFileSync(at('of-another.csv'), 'filepath,title\na.jpg,a\n');
    for (const [data, options, words] of [
      [tar, { captionColumn: 'txt' }, /--caption-column does not go with .*read as WebDataset What.*--caption-field/],
      [at('of-another.csv'), { captionField: 'title' }, /--caption-field does not .* read as table .*--caption-column/],
      [at('classes'), { delimiter: ';' }, /--delimiter does not go with .* read as class folders/],
    ] as const) {
      assert.match(await refusal(data, options, 'ERR_CLIPN_INVALID_ARG'), words);
    }
  });

  test('images without captions', async () => {
    mkdirSync(at('loose'));
    writeFileSync(at('loose', 'a.jpg'), 'image');
    await refused(at('loose'), /loose holds images without captions: no \.txt beside one, no folders of classes/);
    mkdirSync(at('fetched', '00000'), { recursive: true });
    writeFileSync(at('fetched', '00000', '0.jpg'), 'image');
    writeFileSync(at('fetched', '00000_stats.json'), '{}');
    await refused(at('fetched'), /fetched holds images without captions/);
  });

  test('a folder without images', async () => {
    mkdirSync(at('nothing'));
    await refused(
      at('nothing'),
      /holds no captions: no \.tar or \.parquet files, no \.txt beside an image, no folders/,
    );
  });
});
