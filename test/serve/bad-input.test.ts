/** Everything that is wrong with a request has a code, a status and a problem+json body, and hurts no other request. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import sharp from 'sharp';
import {
  type Answered,
  ask,
  form,
  photo,
  post,
  postJson,
  type ServeProcess,
  startServer,
} from '../support/serve-process';

const FIELDS = ['type', 'title', 'status', 'detail', 'code', 'hint'];

describe('the server refuses what is wrong', () => {
  let server: ServeProcess;
  before(async () => {
    server = await startServer([
      '--max-body',
      '2000000',
      '--limit-pixels',
      '1000000',
      '--deadline',
      '2',
      '--max-images',
      '3',
    ]);
  });
  after(() => server.end());
  afterEach(async () => {
    const { status } = await post(check(), photo('boats'));
    assert.equal(status, 200);
  });

  const check = (query = '') => `${server.url}/v1/check${query}`;
  const refused = ({ status, type, body }: Answered, expected: number, code: string, about: RegExp) => {
    assert.deepEqual([status, body['code']], [expected, code], JSON.stringify(body));
    assert.match(type, /^application\/problem\+json/);
    assert.deepEqual(
      Object.keys(body).filter((name) => name !== 'error'),
      FIELDS,
    );
    assert.equal(body['status'], status);
    assert.equal(body['type'], `urn:clipn-native:${code}`);
    assert.match(String(body['detail']), about);
  };

  test('bodies that hold no image', async () => {
    refused(await post(check(), 'no image'), 422, 'ERR_CLIPN_IMAGE_DECODE', /decoded/);
    refused(await post(check(), photo('cat').subarray(0, 5000)), 422, 'ERR_CLIPN_IMAGE_DECODE', /premature/);
    refused(await post(check(), ''), 400, 'ERR_SERVE_REQUEST', /no image/);
    refused(await ask(check(), { method: 'POST', body: form({}) }), 400, 'ERR_SERVE_REQUEST', /no image/);
    refused(await postJson(check(), { images: [] }), 400, 'ERR_SERVE_REQUEST', /images/);
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>';
    refused(await post(check(), svg), 422, 'ERR_CLIPN_IMAGE_DECODE', /not read|decoded/);
  });

  test('JSON that is none, or not what the schema says', async () => {
    refused(await postJson(check(), '{"images": ['), 400, 'ERR_SERVE_REQUEST', /JSON/);
    refused(await postJson(check(), {}), 400, 'ERR_SERVE_REQUEST', /images/);
    refused(
      await postJson(check(), { images: [{ data: '', url: 'http://x' }] }),
      400,
      'ERR_SERVE_REQUEST',
      /additional/,
    );
    refused(await postJson(check(), { images: [{ data: '*%$' }] }), 400, 'ERR_SERVE_REQUEST', /images\[0\].data/);
    refused(await postJson(check(), '['.repeat(100_000)), 400, 'ERR_SERVE_REQUEST', /JSON/);
    const odd = { data: photo('cat').toString('base64'), region: { x: -1, y: 0, width: 5, height: 5 } };
    refused(await postJson(check(), { images: [odd] }), 400, 'ERR_SERVE_REQUEST', /region/);
  });

  test('queries', async () => {
    for (const query of [
      '?top=0',
      '?top=101',
      '?top=many',
      '?top=1&top=2',
      '?why=perhaps',
      '?labels=mine',
      '?what=1',
    ]) {
      refused(await post(check(query), photo('cat')), 400, 'ERR_SERVE_REQUEST', /querystring/);
    }
    for (const region of ['1,2,3', '1,2,3,x', '0,0,0,5', '-1,0,5,5', '1e3,0,5,5']) {
      refused(await post(check(`?region=${region}`), photo('cat')), 400, 'ERR_SERVE_REQUEST', /region/);
    }
    refused(await post(check('?region=0,0,99999,5'), photo('cat')), 400, 'ERR_CLIPN_INVALID_ARG', /region/);
    refused(await post(check(`?labels=${'0'.repeat(16)}`), photo('cat')), 404, 'ERR_SERVE_LABELS_UNKNOWN', /labels/);
  });

  test('forms that are broken, or hold what is no file', async () => {
    const field = new FormData();
    field.append('top', '3');
    refused(await ask(check(), { method: 'POST', body: field }), 400, 'ERR_SERVE_REQUEST', /"top" is no file/);
    const type = 'multipart/form-data; boundary=x';
    const head = '--x\r\ncontent-disposition: form-data; name="a"; filename="a"\r\n\r\n';
    refused(await post(check(), `${head}half a`, { 'content-type': type }), 400, 'ERR_SERVE_REQUEST', /form/);
    refused(await post(check(), head, { 'content-type': 'multipart/form-data' }), 400, 'ERR_SERVE_REQUEST', /form/);
    const four = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, photo('cat')]));
    refused(await ask(check(), { method: 'POST', body: form(four) }), 413, 'ERR_SERVE_TOO_LARGE', /3 images/);
  });

  test('labels and images in what only resembles JSON, which no schema is held against', async () => {
    const labels = JSON.stringify({ labels: Array.from({ length: 300 }, (_, i) => `label ${i}`) });
    for (const type of ['text/plain', 'application/json-patch+json', 'application/jsonp']) {
      const answer = await post(`${server.url}/v1/labels`, labels, { 'content-type': type });
      refused(answer, 415, 'ERR_SERVE_MEDIA_TYPE', /type/);
      refused(await post(check(), '{}', { 'content-type': type }), 415, 'ERR_SERVE_MEDIA_TYPE', /type/);
    }
    const json = { 'content-type': 'application/json; charset=utf-8' };
    refused(await post(`${server.url}/v1/labels`, labels, json), 400, 'ERR_SERVE_REQUEST', /200 items/);
  });

  test('types and encodings that are not read', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'video/mp4', 'nonsense']) {
      refused(await post(check(), photo('cat'), { 'content-type': type }), 415, 'ERR_SERVE_MEDIA_TYPE', /type/i);
    }
    const encoded = await post(check(), photo('cat'), { 'content-encoding': 'gzip' });
    refused(encoded, 415, 'ERR_SERVE_MEDIA_TYPE', /Content-Encoding/);
  });

  test('bodies and images that are too large, also of unknown length, and in parts of a form', async () => {
    const large = Buffer.alloc(2_000_001);
    refused(await post(check(), large), 413, 'ERR_SERVE_TOO_LARGE', /2000000 bytes/);
    const stream = () => Readable.toWeb(Readable.from([large.subarray(0, 1e6), large, large])) as ReadableStream;
    const chunked = {
      method: 'POST',
      body: stream(),
      duplex: 'half' as const,
      headers: { 'content-type': 'image/png' },
    };
    refused(await ask(check(), chunked), 413, 'ERR_SERVE_TOO_LARGE', /2000000 bytes/);
    refused(
      await ask(check(), { method: 'POST', body: form({ a: large.subarray(5e5), b: large }) }),
      413,
      'ERR_SERVE_TOO_LARGE',
      /./,
    );
    const wide = await sharp({ create: { width: 2000, height: 600, channels: 3, background: '#456' } })
      .png()
      .toBuffer();
    refused(await post(check(), wide), 413, 'ERR_CLIPN_IMAGE_TOO_LARGE', /1000000 pixels/);
  });

  test('a client that still sends and wants his connection closed hears the answer, too', async () => {
    for (let i = 0; i < 5; i++) {
      const headers = { 'content-type': 'image/jpeg', 'content-length': 8e6, connection: 'close' };
      const call = request(check(), { method: 'POST', agent: false, headers });
      const answered = once(call, 'response');
      for (let sent = 0; sent < 8; sent++) call.write(Buffer.alloc(1e6));
      call.end();
      const [response] = await answered;
      assert.equal(response.statusCode, 413);
      response.resume();
    }
  });

  test('paths and methods that there are not', async () => {
    refused(await ask(`${server.url}/v1/nothing`), 404, 'ERR_SERVE_NOT_FOUND', /v1\/nothing/);
    refused(await ask(`${server.url}/page/../main.js`), 404, 'ERR_SERVE_NOT_FOUND', /./);
    refused(await ask(`${server.url}/%ZZ`), 400, 'ERR_SERVE_REQUEST', /%ZZ/);
    refused(await ask(`${server.url}/v2/models/${'m'.repeat(300)}`), 404, 'ERR_SERVE_NOT_FOUND', /./);
    const got = await ask(check());
    refused(got, 405, 'ERR_SERVE_METHOD', /takes POST/);
    assert.equal(got.headers.get('allow'), 'POST');
    refused(await ask(check(), { method: 'DELETE' }), 405, 'ERR_SERVE_METHOD', /takes POST/);
    refused(await ask(`${server.url}/v1/drift`), 404, 'ERR_SERVE_NOT_FOUND', /drift/);
  });

  test('a name that is not its own, as a page of another site could give it', async () => {
    const call = request(`${server.url}/v1/model`, { headers: { host: 'evil.example:80' } }).end();
    const [response] = await once(call, 'response');
    const body = JSON.parse(await text(response)) as Record<string, unknown>;
    refused(
      { status: response.statusCode, type: response.headers['content-type'], headers: new Headers(), body },
      421,
      'ERR_SERVE_HOST',
      /evil/,
    );
  });

  test('labels that cannot be labels', async () => {
    const labels = (value: unknown) => postJson(`${server.url}/v1/labels`, { labels: value });
    refused(await labels([]), 400, 'ERR_SERVE_REQUEST', /labels/);
    refused(await labels(['  ']), 422, 'ERR_CLIPN_LABELS', /./);
    refused(await labels(Array.from({ length: 201 }, (_, i) => `label ${i}`)), 400, 'ERR_SERVE_REQUEST', /200/);
    refused(await labels(['x'.repeat(201)]), 400, 'ERR_SERVE_REQUEST', /200/);
    refused(await labels('cat'), 400, 'ERR_SERVE_REQUEST', /array/);
    refused(await postJson(`${server.url}/v1/labels`, 'x'.repeat(600_000)), 413, 'ERR_SERVE_TOO_LARGE', /bytes/);
  });

  test('a body that comes too slowly', async () => {
    const call = request(check(), {
      method: 'POST',
      headers: { 'content-type': 'image/jpeg', 'content-length': 5000 },
    });
    call.on('error', () => {});
    call.write(photo('cat').subarray(0, 100));
    const [response] = await once(call, 'response');
    const body = JSON.parse(await text(response)) as Record<string, unknown>;
    refused(
      { status: response.statusCode, type: response.headers['content-type'], headers: new Headers(), body },
      408,
      'ERR_SERVE_SLOW_BODY',
      /2 seconds/,
    );
    call.destroy();
  });

  test('what is no HTTP, and a head that is too large', async () => {
    const { port } = new URL(server.url);
    for (const head of ['nonsense\r\n\r\n', `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`]) {
      const socket = connect(Number(port), '127.0.0.1');
      socket.write(head);
      const said = await text(socket);
      assert.match(said, /^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/problem\+json/);
      assert.equal((JSON.parse(said.split('\r\n\r\n')[1]!) as { code: string }).code, 'ERR_SERVE_REQUEST');
    }
  });

  test('a client that hangs up in the middle is forgotten, and its room is free', async () => {
    for (let i = 0; i < 20; i++) {
      const call = request(check(), {
        method: 'POST',
        headers: { 'content-type': 'image/jpeg', 'content-length': 90_000 },
      });
      call.on('error', () => {});
      call.write(photo('cat').subarray(0, 500 * (i % 3)));
      await once(call, 'socket');
      await wait(5);
      call.destroy();
    }
    await wait(300);
    const { body } = await ask(`${server.url}/metrics`);
    assert.match(String(body['text']), /^clipn_admitted_images 0$/m);
    assert.match(String(body['text']), /^clipn_admitted_bytes 0$/m);
  });
});

describe('the server bounds what it takes at once', () => {
  test('more images than it may have get 429 with Retry-After, and the others their answers', async () => {
    const server = await startServer(['--max-waiting', '4']);
    const answers = await Promise.all(Array.from({ length: 40 }, () => post(`${server.url}/v1/check`, photo('boats'))));
    const statuses = new Set(answers.map(({ status }) => status));
    assert.deepEqual([...statuses].toSorted(), [200, 429]);
    for (const { status, headers, body } of answers) {
      if (status === 200) continue;
      assert.equal(body['code'], 'ERR_SERVE_BUSY');
      assert.ok(Number(headers.get('retry-after')) >= 1);
    }
    const many = await ask(`${server.url}/v1/check`, {
      method: 'POST',
      body: form(Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map((name) => [name, photo('cat')]))),
    });
    assert.deepEqual([many.status, many.body['code']], [429, 'ERR_SERVE_BUSY']);
    await server.end();
  });

  test('more bytes than it may hold get 429, announced or not', async () => {
    const server = await startServer(['--max-held', '50000']);
    const large = await post(`${server.url}/v1/check`, Buffer.alloc(50_001));
    assert.deepEqual([large.status, large.body['code']], [429, 'ERR_SERVE_BUSY']);
    const body = Readable.toWeb(Readable.from([Buffer.alloc(30_000), Buffer.alloc(30_000)])) as ReadableStream;
    const chunked = await ask(`${server.url}/v1/check`, {
      method: 'POST',
      body,
      duplex: 'half',
      headers: { 'content-type': 'image/jpeg' },
    });
    assert.deepEqual([chunked.status, chunked.body['code']], [429, 'ERR_SERVE_BUSY']);
    assert.equal((await post(`${server.url}/v1/check`, photo('boats').subarray(0, 40_000))).status, 422);
    await server.end();
  });

  test('an answer that is not ready at the deadline is 504, and what was not begun is never computed', async () => {
    const server = await startServer(['--deadline', '0.1']);
    const answers = await Promise.all(
      Array.from({ length: 120 }, () => post(`${server.url}/v1/check`, photo('boats'))),
    );
    const late = answers.filter(({ status }) => status === 504);
    assert.ok(late.length > 0);
    for (const { body } of late) assert.equal(body['code'], 'ERR_SERVE_DEADLINE');
    assert.deepEqual(
      answers.filter(({ status }) => ![200, 504, 408].includes(status)),
      [],
    );
    const { body } = await ask(`${server.url}/metrics`);
    assert.ok(Number(/^clipn_aborted_images_total (\d+)$/m.exec(String(body['text']))![1]) > 0);
    await server.end();
  });
});
