/** Reads from an ELF shared library what decides whether it can be loaded here: its machine and the libraries it needs. */
import { closeSync, openSync, readSync } from 'node:fs';

export interface ElfFacts {
  /** As `process.arch` names it: 'x64', 'arm64', … or 'machine <n>' for one that Node does not name. */
  arch: string;
  /** DT_NEEDED in file order, e.g. ['libc10.so', 'libc.so.6']. */
  needed: string[];
}

/** e_machine of the ELF specification → Node's name. */
const MACHINES: Record<number, string> = {
  3: 'ia32',
  40: 'arm',
  62: 'x64',
  183: 'arm64',
  243: 'riscv64',
  258: 'loong64',
};
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_NEEDED = 1;
const DT_STRTAB = 5;

/** Facts of a little-endian 64-bit ELF file (every platform Node supports on Linux); null for anything else or a cut file. */
export function readElf(path: string): ElfFacts | null {
  const fd = openSync(path, 'r');
  try {
    const header = readAt(fd, 0, 64);
    if (header === null || header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) return null;
    const machine = header.readUInt16LE(18);
    const needed = readNeeded(fd, header);
    return needed === null ? null : { arch: MACHINES[machine] ?? `machine ${machine}`, needed };
  } finally {
    closeSync(fd);
  }
}

function readNeeded(fd: number, header: Buffer): string[] | null {
  const entrySize = header.readUInt16LE(54);
  const entries = header.readUInt16LE(56);
  if (entries === 0) return [];
  const table = readAt(fd, Number(header.readBigUInt64LE(32)), entrySize * entries);
  if (table === null) return null;
  const segments = Array.from({ length: entries }, (_, i) => {
    const at = i * entrySize;
    const word = (offset: number) => Number(table.readBigUInt64LE(at + offset));
    return { type: table.readUInt32LE(at), offset: word(8), address: word(16), size: word(32) };
  });
  const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC);
  if (dynamic === undefined) return [];
  const bytes = readAt(fd, dynamic.offset, dynamic.size);
  if (bytes === null) return null;

  const nameOffsets: number[] = [];
  let strings = 0;
  for (let at = 0; at + 16 <= bytes.length; at += 16) {
    const tag = Number(bytes.readBigUInt64LE(at));
    const value = Number(bytes.readBigUInt64LE(at + 8));
    if (tag === DT_NEEDED) nameOffsets.push(value);
    else if (tag === DT_STRTAB) strings = value;
  }
  // DT_STRTAB is an address; the segment that maps it tells where it lies in the file.
  const home = segments.find((s) => s.type === PT_LOAD && strings >= s.address && strings < s.address + s.size);
  if (home === undefined) return nameOffsets.length === 0 ? [] : null;
  const names = nameOffsets.map((offset) => readString(fd, home.offset + strings - home.address + offset));
  return names.every((name) => name !== null) ? names : null;
}

/** `length` bytes at `position`, or null when the file ends before them. */
function readAt(fd: number, position: number, length: number): Buffer | null {
  const buffer = Buffer.alloc(length);
  return readSync(fd, buffer, 0, length, position) === length ? buffer : null;
}

function readString(fd: number, position: number): string | null {
  const buffer = Buffer.alloc(256);
  const end = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, position)).indexOf(0);
  return end < 0 ? null : buffer.toString('latin1', 0, end);
}
