/** Bodies of requests, read with a limit and a deadline. What is refused is left unread: `linger` sees to the rest. */
import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ServeError } from '../errors';
import type { Admission } from './admission';
import type { HttpOptions } from './options';
import { openVisit, type Visit, visitOf } from './visit';

/** How long the rest of a body that was refused is read and dropped: a client that still sends would miss the answer. */
const LINGER_MS = 2000;

/** Before a body is read: takes the request in. @throws ERR_SERVE_TOO_LARGE, ERR_SERVE_MEDIA_TYPE, ERR_SERVE_BUSY */
export function expectBody(
  admission: Admission,
  { maxBody, deadline }: Pick<HttpOptions, 'maxBody' | 'deadline'>,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  assertAcceptable(request, maxBody);
  openVisit(admission, deadline, request, reply);
}

/** @throws ERR_SERVE_TOO_LARGE, ERR_SERVE_MEDIA_TYPE of what the headers say alone */
function assertAcceptable({ headers }: FastifyRequest, maxBody: number): void {
  if (Number(headers['content-length'] ?? 0) > maxBody) throw tooLarge(maxBody);
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new ServeError(
      'ERR_SERVE_MEDIA_TYPE',
      `bodies with Content-Encoding ${JSON.stringify(encoding)} are not read`,
    );
  }
}

export function tooLarge(maxBody: number): ServeError {
  return new ServeError('ERR_SERVE_TOO_LARGE', `the body has more than ${maxBody} bytes`);
}

/** @throws ERR_SERVE_TOO_LARGE, ERR_SERVE_BUSY, ERR_SERVE_SLOW_BODY */
export async function readBody(request: FastifyRequest, maxBody: number): Promise<Buffer> {
  const visit = visitOf(request);
  const body = await visit.within(collect(request.raw, visit, maxBody));
  visit.bodyIsRead();
  return body;
}

/** Not by `for await`: leaving that early would destroy the connection, and the answer with it. */
function collect(stream: IncomingMessage, visit: Visit, maxBody: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  return new Promise((resolve, reject) => {
    const take = (part: Buffer) => {
      try {
        size += part.length;
        if (size > maxBody) throw tooLarge(maxBody);
        visit.lease.receive(part.length);
        parts.push(part);
      } catch (error) {
        fail(error as Error);
      }
    };
    const fail = (error: Error) => {
      stop();
      parts.length = 0;
      reject(error);
    };
    const end = () => {
      stop();
      resolve(Buffer.concat(parts, size));
    };
    const aborted = () => fail(visit.signal.reason as Error);
    const stop = () => {
      stream.off('data', take).off('end', end).off('error', fail);
      visit.signal.removeEventListener('abort', aborted);
    };
    visit.signal.addEventListener('abort', aborted);
    stream.on('data', take).on('end', end).on('error', fail);
  });
}

/**
 * Before an answer to a body that is not all there, also of a client that wants his connection closed and of a server that
 * ends: closing while he still sends would throw away what he has not read yet, the answer.
 */
export function keepOpen(request: IncomingMessage, reply: FastifyReply): void {
  if (request.complete) return;
  // With it Node would close all the same; as Fastify closes, it writes its own.
  reply.removeHeader('connection').raw.removeHeader('connection');
  reply.raw.shouldKeepAlive = true;
}

/** After such an answer: drops the rest for a while, then the connection. */
export function linger(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  const { socket } = request;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  const done = () => clearTimeout(timer);
  request.once('end', done).once('close', done);
  request.unpipe().resume();
}
