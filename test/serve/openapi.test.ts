/** /openapi.json, the code and the documents say the same: paths, statuses, codes, and what answers look like. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import Ajv2020 from 'ajv/dist/2020';
import sharp from 'sharp';
import { SERVE_HINTS } from '../../serve/src/errors';
import { STATUS_OF } from '../../serve/src/http/problem';
import { repository } from '../support/paths';
import { form, LABELS, photo, type ServeProcess, startServer } from '../support/serve-process';

interface Operation {
  responses: Record<string, { description: string; content?: Record<string, { schema?: object }> }>;
}
interface OpenApi {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object> };
}

const KEY = 'a-key-that-nobody-guesses';
const read = (file: string) => readFileSync(path.join(repository, file), 'utf8');

/** Of every answer: where it was given, and that it is as described. */
interface Seen {
  path: string;
  method: string;
  status: number;
}

describe('the description of the server', () => {
  let server: ServeProcess;
  let hurried: ServeProcess;
  let described: OpenApi;
  const ajv = new Ajv2020({ strict: false });
  const seen: Seen[] = [];

  before(async () => {
    const env = { CLIPN_SERVE_API_KEYS: KEY };
    const limits = ['--max-body', '300000', '--max-images', '3', '--max-waiting', '2', '--deadline', '1'];
    [server, hurried] = await Promise.all([
      startServer(limits, { env }),
      startServer(['--deadline', '0.25', '--no-live-labels', '--rate-limit', '30']),
    ]);
    const response = await fetch(`${server.url}/openapi.json`, { headers: { authorization: `Bearer ${KEY}` } });
    described = (await response.json()) as OpenApi;
    ajv.addSchema({ $id: 'api', ...described });
  });
  after(() => Promise.all([server.end(), hurried.end()]));

  /** Asks, and holds the answer against its description. @param template of the path, as OpenAPI has it */
  async function hold(
    template: string,
    init: RequestInit & { path?: string; at?: ServeProcess; host?: string } = {},
  ): Promise<number> {
    const {
      path: asked = template.replace('{model}', 'clipn').replace('{version}', '1'),
      at = server,
      host,
      ...rest
    } = init;
    const method = (rest.method ?? 'GET').toLowerCase();
    const answer = await call(`${at.url}${asked}`, { headers: { authorization: `Bearer ${KEY}` }, ...rest }, host);
    const { responses } = described.paths[template]![method]!;
    const response = responses[answer.status];
    const where = `${method} ${template} ${answer.status}`;
    assert.ok(response, `${where} is not described`);
    const type = answer.type.split(';')[0]!;
    assert.ok(type in response.content!, `${where}: ${type}`);
    if (/json/.test(type)) {
      const pointer = ['paths', template, method, 'responses', String(answer.status), 'content', type, 'schema'];
      const escaped = pointer.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')));
      const validate = ajv.compile({ $ref: `api#/${escaped.join('/')}` });
      const body = JSON.parse(answer.text) as { code?: string };
      assert.ok(validate(body), `${where}: ${ajv.errorsText(validate.errors)}`);
      if (answer.status >= 400)
        assert.ok(response.description.split(', ').includes(body.code!), `${where}: ${body.code}`);
    }
    seen.push({ path: template, method, status: answer.status });
    return answer.status;
  }

  async function call(url: string, init: RequestInit, host: string | undefined) {
    if (host === undefined) {
      const response = await fetch(url, init);
      return { status: response.status, type: response.headers.get('content-type') ?? '', text: await response.text() };
    }
    const headers = { ...(init.headers as Record<string, string>), host };
    const [response] = await once(request(url, { method: init.method ?? 'GET', headers }).end(), 'response');
    return {
      status: response.statusCode as number,
      type: String(response.headers['content-type']),
      text: await text(response),
    };
  }

  const authorization = `Bearer ${KEY}`;
  const body = (bytes: Buffer | string, type = 'image/jpeg'): RequestInit => ({
    method: 'POST',
    body: typeof bytes === 'string' ? bytes : new Uint8Array(bytes),
    headers: { authorization, 'content-type': type },
  });
  const json = (value: unknown) => body(JSON.stringify(value), 'application/json');
  const images = (n: number): RequestInit => ({
    method: 'POST',
    body: form(Object.fromEntries(Array.from({ length: n }, (_, i) => [`${i}.jpg`, photo('cat')]))),
    headers: { authorization },
  });

  /** A body that is announced and does not come. */
  async function slow(template: string, asked = template): Promise<void> {
    const headers = { authorization, 'content-type': 'application/json', 'content-length': 100 };
    const call = request(`${server.url}${asked}`, { method: 'POST', headers });
    call.on('error', () => {});
    call.flushHeaders();
    const [response] = await once(call, 'response');
    assert.equal(response.statusCode, 408);
    response.resume();
    call.destroy();
    seen.push({ path: template, method: 'post', status: 408 });
  }

  test('answers are as they are described, those that are no success too', async () => {
    const infer = (data: string[], more: object = {}) =>
      json({ inputs: [{ name: 'image', datatype: 'BYTES', shape: [data.length], data }], ...more });
    const cat = photo('cat').toString('base64');
    // Little to send, much to decode.
    const vast = await sharp({ create: { width: 7000, height: 7000, channels: 3, background: '#456' } })
      .png({ compressionLevel: 9 })
      .toBuffer();
    for (const template of Object.keys(described.paths)) {
      const methods = Object.keys(described.paths[template]!);
      for (const method of methods) {
        await hold(template, { method: method.toUpperCase(), host: 'evil.example' });
        if (!template.startsWith('/v2/health')) {
          await hold(template, { method: method.toUpperCase(), headers: { authorization: 'Bearer wrong' } });
        }
      }
      if (template.includes('{model}')) {
        const [method] = methods as [string];
        await hold(template, {
          method: method.toUpperCase(),
          path: template.replace('{model}', 'x').replace('{version}', '1'),
        });
      }
      if (methods.includes('get')) await hold(template);
    }

    await hold('/v1/check', body(photo('boats')));
    await hold('/v1/check', { ...body(photo('boats')), path: '/v1/check?why=true&region=0,0,200,200&top=3' });
    await hold('/v1/check', images(2));
    await hold('/v1/check', json({ images: [{ data: cat, name: 'a' }, { data: 'AAAA' }] }));
    await hold('/v1/check', json({ images: [{ data: '?' }] }));
    await hold('/v1/check', { ...body(photo('cat')), path: '/v1/check?labels=0123456789abcdef' });
    await hold('/v1/check', body(Buffer.alloc(300_001)));
    await hold('/v1/check', body('x', 'text/plain'));
    await hold('/v1/check', body('no image'));
    await hold('/v1/check', images(3));
    await slow('/v1/check');

    await hold('/v1/labels', json({ labels: LABELS }));
    await hold('/v1/labels', json({ labels: [] }));
    await hold('/v1/labels', json({ labels: [' '] }));
    await hold('/v1/labels', body(Buffer.alloc(300_001), 'application/json'));
    await hold('/v1/labels', { ...json({}), headers: { authorization, 'content-encoding': 'br' } });
    await slow('/v1/labels');
    await hold('/v1/labels', { ...json({ labels: LABELS }), at: hurried });

    for (const template of ['/v2/models/{model}/infer', '/v2/models/{model}/versions/{version}/infer']) {
      await hold(template, infer([cat]));
      await hold(template, infer([cat], { id: 'x', parameters: { binary_data_output: true } }));
      await hold(template, infer(['AAAA']));
      await hold(template, infer([]));
      await hold(template, body(Buffer.alloc(300_001)));
      await hold(template, { ...infer([cat]), headers: { authorization, 'content-encoding': 'gzip' } });
      await hold(template, infer([cat, cat, cat]));
      await slow(template, template.replace('{model}', 'clipn').replace('{version}', '1'));
      assert.equal(await hold(template, { ...infer(Array(3).fill(vast.toString('base64'))), at: hurried }), 504);
    }
    assert.equal(await hold('/v1/check', { ...body(vast, 'image/png'), at: hurried }), 504);
    for (const template of Object.keys(described.paths)) {
      if (template.startsWith('/v2/health')) continue;
      for (const method of Object.keys(described.paths[template]!)) {
        // Turned off there.
        if (template === '/v1/labels' && method === 'post') continue;
        let status = 0;
        for (let i = 0; i < 70 && status !== 429; i++) {
          status = await hold(template, { method: method.toUpperCase(), at: hurried });
        }
        assert.equal(status, 429, template);
      }
    }
    const often = Array.from({ length: 70 }, () => hold('/v1/labels', json({ labels: LABELS })));
    assert.ok((await Promise.all(often)).includes(429));
  });

  test('every answer that is described was seen, but for faults of the server itself', () => {
    const known = new Set(seen.map(({ path: template, method, status }) => `${method} ${template} ${status}`));
    const unseen: string[] = [];
    for (const [template, methods] of Object.entries(described.paths)) {
      for (const [method, { responses }] of Object.entries(methods)) {
        for (const status of Object.keys(responses)) {
          const one = `${method} ${template} ${status}`;
          if (status !== '500' && status !== '503' && !known.has(one)) unseen.push(one);
        }
      }
    }
    // 504 of labels needs a model that encodes for seconds; a path that all may ask has no key, and no limit.
    assert.deepEqual(unseen.toSorted(), [
      'get /v1/drift 200',
      'get /v2/health/live 401',
      'get /v2/health/live 429',
      'get /v2/health/ready 401',
      'get /v2/health/ready 429',
      'post /v1/labels 504',
    ]);
  });

  test('its paths are those of docs/serve.md', () => {
    const documented = [...read('docs/serve.md').matchAll(/^\| `(GET|POST) (\/[^`]*)` \|/gm)];
    const paths = Object.entries(described.paths).flatMap(([template, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${template}`),
    );
    assert.deepEqual(documented.map(([, method, template]) => `${method} ${template}`).toSorted(), paths.toSorted());
  });
});

describe('docs/serve-errors.md', () => {
  const page = read('docs/serve-errors.md');
  const headings = [...page.matchAll(/^### (\S+)\n(.*)/gm)].map(([, code, line]) => ({ code: code!, line: line! }));

  test('has a heading for each code of the package, with its status', () => {
    assert.deepEqual(headings.map(({ code }) => code).toSorted(), Object.keys(SERVE_HINTS).toSorted());
    const statuses = STATUS_OF as Readonly<Record<string, number>>;
    for (const { code, line } of headings) {
      const status = /^(\d{3})[.,]/.exec(line)?.[1];
      assert.equal(status === undefined ? undefined : Number(status), statuses[code], code);
    }
  });

  test('has the statuses of all codes in its table', () => {
    const rows = [...page.matchAll(/^\| (ERR_\w+) \| (\d+) \|$/gm)].map(([, code, status]) => [code, Number(status)]);
    assert.deepEqual(Object.fromEntries(rows), STATUS_OF);
  });

  test('says what to do for each', () => {
    assert.equal([...page.matchAll(/^\*\*Fix:\*\* /gm)].length, headings.length);
  });
});
