/** Where a batch lives: a folder that all workers see, or a prefix of a store. Files appear whole or not at all. */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ServeError } from '../errors';
import { isS3, parseS3, type S3Address, s3 } from './s3';

export interface Storage {
  /** What messages call it. */
  readonly address: string;
  /** undefined when it is not there. */
  read(name: string): Promise<Uint8Array | undefined>;
  /** Replaces what has this name; a reader meets the old bytes or the new ones. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** Names of files directly in a folder of it; none when there is no such folder. */
  list(folder: string): AsyncIterable<string>;
}

/** @throws every method: ERR_SERVE_STORAGE, and ERR_SERVE_S3_ACCESS */
export function openStorage(address: string): Storage {
  return isS3(address) ? new S3Storage(address) : new FolderStorage(resolve(address));
}

/** Untouched for this long, a temporary file belongs to no living worker. */
const ABANDONED_MS = 3_600_000;
const TEMPORARY = /^\..+\.tmp$/;

class FolderStorage implements Storage {
  readonly address: string;

  constructor(folder: string) {
    this.address = folder;
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(join(this.address, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw failed(`cannot read ${name} of ${this.address}`, error);
    }
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.address, name);
    const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
    try {
      await mkdir(dirname(path), { recursive: true });
      const file = await open(temporary, 'wx');
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw failed(`cannot write ${name} of ${this.address}`, error);
    }
  }

  async *list(folder: string): AsyncGenerator<string> {
    const path = join(this.address, folder);
    let names: string[];
    try {
      names = await readdir(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw failed(`cannot list ${folder} of ${this.address}`, error);
    }
    for (const name of names) {
      if (!TEMPORARY.test(name)) yield name;
      else await removeAbandoned(join(path, name));
    }
  }
}

/** What a killed worker left half written. */
async function removeAbandoned(path: string): Promise<void> {
  const touched = await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => Number.POSITIVE_INFINITY,
  );
  if (Date.now() - touched > ABANDONED_MS) await rm(path, { force: true }).catch(() => undefined);
}

/** Of what this program wrote; a result with features of 100,000 images is 200 MB. */
const MOST_BYTES = 2 ** 32;

class S3Storage implements Storage {
  readonly address: string;
  readonly #root: S3Address;

  constructor(address: string) {
    this.address = address.replace(/\/+$/, '');
    this.#root = parseS3(this.address);
  }

  #at(name: string): S3Address {
    const { bucket, key } = this.#root;
    return { bucket, key: key === '' ? name : `${key}/${name}` };
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    try {
      return await s3().get(this.#at(name), MOST_BYTES);
    } catch (error) {
      throw failed(`cannot read ${name} of ${this.address}`, error);
    }
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    try {
      await s3().put(this.#at(name), bytes);
    } catch (error) {
      throw failed(`cannot write ${name} of ${this.address}`, error);
    }
  }

  async *list(folder: string): AsyncGenerator<string> {
    const prefix = this.#at(`${folder}/`);
    try {
      for await (const key of s3().list(prefix)) {
        const name = key.slice(prefix.key.length);
        if (!name.includes('/')) yield name;
      }
    } catch (error) {
      throw failed(`cannot list ${folder} of ${this.address}`, error);
    }
  }
}

function failed(what: string, cause: unknown): Error {
  if (cause instanceof ServeError) return cause;
  const why = (cause as Error).message;
  return new ServeError('ERR_SERVE_STORAGE', `${what}: ${why}`, { cause });
}
