/** A writer of zip files (APPNOTE 6.3), so that tests can make any archive, a malicious one too. Entries are stored. */
import { crc32 } from 'node:zlib';

/** What an entry says of itself, where that is not to be what its content tells. */
export interface OddEntry {
  /** The bytes in the archive. */
  data: Buffer;
  method?: number;
  flags?: number;
  /** Unix mode, e.g. 0o120777 for a symbolic link. */
  mode?: number;
  crc?: number;
  /** Uncompressed size. */
  size?: number;
  /** Use the bytes of the entry before this one. */
  overlaps?: boolean;
}

type Content = string | Buffer | OddEntry;

/** `entries` may name a path twice when it is a list. `count` is what the end record says (as zip64). */
export function zip(entries: Record<string, Content> | [string, Content][], count?: number): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  let start = 0;
  const list = Array.isArray(entries) ? entries : Object.entries(entries);
  for (const [path, content] of list) {
    const name = Buffer.from(path);
    const odd = typeof content === 'string' || Buffer.isBuffer(content) ? { data: Buffer.from(content) } : content;
    const {
      data,
      method = 0,
      flags = 0,
      mode = 0,
      crc = crc32(data),
      size = data.length,
      overlaps = false,
    }: OddEntry = odd;
    const common = Buffer.alloc(26); // version, flags, method, time, date, crc, sizes, name length, extra length
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(flags, 2);
    common.writeUInt16LE(method, 4);
    common.writeUInt32LE(crc, 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(size, 18);
    common.writeUInt16LE(name.length, 22);
    if (!overlaps) {
      start = offset;
      const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, name, data]);
      locals.push(local);
      offset += local.length;
    }
    const at = Buffer.alloc(14); // comment length, disk, attributes, offset
    at.writeUInt32LE((mode << 16) >>> 0, 6);
    at.writeUInt32LE(start, 10);
    central.push(Buffer.from('PK\x01\x02\x14\x03', 'latin1'), common, at, name);
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(count === undefined ? list.length : 0xffff, 8);
  end.writeUInt16LE(count === undefined ? list.length : 0xffff, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  const zip64 = count === undefined ? Buffer.alloc(0) : zip64End(count, directory.length, offset);
  return Buffer.concat([...locals, directory, zip64, end]);
}

/** The zip64 end record and its locator, for an archive whose directory lies at `offset`. */
function zip64End(count: number, directoryLength: number, offset: number): Buffer {
  const record = Buffer.alloc(56);
  record.write('PK\x06\x06', 'latin1');
  record.writeBigUInt64LE(44n, 4);
  record.writeBigUInt64LE(BigInt(count), 24);
  record.writeBigUInt64LE(BigInt(count), 32);
  record.writeBigUInt64LE(BigInt(directoryLength), 40);
  record.writeBigUInt64LE(BigInt(offset), 48);
  const locator = Buffer.alloc(20);
  locator.write('PK\x06\x07', 'latin1');
  locator.writeBigUInt64LE(BigInt(offset + directoryLength), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([record, locator]);
}
