/** A server on the loopback that sends a small wheel, and ranges of it. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { wheelTree } from './fake-libtorch';
import { zip } from './zip';

/** Large enough to come in several chunks. */
export const wheel = zip({ ...wheelTree(), 'torch/lib/libextra.so': Buffer.alloc(1 << 20, 'libtorch ') });
export const wheelSha256 = createHash('sha256').update(wheel).digest('hex');
export const ETAG = '"one"';

const servers: Server[] = [];

/** Ends all servers of the test file and their connections. */
export function closeServers(): void {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
}

export type Answer = (request: IncomingMessage, response: ServerResponse, count: number) => void;

/** A server on the loopback; `requests` are those it has had. */
export async function serve(answer: Answer): Promise<{ base: string; server: Server; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => answer(request, response, requests.push(request)));
  servers.push(server.listen(0, '127.0.0.1'));
  await new Promise((resolve) => server.once('listening', resolve));
  return { base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, requests };
}

/** Sends the wheel, or the range asked for when If-Range has this ETag. */
export function sendWheel(
  request: IncomingMessage,
  response: ServerResponse,
  { etag = ETAG, body = wheel } = {},
): void {
  const first = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? Number.NaN);
  response.setHeader('etag', etag);
  if (Number.isNaN(first) || request.headers['if-range'] !== etag) {
    response.writeHead(200, { 'content-length': body.length }).end(body);
  } else if (first >= body.length) {
    response.writeHead(416, { 'content-range': `bytes */${body.length}` }).end();
  } else {
    const range = `bytes ${first}-${body.length - 1}/${body.length}`;
    response
      .writeHead(206, { 'content-range': range, 'content-length': body.length - first })
      .end(body.subarray(first));
  }
}

export const wholeWheel: Answer = (request, response) => sendWheel(request, response);
