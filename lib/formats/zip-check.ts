/**
 * Verifies every byte of a zip. The content of an entry has its CRC-32; what lies between contents has none, and is held
 * against what the central directory says it must be. So no gap, no comment, no foreign extra field: PyTorch writes none.
 */
import { open } from 'node:fs/promises';
import { crc32, inflateRawSync } from 'node:zlib';

const U16 = 0xffff;
const U32 = 0xffffffff;
const STORED = 0;
const DEFLATED = 8;
/** Flags that change nothing here: checksum and sizes stand behind the data; names are UTF-8. */
const DESCRIPTOR = 1 << 3;
const UTF8 = 1 << 11;

const END_BYTES = 22;
const LOCATOR_BYTES = 20;
const END64_BYTES = 56;
/** The largest directory that is read: the largest CLIP has 2000 entries, of 100 bytes each. */
const MAX_DIRECTORY_BYTES = 64 << 20;
/** The largest entry that is unpacked: programs have some 10 kB. */
const MAX_UNPACKED_BYTES = 64 << 20;
const CHUNK = 2 << 20;

interface Entry {
  name: string;
  nameBytes: Buffer;
  /** "Version needed", flags, method, time and date as both headers have them. */
  common: Buffer;
  flags: number;
  method: number;
  crc: number;
  packed: number;
  size: number;
  offset: number;
}

export interface ZipCheckOptions {
  /** Makes the error of a finding. */
  damaged: (what: string) => Error;
  signal?: AbortSignal | undefined;
}

/** Reads the file once, front to back. @throws what `damaged` makes of the first byte that is not as it must be; system errors */
export async function checkZip(path: string, { damaged, signal }: ZipCheckOptions): Promise<void> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const fill = async (bytes: Buffer, from: number): Promise<Buffer> => {
      for (let done = 0; done < bytes.length; ) {
        const { bytesRead } = await file.read(bytes, done, bytes.length - done, from + done);
        if (bytesRead === 0) throw damaged('it is cut short');
        done += bytesRead;
      }
      return bytes;
    };
    const read = (from: number, count: number) => fill(Buffer.alloc(count), from);
    const end = await readEnd(size, read, damaged);
    const entries = readDirectory(await read(end.offset, end.bytes), end.count, damaged);
    const bytes = new Bytes(end.offset, fill, damaged, signal);
    for (const entry of entries) await checkEntry(entry, bytes, damaged);
    if (bytes.at !== end.offset) throw damaged('there are bytes between its entries and its directory');
  } finally {
    await file.close();
  }
}

type Damaged = ZipCheckOptions['damaged'];
type Read = (from: number, count: number) => Promise<Buffer>;

/** Where the directory lies. */
async function readEnd(size: number, read: Read, damaged: Damaged) {
  if (size < END_BYTES) throw damaged('it is cut short');
  const tailBytes = Math.min(size, END_BYTES + LOCATOR_BYTES + END64_BYTES);
  const tail = await read(size - tailBytes, tailBytes);
  const end = tail.subarray(tailBytes - END_BYTES);
  if (end.readUInt32LE(0) !== 0x06054b50) throw damaged('it does not end as a zip without a comment does');
  const short = { count: end.readUInt16LE(10), bytes: end.readUInt32LE(12), offset: end.readUInt32LE(16) };
  const large = tailBytes === 98 && tail.readUInt32LE(END64_BYTES) === 0x07064b50;
  const found = large ? readEnd64(tail, size, damaged) : short;
  const fits = (value: number, full: number, most: number) => value === full || (large && value === most);
  if (
    end.readUInt32LE(4) !== 0 || // numbers of disks
    end.readUInt16LE(8) !== short.count ||
    end.readUInt16LE(20) !== 0 || // a comment
    !fits(short.count, found.count, U16) ||
    !fits(short.bytes, found.bytes, U32) ||
    !fits(short.offset, found.offset, U32) ||
    found.offset + found.bytes !== size - (large ? tailBytes : END_BYTES)
  ) {
    throw damaged('its end record contradicts the file');
  }
  if (found.bytes > MAX_DIRECTORY_BYTES) throw damaged(`its directory has ${found.bytes} bytes`);
  return found;
}

/** Versions that writers put into the zip64 end record: "made by" without its system, and "needed". */
const END64_VERSIONS = [30, 45];

function readEnd64(tail: Buffer, size: number, damaged: Damaged) {
  const count = Number(tail.readBigUInt64LE(32));
  const valid =
    tail.readUInt32LE(0) === 0x06064b50 &&
    tail.readBigUInt64LE(4) === BigInt(END64_BYTES - 12) &&
    END64_VERSIONS.includes(tail[12]!) &&
    (tail[13] === 0 || tail[13] === 3) &&
    tail.readUInt16LE(14) === 45 &&
    tail.readBigUInt64LE(16) === 0n && // numbers of disks
    Number(tail.readBigUInt64LE(24)) === count &&
    tail.readUInt32LE(60) === 0 &&
    Number(tail.readBigUInt64LE(64)) === size - tail.length &&
    tail.readUInt32LE(72) === 1;
  if (!valid) throw damaged('its zip64 end record is not as it must be');
  return { count, bytes: Number(tail.readBigUInt64LE(40)), offset: Number(tail.readBigUInt64LE(48)) };
}

/** The entries, in the order of the file. */
function readDirectory(directory: Buffer, count: number, damaged: Damaged): Entry[] {
  const entries: Entry[] = [];
  const names = new Set<string>();
  let at = 0;
  while (at < directory.length) {
    if (directory.length - at < 46 || directory.readUInt32LE(at) !== 0x02014b50) {
      throw damaged('its directory is not one record after the other');
    }
    const fixed = directory.subarray(at, at + 46);
    const nameLength = fixed.readUInt16LE(28);
    const extraLength = fixed.readUInt16LE(30);
    const next = at + 46 + nameLength + extraLength;
    if (next > directory.length) throw damaged('a record reaches beyond its directory');
    const nameBytes = directory.subarray(at + 46, at + 46 + nameLength);
    const name = nameBytes.toString();
    const entry = {
      name,
      nameBytes,
      common: fixed.subarray(6, 16),
      flags: fixed.readUInt16LE(8),
      method: fixed.readUInt16LE(10),
      crc: fixed.readUInt32LE(16),
      packed: fixed.readUInt32LE(20),
      size: fixed.readUInt32LE(24),
      offset: fixed.readUInt32LE(42),
    };
    const extra = directory.subarray(at + 46 + nameLength, next);
    if (!takeZip64(entry, extra)) throw damaged(`the directory's extra field of ${name} is not as it must be`);
    // Nobody reads the version that made an entry, nor its attributes; a changed bit differs from the other entries.
    const first = directory.subarray(0, 46);
    const alike = [4, 5, 36, 37, 38, 39, 40, 41].every((byte) => fixed[byte] === first[byte]);
    if (!alike || fixed.readUInt32LE(32) !== 0 || (entry.flags & ~(DESCRIPTOR | UTF8)) !== 0) {
      throw damaged(`the directory's record of ${name} is not as it must be`);
    }
    if (names.has(name)) throw damaged(`it holds the entry ${name} twice`);
    names.add(name);
    entries.push(entry);
    at = next;
  }
  if (entries.length !== count) throw damaged(`its directory has ${entries.length} entries, not ${count}`);
  return entries;
}

/** Replaces the values of a record that stand in its zip64 field; false when the field is not exactly these. */
function takeZip64(entry: Entry, extra: Buffer): boolean {
  const large = (['size', 'packed', 'offset'] as const).filter((field) => entry[field] === U32);
  if (extra.length !== (large.length === 0 ? 0 : 4 + 8 * large.length)) return false;
  if (large.length === 0) return true;
  if (extra.readUInt16LE(0) !== 1 || extra.readUInt16LE(2) !== extra.length - 4) return false;
  for (const [i, field] of large.entries()) entry[field] = Number(extra.readBigUInt64LE(4 + 8 * i));
  return true;
}

async function checkEntry(entry: Entry, bytes: Bytes, damaged: Damaged): Promise<void> {
  const { name, nameBytes, common, crc, packed, size } = entry;
  if (bytes.at !== entry.offset) throw damaged(`the entry ${name} does not begin where the one before it ends`);
  const described = (entry.flags & DESCRIPTOR) !== 0;
  const header = await bytes.take(30);
  const expected = Buffer.alloc(28);
  expected.writeUInt32LE(0x04034b50, 0);
  common.copy(expected, 4);
  if (!described) {
    expected.writeUInt32LE(crc, 14);
    expected.writeUInt32LE(Math.min(packed, U32), 18);
    expected.writeUInt32LE(Math.min(size, U32), 22);
  }
  expected.writeUInt16LE(nameBytes.length, 26);
  const extraLength = header.readUInt16LE(28);
  const rest = await bytes.take(nameBytes.length + extraLength);
  const large64 = size >= U32 || entry.offset >= U32;
  if (
    !header.subarray(0, 28).equals(expected) ||
    !rest.subarray(0, nameBytes.length).equals(nameBytes) ||
    !isExtra(rest.subarray(nameBytes.length), entry)
  ) {
    throw damaged(`the header of ${name} is not what the directory says of it`);
  }
  await checkContent(entry, bytes, damaged);
  if (!described || size === 0) return; // PyTorch writes none behind an empty entry
  const descriptor = Buffer.alloc(large64 ? 24 : 16);
  descriptor.writeUInt32LE(0x08074b50, 0);
  descriptor.writeUInt32LE(crc, 4);
  if (large64) {
    descriptor.writeBigUInt64LE(BigInt(packed), 8);
    descriptor.writeBigUInt64LE(BigInt(size), 16);
  } else {
    descriptor.writeUInt32LE(packed, 8);
    descriptor.writeUInt32LE(size, 12);
  }
  if (!(await bytes.take(descriptor.length)).equals(descriptor)) {
    throw damaged(`what stands behind ${name} is not what the directory says of it`);
  }
}

/** A local extra field holds what zip64 needs, then PyTorch's padding up to a multiple of 64 bytes: `FB`, length, `Z`s. */
function isExtra(extra: Buffer, { size, packed, offset }: Entry): boolean {
  let at = 0;
  const large = [...(size >= U32 ? [size, packed] : []), ...(offset >= U32 ? [offset] : [])];
  // PyTorch does not know the packed size yet, and writes 0; our own writer has no local zip64 field.
  if (extra.length >= 4 && extra.readUInt16LE(0) === 1) {
    at = 4 + 8 * large.length;
    if (large.length === 0 || extra.length < at || extra.readUInt16LE(2) !== at - 4) return false;
    for (const [i, value] of large.entries()) {
      const found = Number(extra.readBigUInt64LE(4 + 8 * i));
      if (found !== value && !(size >= U32 && i === 1 && found === 0)) return false;
    }
  }
  const padding = extra.subarray(at);
  if (padding.length === 0) return true;
  if (padding.length < 4 || padding.toString('latin1', 0, 2) !== 'FB') return false;
  return padding.readUInt16LE(2) === padding.length - 4 && padding.subarray(4).every((byte) => byte === 0x5a);
}

async function checkContent({ name, method, crc, packed, size }: Entry, bytes: Bytes, damaged: Damaged): Promise<void> {
  const wrong = () => damaged(`the checksum of ${name} is wrong`);
  if (method === STORED) {
    if (packed !== size) throw damaged(`the entry ${name} has two sizes`);
    if ((await bytes.checksum(size)) !== crc) throw wrong();
    return;
  }
  if (method !== DEFLATED || size > MAX_UNPACKED_BYTES || packed > MAX_UNPACKED_BYTES) {
    throw damaged(`the entry ${name} is packed by method ${method} into ${packed} bytes of ${size}`);
  }
  const content = await bytes.take(packed);
  const fits = (data: Buffer): boolean => {
    const unpacked = unpack(data, size);
    return unpacked !== undefined && unpacked.length === size && crc32(unpacked) === crc;
  };
  if (!fits(content)) throw wrong();
  // Bits of the last byte that unpack to the same whatever they are: writers leave them 0.
  for (let bit = 0x80; bit > 0; bit >>= 1) {
    const other = Buffer.from(content);
    other[packed - 1]! ^= bit;
    if (!fits(other)) break;
    if ((content[packed - 1]! & bit) !== 0) throw wrong();
  }
}

/** What all of `data` unpacks to; undefined when it does not, to no more than `most` bytes. */
function unpack(data: Buffer, most: number): Buffer | undefined {
  try {
    const options = { maxOutputLength: Math.max(most, 1), info: true };
    const { buffer, engine } = inflateRawSync(data, options) as unknown as {
      buffer: Buffer;
      engine: { bytesWritten: number };
    };
    return engine.bytesWritten === data.length ? buffer : undefined;
  } catch {
    return undefined; // any failure means that the bytes are not what was written
  }
}

/** The file from its beginning to `end`, the next part of which is read while one is looked at. */
class Bytes {
  /** Bytes taken. */
  at = 0;
  #part: Buffer = Buffer.alloc(0);
  #next: Promise<Buffer> | undefined;
  #read = 0;
  /** Two buffers that take turns: fresh memory for each part would cost as much as reading it. */
  readonly #buffers: [Buffer, Buffer];

  constructor(
    private readonly end: number,
    private readonly fill: (bytes: Buffer, from: number) => Promise<Buffer>,
    private readonly damaged: Damaged,
    private readonly signal: AbortSignal | undefined,
  ) {
    const size = Math.min(CHUNK, end);
    this.#buffers = [Buffer.allocUnsafeSlow(size), Buffer.allocUnsafeSlow(size)];
  }

  /** A copy of the next `count` bytes. */
  async take(count: number): Promise<Buffer> {
    const taken = Buffer.alloc(this.#within(count));
    for (let done = 0; done < count; ) done += (await this.#some(count - done)).copy(taken, done);
    return taken;
  }

  /** The CRC-32 of the next `count` bytes. */
  async checksum(count: number): Promise<number> {
    let sum = 0;
    for (let left = this.#within(count); left > 0; ) {
      const part = await this.#some(left);
      sum = crc32(part, sum);
      left -= part.length;
    }
    return sum;
  }

  #within(count: number): number {
    if (count > this.end - this.at) throw this.damaged('an entry reaches into its directory');
    return count;
  }

  /** At least one of the next bytes, at most `most`; valid until it is called again. */
  async #some(most: number): Promise<Buffer> {
    if (this.#part.length === 0) {
      this.signal?.throwIfAborted();
      this.#part = await (this.#next ?? this.#readNext());
      this.#next = this.#read < this.end ? this.#readNext() : undefined;
      this.#next?.catch(() => undefined); // whoever awaits it hears of it
    }
    const some = this.#part.subarray(0, most);
    this.#part = this.#part.subarray(some.length);
    this.at += some.length;
    return some;
  }

  #readNext(): Promise<Buffer> {
    const from = this.#read;
    this.#read = Math.min(from + CHUNK, this.end);
    this.#buffers.reverse();
    return this.fill(this.#buffers[0].subarray(0, this.#read - from), from);
  }
}
