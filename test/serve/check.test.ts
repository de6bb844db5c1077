/** `POST /v1/check`, in every form in which images come, held against the command line on the same photos. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { cliProgram } from '../support/built';
import { photos } from '../support/paths';
import {
  ask,
  form,
  LABELS,
  photo,
  post,
  postJson,
  type ServeProcess,
  SMALL,
  startServer,
} from '../support/serve-process';

const NAMES = ['boats', 'cat', 'coffee', 'rocket'];

/** What `check --json` prints, line by line. */
function lines(files: string[], ...flags: string[]): string[] {
  const args = [cliProgram(), 'check', ...files, '--model', SMALL, '--labels', LABELS.join(','), '--json', ...flags];
  return execFileSync(process.execPath, args, { cwd: photos, encoding: 'utf8' }).trimEnd().split('\n');
}

/** The same image without its name, as a body has none. */
const nameless = (line: string) => {
  const { image: _, ...rest } = JSON.parse(line) as { image: string };
  return JSON.stringify(rest);
};

const results = (body: Record<string, unknown>) => (body['results'] as unknown[]).map((each) => JSON.stringify(each));

describe('the server checks images', () => {
  let server: ServeProcess;
  const files = NAMES.map((name) => `${name}.jpg`);
  let printed: string[];

  before(async () => {
    server = await startServer();
    printed = lines(files);
  });
  after(() => server.end());

  const at = (query = '') => `${server.url}/v1/check${query}`;

  test('many in a form give the lines that the command line prints, to the digit', async () => {
    const { status, body } = await ask(at(), {
      method: 'POST',
      body: form(Object.fromEntries(NAMES.map((name) => [`${name}.jpg`, photo(name)]))),
    });
    assert.equal(status, 200);
    assert.deepEqual(results(body), printed);
  });

  test('one as the body, of any image type or none, gives the line without its name', async () => {
    for (const type of ['image/jpeg', 'application/octet-stream', 'image/anything']) {
      const { body } = await post(at(), photo('boats'), { 'content-type': type });
      assert.deepEqual(results(body), [nameless(printed[0]!)]);
    }
    const typeless = await fetch(at(), { method: 'POST', body: new Uint8Array(photo('boats')) });
    assert.equal(typeless.status, 200);
  });

  test('JSON with base64 gives the lines, and takes a region for each image', async () => {
    const images = NAMES.map((name) => ({ name: `${name}.jpg`, data: photo(name).toString('base64') }));
    assert.deepEqual(results((await postJson(at(), { images })).body), printed);
    const region = { x: 40, y: 60, width: 120, height: 90 };
    const [whole, part] = images;
    const { body } = await postJson(at(), {
      images: [whole, { ...part, data: part!.data.replace(/=+$/, ''), region }],
    });
    const crop = await sharp(photo('cat')).extract({ left: 40, top: 60, width: 120, height: 90 }).png().toBuffer();
    const cropped = await post(at(), crop, { 'content-type': 'image/png' });
    const [ofCrop] = cropped.body['results'] as object[];
    assert.deepEqual(results(body), [printed[0], JSON.stringify({ image: 'cat.jpg', region, ...ofCrop })]);
  });

  test('a region in the query is that of each image of the body', async () => {
    const { body } = await ask(at('?region=40,60,120,90'), {
      method: 'POST',
      body: form({ a: photo('cat'), b: photo('cat') }),
    });
    const [a, b] = body['results'] as { region: unknown; scores: unknown }[];
    assert.deepEqual(a!.region, { x: 40, y: 60, width: 120, height: 90 });
    assert.deepEqual(a!.scores, b!.scores);
  });

  test('top and why are those of the command line', async () => {
    const upload = () => form({ 'boats.jpg': photo('boats'), 'cat.jpg': photo('cat') });
    const { body } = await ask(at('?top=3&why=true'), { method: 'POST', body: upload() });
    assert.deepEqual(results(body), lines(['boats.jpg', 'cat.jpg'], '--top', '3', '--why'));
    const all = await ask(at('?top=100'), { method: 'POST', body: upload() });
    assert.equal((all.body['results'] as { top: unknown[] }[])[0]!.top.length, LABELS.length);
  });

  test('an image that cannot be read is one line among several, and alone the problem of its request', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'clipn-serve-'));
    const cut = path.join(folder, 'cut.jpg');
    writeFileSync(cut, photo('cat').subarray(0, 3000));
    const both = await ask(at(), {
      method: 'POST',
      body: form({ 'cut.jpg': photo('cat').subarray(0, 3000), 'boats.jpg': photo('boats') }),
    });
    rmSync(folder, { recursive: true });
    assert.equal(both.status, 200);
    const [failure, answer] = both.body['results'] as Record<string, unknown>[];
    assert.equal(JSON.stringify(answer), printed[0]);
    assert.equal(failure!['image'], 'cut.jpg');
    assert.equal((failure!['error'] as { code: string }).code, 'ERR_CLIPN_IMAGE_DECODE');
    const alone = await post(at(), photo('cat').subarray(0, 3000));
    assert.deepEqual([alone.status, alone.body['code']], [422, 'ERR_CLIPN_IMAGE_DECODE']);
  });

  test('many requests at once are answered each with its own verdict', async () => {
    const names = Array.from({ length: 40 }, (_, i) => NAMES[i % NAMES.length]!);
    const answers = await Promise.all(names.map((name) => post(at(), photo(name))));
    const expected = names.map((name) => [nameless(printed[NAMES.indexOf(name)]!)]);
    assert.deepEqual(
      answers.map(({ body }) => results(body)),
      expected,
    );
  });

  test('a path or an address in the place of an image is neither opened nor fetched', async () => {
    for (const data of [path.join(photos, 'cat.jpg'), `file://${photos}/cat.jpg`, 'http://127.0.0.1:1/cat.jpg']) {
      const { status, body } = await postJson(at(), { images: [{ data }] });
      assert.ok(status === 400 || status === 422, `${status}`);
      assert.match(String(body['code']), /ERR_SERVE_REQUEST|ERR_CLIPN_IMAGE_DECODE/);
    }
  });
});

describe('the server serves labels of a client', () => {
  let server: ServeProcess;
  before(async () => {
    server = await startServer();
  });
  after(() => server.end());

  const make = async (labels: string[]) => (await postJson(`${server.url}/v1/labels`, { labels })).body;
  const check = async (id: unknown, name: string) => {
    const { body } = await post(`${server.url}/v1/check?labels=${id}&top=100`, photo(name));
    return (body['results'] as { label: string; top: { label: string; p: number }[] }[])[0]!;
  };

  test('its own are told, with what decides', async () => {
    const { body } = await ask(`${server.url}/v1/labels`);
    assert.deepEqual(body['labels'], LABELS);
    assert.deepEqual(body['decides'], { rule: 'atd', score: 'atd', threshold: null, outBelow: null });
  });

  test('other labels give what a server started with them gives, in whatever steps they came', async () => {
    const wanted = [...LABELS.slice(2), 'lawn mower', 'ferry'];
    await make(LABELS.slice(3));
    await make([...LABELS.slice(3), 'lawn mower']);
    const { id, labels } = (await make(wanted)) as { id: string; labels: string[] };
    assert.deepEqual(labels.toSorted(), wanted.toSorted());
    const fresh = await startServer(['--labels', wanted.join(',')], { labels: false });
    const direct = await post(`${fresh.url}/v1/check?top=100`, photo('boats'));
    await fresh.end();
    const [expected] = direct.body['results'] as { top: { label: string; p: number }[] }[];
    const answer = await check(id, 'boats');
    assert.equal(answer.label, 'ferry');
    // Texts are encoded in other batches: docs/reliability.md.
    for (const { label, p } of expected!.top) {
      assert.ok(Math.abs(answer.top.find((each) => each.label === label)!.p - p) < 1e-4, label);
    }
  });

  test('the same names in another order, and the names of the server, are the same list', async () => {
    const own = (await ask(`${server.url}/v1/labels`)).body['id'];
    assert.equal((await make(LABELS.toReversed()))['id'], own);
    assert.equal((await make(['owl', 'fox']))['id'], (await make(['fox', ' owl ', 'fox']))['id']);
  });

  test('of many lists the last few are kept, and one that is gone is said to be', async () => {
    const { id } = await make(['first', 'list']);
    for (let i = 0; i < 8; i++) await make([`label ${i}`, 'another']);
    const gone = await post(`${server.url}/v1/check?labels=${id}`, photo('cat'));
    assert.deepEqual([gone.status, gone.body['code']], [404, 'ERR_SERVE_LABELS_UNKNOWN']);
    assert.equal((await make(['first', 'list']))['id'], id);
    assert.equal((await check(id, 'cat')).top.length, 2);
  });

  test('a client that gives lists without end is asked to wait', async () => {
    let refused: Awaited<ReturnType<typeof ask>> | undefined;
    for (let i = 0; i < 70 && refused === undefined; i++) {
      const answer = await postJson(`${server.url}/v1/labels`, { labels: LABELS });
      if (answer.status !== 200) refused = answer;
    }
    assert.deepEqual([refused?.status, refused?.body['code']], [429, 'ERR_SERVE_RATE_LIMIT']);
    assert.ok(Number(refused!.headers.get('retry-after')) >= 1);
  });
});
