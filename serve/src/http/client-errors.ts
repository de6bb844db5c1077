/** What is no request at all: a head that is malformed, too large, or does not come. Fastify never sees it. */
import type { Socket } from 'node:net';
import type { ConnectionError, FastifyInstance } from 'fastify';
import { ServeError } from '../errors';
import { PROBLEM_TYPE, problemOf } from './problem';

export function clientErrorHandler(this: FastifyInstance, error: ConnectionError, socket: Socket): void {
  this.log.debug({ err: error }, 'a connection was no HTTP');
  // After an answer, given or under way, a second one would be taken for that of another request.
  if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const { status, title, ...rest } = problemOf(errorOf(error));
  const body = JSON.stringify({ status, title, ...rest });
  socket.end(
    [
      `HTTP/1.1 ${status} ${title}`,
      `Content-Type: ${PROBLEM_TYPE}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
}

function errorOf({ code }: ConnectionError): ServeError {
  const hint = 'Send a request as RFC 9112 has it.';
  if ((code as string) === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new ServeError('ERR_SERVE_SLOW_BODY', 'the request did not come in time');
  }
  const what = code === 'HPE_HEADER_OVERFLOW' ? 'the head of the request is too large' : 'this is no HTTP request';
  return new ServeError('ERR_SERVE_REQUEST', what, { hint });
}
