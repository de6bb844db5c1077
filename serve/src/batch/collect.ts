/** From the results of all shards to one table: a row for each distinct image. */
import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ServeError } from '../errors';
import { FILES, type Manifest, unfinishedShards } from './manifest';
import { factsOf, parquetToRows, type Row, type RowWriter, rowWriter, VERDICT_COLUMNS } from './rows';
import type { Storage } from './storage';

/** Of the distinct images, those whose SHA-256 falls into this one of `of` equal parts, counted from 1. */
export interface Part {
  part: number;
  of: number;
}

export interface Collected {
  /** Images that were listed, rows of the results, and rows of the dead letters. */
  listed: number;
  rows: number;
  dead: number;
  files: { results: string; dead: string };
}

/** Rows of a file's row groups. */
const GROUP_ROWS = 16_384;

/**
 * Writes `results.parquet` and `dead.parquet` into a folder. An image that several shards list has one row, that of the first,
 * with all addresses. Features stay where they are, in the shards' results. All is read twice: of the first reading the
 * hashes of the part's images are kept, some 200 bytes each.
 *
 * @throws ERR_SERVE_BATCH_INCOMPLETE while shards have no result; ERR_SERVE_STORAGE
 */
export async function collect(storage: Storage, manifest: Manifest, out: string, part?: Part): Promise<Collected> {
  const missing = await unfinishedShards(storage, manifest);
  if (missing.length > 0) {
    throw new ServeError(
      'ERR_SERVE_BATCH_INCOMPLETE',
      `${missing.length} of ${manifest.shards} shards have no result yet`,
    );
  }
  await mkdir(out, { recursive: true });
  const suffix = part === undefined ? '' : `-${part.part}-of-${part.of}`;
  const files = { results: join(out, `results${suffix}.parquet`), dead: join(out, `dead${suffix}.parquet`) };
  const mine = (row: Row) => part === undefined || partOf(row.sha256, part.of) === part.part;
  const seen = await firstPlaces(storage, manifest, mine);
  const facts = {
    ...(await shardFacts(storage)),
    shard: undefined,
    features: null,
    listed: manifest.images,
    ...(part && { part }),
  };
  const dead = await fileOfRows(files.dead, facts);
  const results = await fileOfRows(files.results, facts);
  try {
    for (let shard = 0; shard < manifest.shards; shard++) {
      for (const row of (await rowsOf(storage, shard, VERDICT_COLUMNS)).filter(mine)) {
        const place = row.sha256 === null ? undefined : seen.get(keyOf(row));
        if (place !== undefined && place.shard !== shard) continue;
        const whole = place?.also === undefined ? row : withAddresses(row, place.also);
        await (row.error === null ? results : dead).add(whole);
      }
    }
    return {
      listed: manifest.images,
      rows: await results.finish(),
      dead: await dead.finish(),
      files,
    };
  } finally {
    await results.abandon();
    await dead.abandon();
  }
}

/** An address that is listed twice is named once. */
function withAddresses(row: Row, more: readonly string[]): Row {
  const also = new Set([...(row.also ?? []), ...more]);
  also.delete(row.image);
  return { ...row, also: also.size === 0 ? null : [...also] };
}

/** The first 48 bits of the hash, spread evenly. Images that could not be read are in part 1. */
const partOf = (sha256: string | null, of: number) =>
  sha256 === null ? 1 : 1 + Math.floor((Number.parseInt(sha256.slice(0, 12), 16) / 2 ** 48) * of);

const keyOf = ({ sha256, set }: Row) => `${Buffer.from(sha256!, 'hex').toString('latin1')}${set ?? ''}`;

interface Place {
  shard: number;
  /** Addresses that later shards found with the same bytes. */
  also?: string[];
}

async function firstPlaces(
  storage: Storage,
  manifest: Manifest,
  mine: (row: Row) => boolean,
): Promise<Map<string, Place>> {
  const seen = new Map<string, Place>();
  for (let shard = 0; shard < manifest.shards; shard++) {
    for (const row of await rowsOf(storage, shard, ['sha256', 'image', 'also', 'set'])) {
      if (row.sha256 === null || !mine(row)) continue;
      const first = seen.get(keyOf(row));
      if (first === undefined) seen.set(keyOf(row), { shard });
      else first.also = [...(first.also ?? []), row.image, ...(row.also ?? [])];
    }
  }
  return seen;
}

async function bytesOf(storage: Storage, shard: number): Promise<Uint8Array> {
  const bytes = await storage.read(FILES.result(shard));
  if (bytes !== undefined) return bytes;
  throw new ServeError('ERR_SERVE_STORAGE', `${storage.address} has lost its ${FILES.result(shard)}`);
}

async function rowsOf(storage: Storage, shard: number, columns: readonly string[]): Promise<Row[]> {
  return await parquetToRows(await bytesOf(storage, shard), columns);
}

/** Those of the first: what made the others may differ in the processor. */
const shardFacts = async (storage: Storage) => await factsOf(await bytesOf(storage, 0));

/** A Parquet file that has its name when it is whole. */
async function fileOfRows(path: string, facts: Record<string, unknown>) {
  const { fileWriter } = await import('hyparquet-writer');
  const temporary = `${path}.${randomUUID()}.tmp`;
  const writer: RowWriter = await rowWriter(fileWriter(temporary), undefined, facts);
  let waiting: Row[] = [];
  let rows = 0;
  const flush = async () => {
    await writer.add(waiting);
    waiting = [];
  };
  return {
    async add(row: Row) {
      rows++;
      waiting.push(row);
      if (waiting.length === GROUP_ROWS) await flush();
    },
    async finish(): Promise<number> {
      await flush();
      await writer.finish();
      await rename(temporary, path);
      return rows;
    },
    /** After `finish` there is nothing to remove. */
    abandon: () => rm(temporary, { force: true }),
  };
}
