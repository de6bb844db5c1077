/** Ways to damage files, and to tell how a call on one ended. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { inflateRawSync } from 'node:zlib';
import { ClipnError, type ClipnErrorCode } from '../../lib/base/errors';

/** Whole numbers below `n`, the same in every run. */
export function seeded(seed: number): (n: number) => number {
  let x = seed;
  return (n) => {
    x = (Math.imul(1103515245, x) + 12345) & 0x7fffffff;
    return (x >> 8) % n;
  };
}

/** The file cut at every tenth of its length, and just before its end. */
export function* cuts(bytes: Buffer): Generator<[name: string, Buffer]> {
  for (let tenth = 0; tenth < 10; tenth++) {
    yield [`${tenth} tenths of it`, bytes.subarray(0, Math.floor((bytes.length * tenth) / 10))];
  }
  for (const less of [1, 2, 21, 22, 23, 100]) yield [`${less} bytes less`, bytes.subarray(0, bytes.length - less)];
}

/** The file with one bit of a byte in [from, to) flipped, `count` times. */
export function* flips(bytes: Buffer, from: number, to: number, count: number): Generator<[name: string, Buffer]> {
  const random = seeded(from + to);
  for (let i = 0; i < count; i++) {
    const at = from + random(to - from);
    const bit = random(8);
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 1 << bit;
    yield [`bit ${bit} of byte ${at}`, damaged];
  }
}

/** A .safetensors file with its header changed, sealed again as sealed-safetensors.ts says: only what was changed is wrong. */
export function withHeader(
  bytes: Buffer,
  change: (header: Record<string, Record<string, unknown>>, data: Buffer) => void,
  sealed = bytes.length,
): Buffer {
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<string, Record<string, unknown>>;
  const data = Buffer.from(bytes.subarray(start));
  change(header, data);
  const seal = header['__metadata__']?.['sha256'];
  if (seal !== undefined) header['__metadata__']!['sha256'] = '0'.repeat(64);
  const head = Buffer.alloc(8);
  const text = Buffer.from(JSON.stringify(header));
  head.writeBigUInt64LE(BigInt(text.length));
  const file = Buffer.concat([head, text, data]);
  if (seal !== undefined) {
    const hash = createHash('sha256').update(file.subarray(0, sealed - bytes.length + file.length));
    file.write(hash.digest('hex'), file.indexOf('0'.repeat(64)));
  }
  return file;
}

/** The file as it was written before files were sealed. */
export const unsealed = (bytes: Buffer, version: Record<string, string>): Buffer =>
  withHeader(bytes, (header) => {
    const { sha256: _, ...rest } = header['__metadata__']!;
    header['__metadata__'] = { ...rest, ...version };
  });

/** Where the central directory of a zip begins. */
export const directoryOf = (bytes: Buffer): number => bytes.readUInt32LE(bytes.length - 22 + 16);

/** Entry → content of a zip that libtorch or a test wrote (no zip64, no comment). */
export function unzip(bytes: Buffer): Record<string, Buffer> {
  const entries: Record<string, Buffer> = {};
  let at = directoryOf(bytes);
  while (bytes.readUInt32LE(at) === 0x02014b50) {
    const [packed, size] = [bytes.readUInt32LE(at + 20), bytes.readUInt32LE(at + 24)];
    const [nameLength, extra, comment] = [28, 30, 32].map((field) => bytes.readUInt16LE(at + field)) as [
      number,
      number,
      number,
    ];
    const local = bytes.readUInt32LE(at + 42);
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const data = bytes.subarray(start, start + packed);
    const content = bytes.readUInt16LE(at + 10) === 8 ? inflateRawSync(data) : Buffer.from(data);
    assert.equal(content.length, size);
    entries[bytes.toString('utf8', at + 46, at + 46 + nameLength)] = content;
    at += 46 + nameLength + extra + comment;
  }
  return entries;
}

/** The code a call ended with, or its result. Anything thrown that is no ClipnError fails the test. */
export async function outcome<T>(name: string, work: Promise<T>): Promise<ClipnErrorCode | T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ClipnError) return error.code;
    throw new Error(`${name}: ended in no code`, { cause: error });
  }
}
