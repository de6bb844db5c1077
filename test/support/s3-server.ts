/** A store that speaks as much of S3 as batches need, in memory: signed requests alone, busy and slow as it is told. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { uniformSource } from '../../lib/base/random';

export const KEYS = {
  AWS_ACCESS_KEY_ID: 'AKIATEST',
  AWS_SECRET_ACCESS_KEY: 'secret/of+the/test',
  AWS_REGION: 'us-east-1',
};

/** Of version 4, over the headers that matter. */
const SIGNATURE =
  /^AWS4-HMAC-SHA256 Credential=AKIATEST\/\d{8}\/us-east-1\/s3\/aws4_request, SignedHeaders=[a-z0-9;-]*host[a-z0-9;-]*, Signature=[0-9a-f]{64}$/;

export interface S3ServerOptions {
  /** Share of requests that are answered with 503. */
  busy?: number;
  /** Of every answer. */
  delayMs?: number;
  /** Objects of a page of a listing. */
  page?: number;
}

export class S3Server implements AsyncDisposable {
  /** `bucket/key` → bytes. */
  readonly objects = new Map<string, Buffer>();
  readonly refused: string[] = [];
  options: S3ServerOptions;
  /** Requests answered with 503. */
  busy = 0;
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  readonly #random = uniformSource(1);

  private constructor(options: S3ServerOptions) {
    this.options = options;
  }

  static async start(options: S3ServerOptions = {}): Promise<S3Server> {
    const server = new S3Server(options);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  /** For processes that use it. */
  get environment(): Record<string, string> {
    const { port } = this.#server.address() as AddressInfo;
    return { ...KEYS, AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${port}` };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    const { busy = 0, delayMs = 0 } = this.options;
    if (delayMs > 0) await sleep(delayMs);
    const refuse = (status: number, code: string) =>
      response.writeHead(status).end(`<?xml version="1.0"?><Error><Code>${code}</Code></Error>`);
    if (this.#random() < busy) {
      this.busy++;
      return void refuse(503, 'SlowDown');
    }
    if (!SIGNATURE.test(request.headers.authorization ?? '')) {
      this.refused.push(`${request.method} ${request.url}`);
      return void refuse(403, 'InvalidAccessKeyId');
    }
    const url = new URL(request.url ?? '', 'http://store');
    const name = decodeURIComponent(url.pathname.slice(1));
    if (request.method === 'PUT') {
      // As S3 does: the signed hash is that of the body.
      if (request.headers['x-amz-content-sha256'] !== createHash('sha256').update(body).digest('hex')) {
        return void refuse(400, 'XAmzContentSHA256Mismatch');
      }
      this.objects.set(name, body);
      return void response.writeHead(200).end();
    }
    if (url.searchParams.get('list-type') === '2') return void response.writeHead(200).end(this.#listing(name, url));
    if (name.includes('forbidden')) return void refuse(403, 'AccessDenied');
    const object = this.objects.get(name);
    if (object === undefined) return void refuse(404, 'NoSuchKey');
    response.writeHead(200, { 'content-length': object.length }).end(object);
  }

  #listing(bucket: string, { searchParams }: URL): string {
    const prefix = bucket + (searchParams.get('prefix') ?? '');
    const { page = 1000 } = this.options;
    const from = Number(searchParams.get('continuation-token') ?? 0);
    const keys = [...this.objects.keys()].filter((name) => name.startsWith(prefix)).sort();
    const shown = keys
      .slice(from, from + page)
      .map((name) => `<Contents><Key>${encodeURIComponent(name.slice(bucket.length))}</Key></Contents>`);
    const more = from + page < keys.length;
    const next = more ? `<NextContinuationToken>${from + page}</NextContinuationToken>` : '';
    return `<ListBucketResult><IsTruncated>${more}</IsTruncated>${next}${shown.join('')}</ListBucketResult>`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}
