/** What a request to /v1/check asks: images out of multipart, a body as it is, or JSON with base64. */
import type { FastifyRequest } from 'fastify';
import { ServeError } from '../errors';
import { readBody, tooLarge } from './body';
import { visitOf } from './visit';

export interface Region {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** One image as it came. Never a path or an address: nothing is fetched or opened for a client. */
export interface AskedImage {
  name?: string | undefined;
  bytes: Buffer;
  region?: Region | undefined;
}

export interface ReadLimits {
  maxBody: number;
  maxImages: number;
}

/** The body of a JSON request, as its schema has it. */
export interface JsonImages {
  images: { data: string; name?: string; region?: Region }[];
}

const invalid = (what: string) => new ServeError('ERR_SERVE_REQUEST', what);

/** `x,y,width,height`. @throws ERR_SERVE_REQUEST */
export function regionFrom(text: string | undefined): Region | undefined {
  if (text === undefined) return undefined;
  const numbers = text.split(',').map((part) => (/^\d{1,9}$/.test(part.trim()) ? Number(part) : Number.NaN));
  const [x, y, width, height] = numbers as [number, number, number, number];
  if (numbers.length !== 4 || numbers.some(Number.isNaN) || width < 1 || height < 1) {
    throw invalid(`region must be x,y,width,height in whole pixels, not ${JSON.stringify(text.slice(0, 80))}`);
  }
  return { x, y, width, height };
}

/** As Fastify tells it, which holds no other body against a schema. */
export const isJson = ({ headers }: FastifyRequest) =>
  /^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '');

/** Before a body is read that can be nothing else. @throws ERR_SERVE_MEDIA_TYPE */
export function expectJson(request: FastifyRequest): void {
  if (!isJson(request)) throw unreadType(request.headers['content-type'] ?? '', 'Send application/json.');
}

function unreadType(type: string, hint?: string): ServeError {
  const what = `a body of type ${JSON.stringify(type.slice(0, 80))} is not read`;
  return new ServeError('ERR_SERVE_MEDIA_TYPE', what, hint === undefined ? {} : { hint });
}

/** @throws ERR_SERVE_REQUEST for what is no JSON */
export async function readJson(request: FastifyRequest, maxBody: number): Promise<unknown> {
  return parseJson(await readBody(request, maxBody));
}

export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new ServeError('ERR_SERVE_REQUEST', `the body is no JSON: ${(cause as Error).message.slice(0, 160)}`, {
      cause,
    });
  }
}

/** The images of a request whose JSON, if it has any, is read and checked. @throws ERR_SERVE_REQUEST, ERR_SERVE_TOO_LARGE, … */
export async function askedImages(
  request: FastifyRequest,
  region: Region | undefined,
  limits: ReadLimits,
): Promise<AskedImage[]> {
  const images = await read(request, limits);
  if (images.length === 0) throw invalid('the request holds no image');
  if (images.length > limits.maxImages) throw tooMany(limits.maxImages);
  visitOf(request).lease.hold(images.length);
  return region === undefined ? images : images.map((image) => ({ region, ...defined(image) }));
}

const defined = ({ name, bytes, region }: AskedImage): AskedImage => ({ name, bytes, ...(region && { region }) });

export function tooMany(most: number): ServeError {
  return new ServeError('ERR_SERVE_TOO_LARGE', `a request may hold ${most} images at most`);
}

async function read(request: FastifyRequest, limits: ReadLimits): Promise<AskedImage[]> {
  if (isJson(request)) {
    const { images } = request.body as JsonImages;
    return images.map(({ data, name, region }, i) => ({ name, region, bytes: fromBase64(data, `images[${i}].data`) }));
  }
  if (request.isMultipart()) return await readMultipart(request, limits);
  const type = request.headers['content-type'];
  if (type !== undefined && !/^(image\/|application\/octet-stream\b)/i.test(type)) {
    throw unreadType(type);
  }
  const bytes = await readBody(request, limits.maxBody);
  return bytes.length === 0 ? [] : [{ bytes }];
}

/** Standard or URL alphabet, with or without padding; anything else in it is refused. @throws ERR_SERVE_REQUEST */
export function fromBase64(text: string, name: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  const digits = text.length - (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0);
  if (bytes.length !== Math.floor((digits * 3) / 4) || digits % 4 === 1) throw invalid(`${name} is no base64`);
  return bytes;
}

async function readMultipart(request: FastifyRequest, { maxBody, maxImages }: ReadLimits): Promise<AskedImage[]> {
  const visit = visitOf(request);
  const images: AskedImage[] = [];
  let total = 0;
  const collect = async () => {
    // One more than allowed, so that too many are told as such.
    const limits = { fileSize: maxBody + 1, files: maxImages + 1, fields: 1, parts: maxImages + 2, fieldSize: 1000 };
    for await (const part of request.parts({ limits })) {
      if (part.type === 'field') {
        throw invalid(
          `the field ${JSON.stringify(part.fieldname.slice(0, 80))} is no file; options stand in the query`,
        );
      }
      if (images.length === maxImages) throw tooMany(maxImages);
      const parts: Buffer[] = [];
      for await (const chunk of part.file as AsyncIterable<Buffer>) {
        total += chunk.length;
        if (total > maxBody) throw tooLarge(maxBody);
        visit.lease.receive(chunk.length);
        parts.push(chunk);
      }
      images.push({ name: part.filename, bytes: Buffer.concat(parts) });
    }
  };
  try {
    await visit.within(collect());
  } catch (error) {
    // What the parser says of the form itself.
    if (error instanceof ServeError || visit.signal.aborted) throw error;
    throw new ServeError('ERR_SERVE_REQUEST', `the form cannot be read: ${(error as Error).message}`, { cause: error });
  }
  visit.bodyIsRead();
  return images;
}
