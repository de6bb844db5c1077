import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { crc32, deflateRawSync } from 'node:zlib';
import { type FetchOptions, fetchLibtorch } from '../../lib/libtorch/fetch';
import type { Machine } from '../../lib/libtorch/machine';
import { fakeMachine, wheelTree } from '../support/fake-libtorch';
import { type OddEntry, zip } from '../support/zip';

let root: string;
let machine: Machine;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'clipn-unpack-'));
  machine = fakeMachine(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const HEADER = 'torch/include/torch/a.h';

/** A good wheel and one more entry. */
const withEntry = (path: string, entry: string | OddEntry) => zip({ ...wheelTree(), [path]: entry });

/** An entry whose bytes are compressed and say what is said of them. */
function deflated(content: Buffer, said: Partial<OddEntry> = {}): OddEntry {
  return { data: deflateRawSync(content), method: 8, crc: crc32(content), size: content.length, ...said };
}

async function fetched(wheel: Buffer, options: FetchOptions = {}): Promise<string> {
  writeFileSync(join(root, 'torch.whl'), wheel);
  return (await fetchLibtorch({ from: join(root, 'torch.whl'), ...options }, machine)).dir;
}

describe('an archive is refused, leaving nothing behind, when', () => {
  const cases: [string, () => Buffer, RegExp][] = [
    ['a path has backslashes', () => withEntry('torch\\lib\\..\\..\\evil.so', 'x'), /invalid characters in fileName/],
    ['a path begins with a drive', () => withEntry('C:/evil.so', 'x'), /absolute path/],
    ['a path holds a NUL', () => withEntry('torch/include/a\0.h', 'x'), /holds a NUL/],
    [
      'an entry is a symbolic link',
      () => withEntry('torch/lib/libevil.so', { data: Buffer.from('/etc/passwd'), mode: 0o120777 }),
      /torch\/lib\/libevil\.so is neither a file nor a folder/,
    ],
    [
      'an entry is encrypted',
      () => withEntry(HEADER, { data: Buffer.alloc(13), size: 1, flags: 1 }),
      /a\.h is encrypted/,
    ],
    [
      'a name comes twice',
      () => zip([...Object.entries(wheelTree()), ['torch/version.py', "__version__ = '2.13.0+cpu'\n"]]),
      /it holds torch\/version\.py twice/,
    ],
    [
      'two spellings of a path meet in one file',
      () => zip({ ...wheelTree(), [HEADER]: 'x', 'torch/include/torch/./a.h': 'y' }),
      /EEXIST/,
    ],
    [
      'a file lies where another has its folder',
      () => zip({ ...wheelTree(), [HEADER]: 'x', [`${HEADER}/b.h`]: 'y' }),
      /cannot be unpacked: (EEXIST|ENOTDIR)/,
    ],
    [
      'entries share their bytes',
      () => withEntry(HEADER, { data: Buffer.alloc(1e6), overlaps: true }),
      /its entries overlap/,
    ],
    [
      'it says that it unpacks to more than a hundred times its size',
      () => withEntry(HEADER, deflated(Buffer.alloc(5e6))),
      /over 100 times its size/,
    ],
    [
      'it says that it unpacks to more than 4 GiB',
      () => zip([1, 2].map((i) => [`torch/include/${i}.h`, { data: Buffer.alloc(9), method: 8, size: 0xfffffffe }])),
      /at most 4294967296 are taken/,
    ],
    [
      'an entry unpacks to more than it says',
      () => withEntry(HEADER, deflated(Buffer.alloc(5e6), { size: 1000 })),
      /too many bytes in the stream/,
    ],
    [
      'an entry unpacks to less than it says',
      () => withEntry(HEADER, deflated(Buffer.from('#pragma once'), { size: 1000 })),
      /not enough bytes in the stream/,
    ],
    [
      'an entry does not match its checksum',
      () => withEntry(HEADER, deflated(Buffer.from('#pragma once'), { crc: 1 })),
      /the checksum of torch\/include\/torch\/a\.h is wrong/,
    ],
    [
      'compressed bytes are damaged',
      () => withEntry(HEADER, { data: Buffer.alloc(40, 0xff), method: 8 }),
      /cannot be unpacked: invalid/,
    ],
    [
      'an entry is compressed in an unknown way',
      () => withEntry(HEADER, { data: Buffer.from('x'), method: 12 }),
      /unsupported compression method/,
    ],
    ['it says that it holds a million entries', () => zip(wheelTree(), 1e6), /says that it holds 1000000 entries/],
    [
      'its zip64 end record lies where no number reaches',
      () => {
        const wheel = zip(wheelTree(), Object.keys(wheelTree()).length);
        wheel.writeBigUInt64LE(2n ** 58n, wheel.length - 22 - 12);
        return wheel;
      },
      /cannot be unpacked: it refers to byte 288230376151711740 of/,
    ],
    ['it says that it holds more entries than it does', () => zip(wheelTree(), 50), /cannot be unpacked/],
  ];
  for (const [name, wheel, message] of cases) {
    it(name, async () => {
      await assert.rejects(fetched(wheel()), { name: 'ClipnError', code: 'ERR_CLIPN_FETCH', message });
      assert.deepEqual(readdirSync(join(root, 'cache/libtorch')), []);
      assert.ok(!existsSync(join(root, 'evil.so')));
    });
  }

  it('it is cut at any tenth of its length', async () => {
    const whole = zip(wheelTree());
    for (let tenth = 0; tenth < 10; tenth++) {
      const cut = whole.subarray(0, Math.floor((whole.length * tenth) / 10));
      await assert.rejects(fetched(cut), { code: 'ERR_CLIPN_FETCH' }, `cut at ${tenth}/10`);
    }
    assert.deepEqual(readdirSync(join(root, 'cache/libtorch')), []);
  });
});

it('a compressed archive is unpacked', async () => {
  const tree = Object.entries(wheelTree()).map(([path, content]): [string, OddEntry] => [
    path,
    deflated(Buffer.from(content), { mode: 0o100644 }),
  ]);
  assert.ok(existsSync(join(await fetched(zip(tree)), 'libtorch_cpu.so')));
});
