/** Stores that speak S3's protocol: get, put and list, signed with the keys of the environment. */
import { createHash } from 'node:crypto';
import { AwsClient } from 'aws4fetch';
import { ServeError } from '../errors';
import { Unavailable, withBackOff } from './retry';

/** `s3://bucket/key`; the key may be empty or end in a slash. */
export interface S3Address {
  bucket: string;
  key: string;
}

export const isS3 = (address: string): boolean => address.startsWith('s3://');

/** @throws ERR_SERVE_USAGE unless it names a bucket */
export function parseS3(address: string): S3Address {
  const [, bucket, key = ''] = /^s3:\/\/([^/]+)(?:\/(.*))?$/s.exec(address) ?? [];
  if (bucket === undefined) throw new ServeError('ERR_SERVE_USAGE', `${address} names no bucket: s3://BUCKET/KEY`);
  return { bucket, key };
}

/** What a store says when it is the keys that are wrong, not one object. */
const BAD_KEYS = [
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'ExpiredToken',
  'InvalidToken',
  'RequestTimeTooSkewed',
  'AuthorizationHeaderMalformed',
];
/** A store that takes this long for one object is busy. */
const LONGEST_MS = 60_000;

/** An answer that is no object: 404 is left to the caller. */
export class Denied extends Error {
  override readonly name = 'Denied';
}
export class TooLarge extends Error {
  override readonly name = 'TooLarge';
}

/** Of the process: made at the first address that needs it. */
let client: S3 | undefined;

/** @throws ERR_SERVE_S3_ACCESS when the environment has no keys */
export function s3(): S3 {
  client ??= S3.fromEnvironment();
  return client;
}

export class S3 {
  readonly #aws: AwsClient;
  readonly #region: string;
  /** Without it Amazon's. */
  readonly #endpoint: string | undefined;

  private constructor(aws: AwsClient, region: string, endpoint: string | undefined) {
    this.#aws = aws;
    this.#region = region;
    this.#endpoint = endpoint;
  }

  static fromEnvironment(env: NodeJS.ProcessEnv = process.env): S3 {
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env;
    if (!accessKeyId || !secretAccessKey) {
      throw new ServeError('ERR_SERVE_S3_ACCESS', 'an s3:// address needs keys, and the environment has none');
    }
    const region = env['AWS_REGION'] || env['AWS_DEFAULT_REGION'] || 'us-east-1';
    const sessionToken = env['AWS_SESSION_TOKEN'];
    const endpoint = env['AWS_ENDPOINT_URL_S3'] || env['AWS_ENDPOINT_URL'];
    const aws = new AwsClient({ accessKeyId, secretAccessKey, sessionToken, region, service: 's3', retries: 0 });
    return new S3(aws, region, endpoint?.replace(/\/+$/, ''));
  }

  #url({ bucket, key }: S3Address, query = ''): string {
    const path = key.split('/').map(encodeURIComponent).join('/');
    const root = this.#endpoint ? `${this.#endpoint}/${bucket}` : `https://${bucket}.s3.${this.#region}.amazonaws.com`;
    return `${root}/${path}${query}`;
  }

  /**
   * One request, tried again while the store is unavailable.
   *
   * @returns what `read` makes of the answer; undefined for 404
   * @throws Unavailable, Denied, TooLarge; ERR_SERVE_S3_ACCESS
   */
  async #ask<T>(
    url: string,
    init: RequestInit,
    read: (response: Response) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T | undefined> {
    return await withBackOff(async () => {
      const timeout = AbortSignal.timeout(LONGEST_MS);
      try {
        const response = await this.#aws.fetch(url, {
          ...init,
          signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
        });
        if (response.ok) return await read(response);
        await refuse(response);
        return undefined;
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof ServeError || error instanceof Denied || error instanceof TooLarge) throw error;
        if (error instanceof Unavailable) throw error;
        // What fetch throws is a network's: no connection, one that broke, a body cut short.
        const { message, cause } = error as Error;
        throw new Unavailable(cause instanceof Error ? `${message}: ${cause.message}` : message);
      }
    }, signal);
  }

  /** @param most bytes that are taken */
  async get(address: S3Address, most: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const read = async (response: Response) => {
      if (Number(response.headers.get('content-length')) > most) {
        await response.body?.cancel();
        throw new TooLarge(`more than ${most} bytes`);
      }
      // Whatever the header says, or where there is none.
      const parts: Uint8Array[] = [];
      let size = 0;
      for await (const part of response.body ?? []) {
        size += part.length;
        if (size > most) throw new TooLarge(`more than ${most} bytes`);
        parts.push(part);
      }
      return new Uint8Array(Buffer.concat(parts, size));
    };
    return await this.#ask(this.#url(address), { method: 'GET' }, read, signal);
  }

  /** The store checks the bytes by their SHA-256, and shows all of them or none. */
  async put(address: S3Address, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const headers = { 'x-amz-content-sha256': createHash('sha256').update(bytes).digest('hex') };
    const init = { method: 'PUT', headers, body: bytes as Uint8Array<ArrayBuffer> };
    const done = await this.#ask(
      this.#url(address),
      init,
      async (response) => {
        await response.arrayBuffer();
        return true;
      },
      signal,
    );
    if (done === undefined) throw new Denied('there is no such bucket');
  }

  /** Keys that begin with the address's, in the order of their bytes. */
  async *list({ bucket, key }: S3Address, signal?: AbortSignal): AsyncGenerator<string> {
    for (let token: string | undefined, more = true; more; ) {
      const query = new URLSearchParams({ 'list-type': '2', prefix: key, 'encoding-type': 'url' });
      if (token !== undefined) query.set('continuation-token', token);
      // As signatures want it: %20 for a blank.
      const text = `?${query.toString().replaceAll('+', '%20')}`;
      const page = await this.#ask(this.#url({ bucket, key: '' }, text), {}, (response) => response.text(), signal);
      if (page === undefined) throw new Denied(`there is no bucket ${bucket}`);
      for (const [, found] of page.matchAll(/<Key>([^<]*)<\/Key>/g)) {
        yield decodeURIComponent(found!.replaceAll('+', ' '));
      }
      token = /<NextContinuationToken>([^<]+)</.exec(page)?.[1]?.replaceAll('&amp;', '&');
      more = token !== undefined;
    }
  }
}

/** Returns for 404. @throws Unavailable, Denied; ERR_SERVE_S3_ACCESS */
async function refuse(response: Response): Promise<void> {
  const { status } = response;
  const text = await response.text();
  const code = /<Code>([\w.-]{1,80})<\/Code>/.exec(text)?.[1];
  const said = code === undefined ? `status ${status}` : `status ${status} (${code})`;
  if (status >= 500 || status === 429 || status === 408 || code === 'SlowDown' || code === 'RequestTimeout') {
    throw new Unavailable(said);
  }
  if (status === 404) return;
  if (code !== undefined && BAD_KEYS.includes(code)) {
    throw new ServeError('ERR_SERVE_S3_ACCESS', `the store refuses these keys: ${said}`);
  }
  throw new Denied(said);
}
