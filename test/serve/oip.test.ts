/** The Open Inference Protocol v2, request by request as its specification and Triton's binary extension have them. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { ask, photo, post, postJson, type ServeProcess, startServer } from '../support/serve-process';

/** As a client of Triton packs BYTES: each element with its length before it. */
const packed = (...elements: Buffer[]) =>
  Buffer.concat(
    elements.flatMap((element) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(element.length);
      return [length, element];
    }),
  );

function unpacked(bytes: Buffer): string[] {
  const elements: string[] = [];
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32LE(at)) {
    elements.push(bytes.toString('utf8', at + 4, at + 4 + bytes.readUInt32LE(at)));
  }
  return elements;
}

interface Output {
  name: string;
  datatype: string;
  shape: number[];
  data?: unknown[];
  parameters?: { binary_data_size: number };
}

describe('the server speaks the Open Inference Protocol', () => {
  let server: ServeProcess;
  before(async () => {
    server = await startServer(['--name', 'photos']);
  });
  after(() => server.end());

  const model = (rest = '') => `${server.url}/v2/models/photos${rest}`;
  const inputs = (...names: string[]) => [
    {
      name: 'image',
      shape: [names.length],
      datatype: 'BYTES',
      data: names.map((name) => photo(name).toString('base64')),
    },
  ];
  const outputs = (body: Record<string, unknown>) =>
    Object.fromEntries((body['outputs'] as Output[]).map((output) => [output.name, output]));
  const direct = async (name: string) =>
    (
      (await post(`${server.url}/v1/check`, photo(name))).body['results'] as {
        scores: { atd: number };
        top: { p: number; pYes: number }[];
      }[]
    )[0]!;

  /** JSON, and tensors behind it: the request and the answer. */
  async function binary(head: object, behind: Buffer, headers: Record<string, string> = {}) {
    const json = Buffer.from(JSON.stringify(head));
    const response = await fetch(model('/infer'), {
      method: 'POST',
      body: new Uint8Array(Buffer.concat([json, behind])),
      headers: { 'Inference-Header-Content-Length': String(json.length), ...headers },
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const length = Number(response.headers.get('inference-header-content-length') ?? bytes.length);
    const body = JSON.parse(bytes.toString('utf8', 0, length)) as Record<string, unknown>;
    let at = length;
    const take = (size: number) => {
      at += size;
      return bytes.subarray(at - size, at);
    };
    const tensors = Object.fromEntries(
      ((body['outputs'] ?? []) as Output[])
        .filter(({ parameters }) => parameters !== undefined)
        .map(({ name, parameters }) => [name, take(parameters!.binary_data_size)]),
    );
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      body,
      tensors,
      rest: bytes.length - at,
    };
  }

  test('metadata of the server and of the model, health, readiness', async () => {
    const { body } = await ask(`${server.url}/v2`);
    assert.deepEqual(Object.keys(body), ['name', 'version', 'extensions']);
    assert.deepEqual(body['extensions'], ['binary_tensor_data']);
    assert.equal((await ask(`${server.url}/v2/health/live`)).status, 200);
    assert.equal((await ask(`${server.url}/v2/health/ready`)).status, 200);
    for (const path of [model(), model('/versions/1')]) {
      const metadata = (await ask(path)).body;
      assert.equal(metadata['name'], 'photos');
      assert.deepEqual(metadata['versions'], ['1']);
      assert.deepEqual(metadata['inputs'], [
        { name: 'image', datatype: 'BYTES', shape: [-1] },
        { name: 'pixels', datatype: 'UINT8', shape: [-1, -1, -1, 3] },
      ]);
      assert.deepEqual(outputs(metadata)['score'], { name: 'score', datatype: 'FP32', shape: [-1] });
      assert.deepEqual((await ask(`${path}/ready`)).body, { name: 'photos', ready: true });
    }
  });

  test('infer with JSON tensors gives all outputs, or those that were asked for', async () => {
    const { status, type, body } = await postJson(model('/infer'), { id: '42', inputs: inputs('boats', 'cat') });
    assert.equal(status, 200);
    assert.match(type, /^application\/json/);
    assert.deepEqual([body['model_name'], body['model_version'], body['id']], ['photos', '1', '42']);
    const { verdict, label, score, p, p_yes, answer } = outputs(body);
    const [boats, cat] = [await direct('boats'), await direct('cat')];
    assert.deepEqual(verdict, { name: 'verdict', datatype: 'BYTES', shape: [2], data: ['in', 'out'] });
    assert.deepEqual(label!.data, ['ferry', 'laptop']);
    assert.deepEqual(score, { name: 'score', datatype: 'FP32', shape: [2], data: [boats.scores.atd, cat.scores.atd] });
    assert.deepEqual(p!.data, [boats.top[0]!.p, cat.top[0]!.p]);
    assert.deepEqual(p_yes!.data, [boats.top[0]!.pYes, cat.top[0]!.pYes]);
    assert.deepEqual(answer!.data, [JSON.stringify(boats), JSON.stringify(cat)]);

    const few = await postJson(model('/versions/1/infer'), { inputs: inputs('cat'), outputs: [{ name: 'verdict' }] });
    assert.deepEqual(few.body, {
      model_name: 'photos',
      model_version: '1',
      outputs: [{ name: 'verdict', datatype: 'BYTES', shape: [1], data: ['out'] }],
    });
  });

  test('infer with tensors behind the JSON, and answers that way', async () => {
    const behind = packed(photo('boats'), photo('cat'));
    const input = { name: 'image', shape: [2, 1], datatype: 'BYTES', parameters: { binary_data_size: behind.length } };
    const all = await binary({ inputs: [input], parameters: { binary_data_output: true } }, behind);
    assert.deepEqual([all.status, all.type, all.rest], [200, 'application/octet-stream', 0]);
    assert.deepEqual(unpacked(all.tensors['verdict']!), ['in', 'out']);
    assert.equal(all.tensors['score']!.length, 8);
    assert.equal(all.tensors['score']!.readFloatLE(0), (await direct('boats')).scores.atd);

    const wanted = [{ name: 'label', parameters: { binary_data: true } }, { name: 'verdict' }];
    const mixed = await binary({ inputs: [input], outputs: wanted }, behind, {
      'content-type': 'application/octet-stream',
    });
    assert.deepEqual(unpacked(mixed.tensors['label']!), ['ferry', 'laptop']);
    assert.deepEqual(outputs(mixed.body)['verdict']!.data, ['in', 'out']);
  });

  test('infer with pixels gives what the same pixels give in a file', async () => {
    const { data, info } = await sharp(photo('cat')).resize(90, 70).raw().toBuffer({ resolveWithObject: true });
    const png = await sharp(data, { raw: { width: info.width, height: info.height, channels: 3 } })
      .png()
      .toBuffer();
    const expected = (await post(`${server.url}/v1/check`, png)).body['results'] as { scores: { atd: number } }[];
    const shape = [1, info.height, info.width, 3];
    const asked = [{ name: 'score' }];
    const pixels = { name: 'pixels', shape, datatype: 'UINT8' };
    const flat = await postJson(model('/infer'), { inputs: [{ ...pixels, data: [...data] }], outputs: asked });
    assert.deepEqual(outputs(flat.body)['score']!.data, [expected[0]!.scores.atd]);
    const input = { ...pixels, parameters: { binary_data_size: data.length } };
    const behind = await binary({ inputs: [input], outputs: asked }, data);
    assert.deepEqual(outputs(behind.body)['score']!.data, [expected[0]!.scores.atd]);
  });

  test('what is wrong is told as clients of the protocol look for it', async () => {
    const image = inputs('cat')[0]!;
    const refused = (
      status: number,
      code: string,
      about: RegExp,
      answer: { status: number; body: Record<string, unknown> },
    ) => {
      assert.deepEqual([answer.status, answer.body['code']], [status, code], JSON.stringify(answer.body));
      assert.match(String(answer.body['error']), about);
    };
    const infer = (value: unknown) => postJson(model('/infer'), value);
    refused(404, 'ERR_SERVE_NOT_FOUND', /"photos"/, await postJson(`${server.url}/v2/models/other/infer`, {}));
    refused(404, 'ERR_SERVE_NOT_FOUND', /version 1/, await ask(model('/versions/2')));
    refused(400, 'ERR_SERVE_REQUEST', /JSON/, await infer('{'));
    refused(400, 'ERR_SERVE_REQUEST', /inputs/, await infer({}));
    refused(400, 'ERR_SERVE_TENSOR', /"picture"/, await infer({ inputs: [{ ...image, name: 'picture' }] }));
    refused(400, 'ERR_SERVE_TENSOR', /BYTES/, await infer({ inputs: [{ ...image, datatype: 'FP32' }] }));
    refused(400, 'ERR_SERVE_TENSOR', /shape/, await infer({ inputs: [{ ...image, shape: [2] }] }));
    refused(400, 'ERR_SERVE_TENSOR', /one input/, await infer({ inputs: [image, image] }));
    refused(400, 'ERR_SERVE_TENSOR', /"colour"/, await infer({ inputs: [image], outputs: [{ name: 'colour' }] }));
    refused(
      400,
      'ERR_SERVE_TENSOR',
      /binary_data_size/,
      await infer({ inputs: [{ name: 'image', shape: [1], datatype: 'BYTES' }] }),
    );
    const odd = { name: 'pixels', datatype: 'UINT8', shape: [1, 1, 1, 3], data: [0, 1, 256] };
    refused(400, 'ERR_SERVE_TENSOR', /sample 2/, await infer({ inputs: [odd] }));
    refused(400, 'ERR_SERVE_TENSOR', /2 samples/, await infer({ inputs: [{ ...odd, data: [0, 1] }] }));
    refused(
      422,
      'ERR_CLIPN_IMAGE_DECODE',
      /image 1:/,
      await infer({ inputs: [{ ...image, shape: [2], data: [image.data[0]!, 'AAAA'] }] }),
    );
    const half = { name: 'image', shape: [1], datatype: 'BYTES', parameters: { binary_data_size: 8 } };
    refused(
      400,
      'ERR_SERVE_TENSOR',
      /beyond the end/,
      await binary({ inputs: [half] }, Buffer.from([9, 0, 0, 0, 1, 2, 3, 4])),
    );
    refused(400, 'ERR_SERVE_TENSOR', /beyond the body/, await binary({ inputs: [half] }, Buffer.alloc(4)));
    refused(400, 'ERR_SERVE_TENSOR', /belong to no input/, await binary({ inputs: [image] }, Buffer.alloc(4)));
    refused(
      400,
      'ERR_SERVE_TENSOR',
      /Content-Length/,
      await postJson(model('/infer'), { inputs: [image] }, { 'inference-header-content-length': '99999999' }),
    );
  });
});
