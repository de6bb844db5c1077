/** What a repository holds at one commit, as the hub's API tells it. */
import { ClipnError } from '../base/errors';
import { parseJson } from '../base/parse-json';
import { Refusal, request, retrying } from '../download/request';
import type { Hub } from './hub';
import { type HubName, shownName } from './name';
import { AGAIN, refusedBy } from './refusal';

export interface HubFile {
  /** Path in the repository. */
  path: string;
  bytes: number;
  /** Of a large file; null for one that git itself keeps. */
  sha256: string | null;
  /** Git's id of a file that it keeps itself: SHA-1 over `blob BYTES\0` and the file. */
  blob: string | null;
}

export interface Snapshot extends HubName {
  /** The commit that the revision stood for. */
  commit: string;
  /** As the model's card names it, e.g. `mit`; null when it says nothing. */
  license: string | null;
  files: HubFile[];
}

type Json = Record<string, unknown>;

/** The largest repositories list some thousand files. */
const MOST_BYTES = 64 * 2 ** 20;

/** @throws ERR_CLIPN_HUB_NOT_FOUND, ERR_CLIPN_HUB_ACCESS, ERR_CLIPN_FETCH, or `signal.reason` */
export async function listSnapshot(hub: Hub, target: HubName, signal: AbortSignal | undefined): Promise<Snapshot> {
  const { name, revision } = target;
  const url = new URL(`${hub.endpoint}/api/models/${name}/revision/${encodeURIComponent(revision)}?blobs=true`);
  let text: string;
  try {
    text = await retrying(signal, () => textOf(url, hub, signal));
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof Refusal) throw refusedBy(hub, target, error, `the model ${shownName(target)}`);
    if (error instanceof ClipnError) throw error;
    let last = error as Error;
    while (last.cause instanceof Error) last = last.cause;
    const message = `${hub.endpoint} could not be asked for ${shownName(target)}: ${last.message || last.name}`;
    throw new ClipnError('ERR_CLIPN_FETCH', message, { hint: AGAIN, cause: error });
  }
  return parseSnapshot(text, target, hub.endpoint);
}

async function textOf(url: URL, { authorization, env }: Hub, signal: AbortSignal | undefined): Promise<string> {
  await using answer = await request(url, { accept: 'application/json' }, authorization ?? null, env, signal);
  const { response } = answer;
  if (response.status !== 200) throw new Refusal(response);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw new Error(`its answer is longer than ${MOST_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Nothing of the answer is taken on trust: its names become files, its commit a folder, its sizes a limit. */
function parseSnapshot(text: string, target: HubName, endpoint: string): Snapshot {
  const invalid = (what: string) =>
    new ClipnError('ERR_CLIPN_FETCH', `the answer of ${endpoint} for ${shownName(target)} cannot be used: ${what}`, {
      hint: 'Check HF_ENDPOINT: it must be a hub, or a mirror that speaks its API.',
    });
  let json: unknown;
  try {
    json = parseJson(text);
  } catch {
    throw invalid('it is not JSON');
  }
  const root = objectOf(json);
  const { sha, siblings } = root ?? {};
  if (typeof sha !== 'string' || !/^[0-9a-f]{40}$/.test(sha)) throw invalid('it names no commit');
  // What was named by its commit must be that one.
  if (/^[0-9a-f]{40}$/.test(target.revision) && sha !== target.revision) throw invalid(`it is of the commit ${sha}`);
  if (!Array.isArray(siblings)) throw invalid('it lists no files');
  const files = siblings.map((sibling) => {
    const file = objectOf(sibling) ?? {};
    const lfs = objectOf(file['lfs']);
    const path = file['rfilename'];
    if (typeof path !== 'string' || !isInside(path)) throw invalid(`it lists a file ${JSON.stringify(path)}`);
    const bytes = lfs?.['size'] ?? file['size'];
    if (!Number.isSafeInteger(bytes) || (bytes as number) < 0) {
      throw invalid(`it gives ${path} ${JSON.stringify(bytes)} bytes`);
    }
    const [sha256, blob] = lfs === undefined ? [null, file['blobId']] : [lfs['sha256'], null];
    if (!(sha256 === null ? isHex(blob, 40) : isHex(sha256, 64))) throw invalid(`it gives no hash of ${path}`);
    return { path, bytes: bytes as number, sha256, blob } as HubFile;
  });
  return { ...target, commit: sha, license: licenseOf(root!), files };
}

/** Whether a path of the listing stays in its folder, on any system. */
function isInside(path: string): boolean {
  return !path.includes('\0') && path.split(/[/\\]/).every((part) => part !== '' && part !== '.' && part !== '..');
}

function isHex(value: unknown, digits: number): boolean {
  return typeof value === 'string' && value.length === digits && /^[0-9a-f]+$/.test(value);
}

/** Of the card, else of the tags that the hub makes of it. */
function licenseOf(root: Json): string | null {
  const card = objectOf(root['cardData']);
  const tags = Array.isArray(root['tags']) ? root['tags'] : [];
  const tag = tags.find((each): each is string => typeof each === 'string' && each.startsWith('license:'));
  const told = [card?.['license']].flat().filter((each) => typeof each === 'string');
  const license = told.join(', ') || tag?.slice('license:'.length) || '';
  const named = license === 'other' && typeof card?.['license_name'] === 'string' ? card['license_name'] : license;
  // It goes to a terminal.
  return named.replace(/[^\x20-\x7e]/g, '').slice(0, 100) || null;
}

function objectOf(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}
