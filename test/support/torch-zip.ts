/** Writes what `torch.save` writes: a zip of stored entries, 64-byte aligned, with a protocol 2 pickle. For tests. */
import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

/** Writes entries one after the other; `data` may be produced in parts. */
export class StoredZip {
  private offset = 0;
  private readonly directory: Buffer[] = [];

  private constructor(private readonly file: FileHandle) {}

  static async create(path: string): Promise<StoredZip> {
    return new StoredZip(await open(path, 'w'));
  }

  async add(name: string, byteLength: number, parts: Iterable<Uint8Array>): Promise<void> {
    const start = this.offset;
    const nameBytes = Buffer.from(name);
    const padding = (64 - ((start + 30 + nameBytes.length + 4) % 64)) % 64;
    const dataStart = start + 30 + nameBytes.length + 4 + padding;
    let crc = 0;
    let at = dataStart;
    for (const part of parts) {
      crc = crc32(part, crc);
      await this.file.write(part, 0, part.length, at);
      at += part.length;
    }
    if (at - dataStart !== byteLength)
      throw new Error(`${name}: ${at - dataStart} bytes written, ${byteLength} announced`);
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
    await this.file.write(
      Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, nameBytes, extra]),
      0,
      null,
      start,
    );
    common.writeUInt16LE(0, 24);
    const tail = Buffer.alloc(14); // comment length … local header offset
    tail.writeUInt32LE(start, 10);
    this.directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, tail, nameBytes]));
    this.offset = at;
  }

  async close(): Promise<void> {
    const directory = Buffer.concat(this.directory);
    const end = Buffer.alloc(22);
    end.write('PK\x05\x06', 'latin1');
    end.writeUInt16LE(this.directory.length, 8);
    end.writeUInt16LE(this.directory.length, 10);
    end.writeUInt32LE(directory.length, 12);
    end.writeUInt32LE(this.offset, 16);
    await this.file.write(Buffer.concat([directory, end]), 0, null, this.offset);
    await this.file.close();
  }
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
  file: (value: Buffer): Buffer => Buffer.concat([Buffer.from([0x80, 2]), value, Buffer.from('.')]),
};
