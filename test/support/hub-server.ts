/** A Hugging Face hub on the loopback: its API, and files that it gives out itself or by a redirect to another origin. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';
import { sendWheel, serve } from './wheel-server';

export const COMMIT = 'c0ffee'.padEnd(40, '0');

export interface Repository {
  files: Record<string, Buffer>;
  commit?: string;
  /** Branch of the commit, beside its own name. Default main. */
  branch?: string;
  license?: string;
  /** Files are given to this token alone. */
  gated?: string;
  /** Fields of the API's answer that are another. */
  listing?: Record<string, unknown>;
}

/** Files of a folder as a repository. */
export function repositoryOf(folder: string, more: Omit<Repository, 'files'> = {}): Repository {
  const files = readdirSync(folder).map((name) => [name, readFileSync(path.join(folder, name))] as const);
  return { files: Object.fromEntries(files), ...more };
}

/** What git-lfs keeps outside of git. */
const isLarge = (name: string) => /\.(safetensors|bin|pt|pth)$/.test(name);
export const etagOf = (body: Buffer) => `"${createHash('sha256').update(body).digest('hex')}"`;

/** An entry of `siblings`. */
export function sibling(name: string, body: Buffer): Record<string, unknown> {
  const blobId = createHash('sha1').update(`blob ${body.length}\0`).update(body).digest('hex');
  const lfs = { sha256: createHash('sha256').update(body).digest('hex'), size: body.length, pointerSize: 134 };
  return { rfilename: name, size: body.length, blobId, ...(isLarge(name) && { lfs }) };
}

/** Deals with a request in place of the hub where it returns true. `count` is of requests for the same path, from 1. */
export type Instead = (url: string, response: ServerResponse, request: IncomingMessage, count: number) => boolean;

export interface HubServer {
  endpoint: string;
  /** URLs that the hub, and the other origin, were asked for. */
  asked: string[];
  requests: IncomingMessage[];
  cdn: IncomingMessage[];
  repositories: Record<string, Repository>;
  /** May be set at any time. */
  instead: Instead;
}

/** @param prefix path below which the hub lies, as behind a proxy */
export async function serveHub(repositories: Record<string, Repository>, prefix = ''): Promise<HubServer> {
  const counts = new Map<string, number>();
  const hub: HubServer = { endpoint: '', asked: [], requests: [], cdn: [], repositories, instead: () => false };
  const answered = (request: IncomingMessage, response: ServerResponse): boolean => {
    const url = request.url!;
    hub.asked.push(url);
    counts.set(url, (counts.get(url) ?? 0) + 1);
    return hub.instead(url, response, request, counts.get(url)!);
  };
  const cdn = await serve((request, response) => {
    if (answered(request, response)) return;
    const [, owner, name, file] = request.url!.split('/').map(decodeURIComponent) as [string, string, string, string];
    const body = hub.repositories[`${owner}/${name}`]!.files[file]!;
    sendWheel(request, response, { etag: etagOf(body), body });
  });
  const { base, requests } = await serve((request, response) => {
    if (answered(request, response)) return;
    const url = request.url!.slice(prefix.length);
    const [, apiName, apiRevision] = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/([^/?]+)\?blobs=true$/.exec(url) ?? [];
    const [, fileName, commit, file] = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/([^/]+)$/.exec(url) ?? [];
    const name = apiName ?? fileName;
    const repository = name === undefined || !request.url!.startsWith(prefix) ? undefined : hub.repositories[name];
    // Without a token a name that is not there looks like one that may not be seen.
    if (repository === undefined) {
      const status = request.headers.authorization === undefined ? 401 : 404;
      return response.writeHead(status, { 'x-error-code': 'RepoNotFound' }).end();
    }
    const { commit: own = COMMIT, branch = 'main', files } = repository;
    if (![own, branch].includes(decodeURIComponent(apiRevision ?? commit!))) {
      return response.writeHead(404, { 'x-error-code': 'RevisionNotFound' }).end();
    }
    if (apiRevision !== undefined) {
      const siblings = Object.entries(files).map(([each, body]) => sibling(each, body));
      const cardData = repository.license === undefined ? {} : { license: repository.license };
      const listing = { id: name, sha: own, gated: 'gated' in repository, cardData, siblings, ...repository.listing };
      return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(listing));
    }
    const { authorization } = request.headers;
    if (repository.gated !== undefined && authorization !== `Bearer ${repository.gated}`) {
      const status = authorization === undefined ? 401 : 403;
      return response.writeHead(status, { 'x-error-code': 'GatedRepo' }).end('Access to this model is restricted.');
    }
    const body = files[decodeURIComponent(file!)];
    if (body === undefined) return response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();
    if (isLarge(file!)) return response.writeHead(302, { location: `${cdn.base}/${name}/${file}` }).end();
    sendWheel(request, response, { etag: etagOf(body), body });
  });
  hub.endpoint = `${base}${prefix}`;
  hub.requests = requests;
  hub.cdn = cdn.requests;
  return hub;
}
