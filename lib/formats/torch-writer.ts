/** Writes what `torch.save` writes: a zip of stored entries, 64-byte aligned, with a protocol 2 pickle. */
import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { sync } from '../base/write-file';

const U32 = 0xffffffff;
const ALIGNMENT = 64;

/** Writes entries one after the other; `data` may be produced in parts. No entry may reach 4 GiB, the file may. */
export class StoredZip {
  private offset = 0;
  private readonly directory: Buffer[] = [];

  private constructor(private readonly file: FileHandle) {}

  static async create(path: string): Promise<StoredZip> {
    return new StoredZip(await open(path, 'w'));
  }

  async add(name: string, byteLength: number, parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
    if (byteLength >= U32) throw new RangeError(`${name} has ${byteLength} bytes`);
    const start = this.offset;
    const nameBytes = Buffer.from(name);
    const padding = (ALIGNMENT - ((start + 30 + nameBytes.length + 4) % ALIGNMENT)) % ALIGNMENT;
    const dataStart = start + 30 + nameBytes.length + 4 + padding;
    let crc = 0;
    let at = dataStart;
    for await (const part of parts) {
      crc = crc32(part, crc);
      await this.write(part, at);
      at += part.length;
    }
    if (at - dataStart !== byteLength)
      throw new RangeError(`${name}: ${at - dataStart} bytes written, ${byteLength} announced`);
    const common = Buffer.alloc(26); // from "version needed" to "extra length"
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x21, 8); // 1980-01-01
    common.writeUInt32LE(crc, 10);
    common.writeUInt32LE(byteLength, 14);
    common.writeUInt32LE(byteLength, 18);
    common.writeUInt16LE(nameBytes.length, 22);
    common.writeUInt16LE(4 + padding, 24);
    const extra = Buffer.alloc(4 + padding, 'Z');
    extra.write('FB');
    extra.writeUInt16LE(padding, 2);
    await this.write(Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, nameBytes, extra]), start);
    const offsetExtra = start < U32 ? Buffer.alloc(0) : zip64Offset(start);
    common.writeUInt16LE(offsetExtra.length, 24);
    const tail = Buffer.alloc(14); // comment length … local header offset
    tail.writeUInt32LE(Math.min(start, U32), 10);
    const head = Buffer.from('PK\x01\x02\x14\x00', 'latin1');
    this.directory.push(Buffer.concat([head, common, tail, nameBytes, offsetExtra]));
    this.offset = at;
  }

  /** Writes the directory, waits until the disk has everything, and closes the file. */
  async close(): Promise<void> {
    const directory = Buffer.concat(this.directory);
    const count = this.directory.length;
    const end = Buffer.alloc(22);
    end.write('PK\x05\x06', 'latin1');
    end.writeUInt16LE(Math.min(count, 0xffff), 8);
    end.writeUInt16LE(Math.min(count, 0xffff), 10);
    end.writeUInt32LE(directory.length, 12);
    end.writeUInt32LE(Math.min(this.offset, U32), 16);
    const large = this.offset >= U32 || count >= 0xffff;
    const end64 = large ? zip64End(count, directory.length, this.offset) : Buffer.alloc(0);
    await this.write(Buffer.concat([directory, end64, end]), this.offset);
    await sync(this.file);
    await this.file.close();
  }

  /** Closes a file that will not be finished. */
  async abandon(): Promise<void> {
    await this.file.close();
  }

  private async write(bytes: Uint8Array, position: number): Promise<void> {
    // A full disk shows as a short write first.
    for (let done = 0; done < bytes.length; ) {
      done += (await this.file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
    }
  }
}

function zip64Offset(offset: number): Buffer {
  const extra = Buffer.alloc(12);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(8, 2);
  extra.writeBigUInt64LE(BigInt(offset), 4);
  return extra;
}

function zip64End(count: number, bytes: number, offset: number): Buffer {
  const record = Buffer.alloc(56 + 20);
  record.write('PK\x06\x06', 'latin1');
  record.writeBigUInt64LE(44n, 4);
  record.writeUInt16LE(45, 12);
  record.writeUInt16LE(45, 14);
  record.writeBigUInt64LE(BigInt(count), 24);
  record.writeBigUInt64LE(BigInt(count), 32);
  record.writeBigUInt64LE(BigInt(bytes), 40);
  record.writeBigUInt64LE(BigInt(offset), 48);
  record.write('PK\x06\x07', 56, 'latin1'); // locator
  record.writeBigUInt64LE(BigInt(offset + bytes), 64);
  record.writeUInt32LE(1, 72);
  return record;
}

const MARK = Buffer.from('(');

function u32(opcode: string, value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.write(opcode, 'latin1');
  bytes.writeUInt32LE(value, 1);
  return bytes;
}

/** Pieces of a pickle. */
export const pickle = {
  string: (text: string): Buffer => Buffer.concat([u32('X', Buffer.byteLength(text)), Buffer.from(text)]),
  integer: (value: number): Buffer => u32('J', value),
  float: (value: number): Buffer => {
    const bytes = Buffer.alloc(9);
    bytes.write('G');
    bytes.writeDoubleBE(value, 1);
    return bytes;
  },
  boolean: (value: boolean): Buffer => Buffer.from([value ? 0x88 : 0x89]),
  tuple: (items: Buffer[]): Buffer => Buffer.concat([MARK, ...items, Buffer.from('t')]),
  list: (items: Buffer[]): Buffer => Buffer.concat([Buffer.from(']'), MARK, ...items, Buffer.from('e')]),
  global: (module: string, name: string): Buffer => Buffer.from(`c${module}\n${name}\n`),
  call: (callee: Buffer, args: Buffer[]): Buffer => Buffer.concat([callee, pickle.tuple(args), Buffer.from('R')]),
  items: (entries: [Buffer, Buffer][]): Buffer => Buffer.concat([MARK, ...entries.flat(), Buffer.from('u')]),
  dict: (entries: [Buffer, Buffer][]): Buffer => Buffer.concat([Buffer.from('}'), pickle.items(entries)]),
  /** An OrderedDict that carries an attribute, as a state dict carries `_metadata`. */
  orderedDict: (entries: [Buffer, Buffer][], attribute?: [Buffer, Buffer]): Buffer =>
    Buffer.concat([
      pickle.call(pickle.global('collections', 'OrderedDict'), []),
      pickle.items(entries),
      ...(attribute ? [pickle.dict([attribute]), Buffer.from('b')] : []),
    ]),
  /** A dense tensor that fills storage `key`. */
  tensor: (
    key: string,
    shape: readonly number[],
    stride: readonly number[],
    storage = 'FloatStorage',
    first = 0,
  ): Buffer => {
    const count = first + shape.reduce((product, size) => product * size, 1);
    const parts = ['storage', null, key, 'cpu'].map((part) =>
      part === null ? pickle.global('torch', storage) : pickle.string(part),
    );
    return pickle.call(pickle.global('torch._utils', '_rebuild_tensor_v2'), [
      Buffer.concat([pickle.tuple([...parts, pickle.integer(count)]), Buffer.from('Q')]),
      pickle.integer(first),
      pickle.tuple(shape.map(pickle.integer)),
      pickle.tuple(stride.map(pickle.integer)),
      pickle.boolean(false),
      pickle.call(pickle.global('collections', 'OrderedDict'), []),
    ]);
  },
  /** A whole pickle. */
  file: (value: Buffer): Buffer => Buffer.concat([Buffer.from([0x80, 2]), value, Buffer.from('..')]),
};
