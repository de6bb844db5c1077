/** The zips that PyTorch writes: `torch.save` and TorchScript put everything into one folder, tensors stored, not packed. */
import { crc32 } from 'node:zlib';
import { ClipnError, type ClipnErrorCode } from '../base/errors';
import { openZip, type ZipEntry, type ZipFile } from '../base/zip-file';

/** Where the bytes of a stored entry lie, and their checksum; null when PyTorch was told to write none. */
export interface StoredBytes {
  offset: number;
  byteLength: number;
  crc32: number | null;
}

/** The largest of the small entries (pickles, code, JSON): those of published models stay below 4 MB. */
const MAX_READ_BYTES = 64 << 20;
/** A ViT-L/14 with its optimizer has 2000. */
const MAX_ENTRIES = 100_000;
const STORED = 0;
/** Fixed part of a local file header. */
const HEADER_BYTES = 30;

export class TorchZip {
  private constructor(
    readonly path: string,
    private readonly code: ClipnErrorCode,
    private readonly zip: ZipFile,
    private readonly entries: ReadonlyMap<string, ZipEntry>,
    private readonly top: string,
  ) {}

  /**
   * Opens the file, runs `use` and closes it. Whatever is wrong with the zip, in `use` too, is a ClipnError with `code`;
   * an abort is passed on.
   */
  static async use<T>(
    path: string,
    code: ClipnErrorCode,
    signal: AbortSignal | undefined,
    use: (archive: TorchZip) => Promise<T>,
  ): Promise<T> {
    let zip: ZipFile | undefined;
    try {
      zip = await openZip(path, { lazyEntries: true, autoClose: false });
      return await use(await TorchZip.list(path, code, zip, signal));
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ClipnError) throw error;
      const reason = (error as Error).message;
      throw new ClipnError(code, `${path} is a zip that is cut short or damaged: ${reason}`, { cause: error });
    } finally {
      zip?.close();
    }
  }

  private static async list(
    path: string,
    code: ClipnErrorCode,
    zip: ZipFile,
    signal: AbortSignal | undefined,
  ): Promise<TorchZip> {
    const entries = new Map<string, ZipEntry>();
    for await (const entry of zip.eachEntry()) {
      signal?.throwIfAborted();
      if (entries.has(entry.fileName)) throw new ClipnError(code, `${path} holds the entry ${entry.fileName} twice`);
      if (entries.size === MAX_ENTRIES) throw new ClipnError(code, `${path} holds more than ${MAX_ENTRIES} entries`);
      entries.set(entry.fileName, entry);
    }
    refuseOverlaps(path, code, zip, [...entries.values()]);
    const pickle = [...entries.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
    if (!pickle) throw new ClipnError(code, `${path} is a zip, but not one of PyTorch: it has no data.pkl`);
    return new TorchZip(path, code, zip, entries, pickle.slice(0, -'data.pkl'.length));
  }

  /** Names without the common folder. */
  names(): string[] {
    return [...this.entries.keys()].map((name) => name.slice(this.top.length));
  }
  has(name: string): boolean {
    return this.entries.has(this.top + name);
  }
  /** The content of a small entry, its checksum verified. */
  async read(name: string, most = MAX_READ_BYTES): Promise<Buffer> {
    const entry = this.find(name);
    if (entry.uncompressedSize > most) throw this.damaged(`${name} has ${entry.uncompressedSize} bytes`);
    const parts: Buffer[] = [];
    for await (const part of await this.zip.openReadStreamPromise(entry)) parts.push(part as Buffer);
    const content = Buffer.concat(parts);
    const expected = checksum(entry);
    if (expected !== null && crc32(content) !== expected) throw this.damaged(`the checksum of ${name} is wrong`);
    return content;
  }
  /** Where an entry's bytes lie in the file. */
  async locate(name: string): Promise<StoredBytes> {
    const entry = this.find(name);
    if (entry.compressionMethod !== STORED || entry.isEncrypted() || entry.compressedSize !== entry.uncompressedSize) {
      throw this.damaged(`${name} is compressed or encrypted, which PyTorch never does to a tensor`);
    }
    const { fileDataStart } = await this.zip.readLocalFileHeaderPromise(entry, { minimal: true });
    if (fileDataStart + entry.uncompressedSize > this.zip.fileSize)
      throw this.damaged(`${name} reaches beyond the end of the file`);
    return { offset: fileDataStart, byteLength: entry.uncompressedSize, crc32: checksum(entry) };
  }
  damaged(what: string): ClipnError {
    return new ClipnError(this.code, `${this.path}: ${what}`);
  }
  private find(name: string): ZipEntry {
    const entry = this.entries.get(this.top + name);
    if (!entry) throw this.damaged(`the archive lacks ${name}`);
    return entry;
  }
}

/** `torch.serialization.set_crc32_options(False)` writes 0; no content of length > 0 met in practice has that sum. */
function checksum(entry: ZipEntry): number | null {
  return entry.crc32 === 0 ? null : entry.crc32;
}

function refuseOverlaps(path: string, code: ClipnErrorCode, zip: ZipFile, entries: ZipEntry[]): void {
  entries.sort((a, b) => a.relativeOffsetOfLocalHeader - b.relativeOffsetOfLocalHeader);
  for (const [i, entry] of entries.entries()) {
    const end = entry.relativeOffsetOfLocalHeader + HEADER_BYTES + entry.fileNameLength + entry.compressedSize;
    if (end <= (entries[i + 1]?.relativeOffsetOfLocalHeader ?? zip.fileSize)) continue;
    throw new ClipnError(code, `${path}: the entry ${entry.fileName} overlaps the next one or the end of the file`);
  }
}
