/** Zip files opened with yauzl, so that whatever their directories say is an error of the call. */
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { Entry, Options, RandomAccessReader, ZipFile as ZipFile2 } from 'yauzl';

export type ZipEntry = Entry;

/** What version 3 has beyond the published types, which describe version 2. */
export type ZipFile = ZipFile2 & {
  eachEntry(): AsyncIterable<ZipEntry>;
  readLocalFileHeaderPromise(entry: ZipEntry, options: { minimal: true }): Promise<{ fileDataStart: number }>;
  openReadStreamPromise(entry: ZipEntry): Promise<Readable>;
};

interface Yauzl {
  RandomAccessReader: new () => RandomAccessReader;
  fromRandomAccessReaderPromise(reader: RandomAccessReader, totalSize: number, options: Options): Promise<ZipFile>;
}

/**
 * Opens a zip, which its user closes. yauzl's own way to open a path reads wherever a 64-bit field of the file points to, and
 * beyond 2^53 that throws where nobody can catch it.
 *
 * @throws system errors; yauzl's, for what is no zip
 */
export async function openZip(path: string, options: Options): Promise<ZipFile> {
  const yauzl = require('yauzl') as Yauzl;
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const reads = {
      read(buffer: Buffer, offset: number, length: number, position: number, done: Done) {
        if (!(position + length <= size)) {
          setImmediate(done, new Error(`it refers to byte ${position} of ${size}`));
          return;
        }
        file.read(buffer, offset, length, position).then(({ bytesRead }) => done(null, bytesRead), done);
      },
      // Not the file's own stream, which closes the file when it is destroyed.
      _readStreamForRange: (start: number, end: number) => Readable.from(bytesOf(file, start, end)),
      close(done: Done) {
        file.close().then(() => done(null), done);
      },
    };
    return await yauzl.fromRandomAccessReaderPromise(
      Object.assign(new yauzl.RandomAccessReader(), reads),
      size,
      options,
    );
  } catch (error) {
    await file.close();
    throw error;
  }
}

type Done = (error: Error | null, bytesRead?: number) => void;

const CHUNK = 256 << 10;

async function* bytesOf(file: FileHandle, start: number, end: number): AsyncGenerator<Buffer> {
  for (let at = start; at < end; ) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK, end - at));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) throw new Error('it is cut short');
    yield chunk.subarray(0, bytesRead);
    at += bytesRead;
  }
}
