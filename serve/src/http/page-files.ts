/** The page, out of memory: a few files of this package, and nothing that a path of a request could name beside them. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { FastifyInstance } from 'fastify';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Only what comes from this server; photos that were dropped are shown from memory. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "media-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export function pageFiles(app: FastifyInstance): void {
  const folder = path.join(__dirname, '../page');
  for (const name of readdirSync(folder)) {
    const type = TYPES[path.extname(name)];
    if (type === undefined) continue;
    const content = readFileSync(path.join(folder, name));
    const etag = `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;
    app.get(
      name === 'index.html' ? '/' : `/page/${name}`,
      { schema: { hide: true }, config: { rateLimit: false } },
      async (request, reply) => {
        reply.headers({
          etag,
          'cache-control': 'no-cache',
          'content-security-policy': POLICY,
          'permissions-policy': 'camera=(self), microphone=(), geolocation=()',
          'cross-origin-opener-policy': 'same-origin',
          'referrer-policy': 'no-referrer',
        });
        if (request.headers['if-none-match'] === etag) return await reply.code(304).send();
        return await reply.type(type).send(content);
      },
    );
  }
}
