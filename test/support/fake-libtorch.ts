/** Folders that look like an installed libtorch, with shared libraries of a few hundred bytes that tell what real ones tell. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Machine } from '../../lib/libtorch/machine';

/** A 64-bit ELF file with one loadable segment and a dynamic section (System V ABI, chapter 4). */
export function elf(needed: string[] = [], machine = 62): Buffer {
  const names = Buffer.from(`\0${needed.map((name) => `${name}\0`).join('')}`, 'latin1');
  const dynamic = Buffer.alloc(16 * (needed.length + 2));
  let offset = 1;
  needed.forEach((name, i) => {
    dynamic.writeBigUInt64LE(1n, 16 * i); // DT_NEEDED
    dynamic.writeBigUInt64LE(BigInt(offset), 16 * i + 8);
    offset += name.length + 1;
  });
  const dynamicAt = 64 + 2 * 56;
  const namesAt = dynamicAt + dynamic.length;
  const base = 0x10000; // addresses differ from file offsets, as in real libraries
  dynamic.writeBigUInt64LE(5n, 16 * needed.length); // DT_STRTAB
  dynamic.writeBigUInt64LE(BigInt(base + namesAt), 16 * needed.length + 8);

  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(3, 16); // ET_DYN
  header.writeUInt16LE(machine, 18);
  header.writeBigUInt64LE(64n, 32); // program headers
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(2, 56);
  const segment = (type: number, at: number, size: number) => {
    const bytes = Buffer.alloc(56);
    bytes.writeUInt32LE(type, 0);
    bytes.writeBigUInt64LE(BigInt(at), 8);
    bytes.writeBigUInt64LE(BigInt(base + at), 16);
    bytes.writeBigUInt64LE(BigInt(size), 32);
    return bytes;
  };
  const load = segment(1, 0, namesAt + names.length);
  return Buffer.concat([header, load, segment(2, dynamicAt, dynamic.length), dynamic, names]);
}

/** Path in the archive or folder → content. */
export type Tree = Record<string, string | Buffer>;

/** What a wheel holds: torch/lib, torch/include, torch/version.py and Python sources. */
export function wheelTree(version = '2.13.0+cpu', { cuda = false } = {}): Tree {
  const cudaName = /\+cu(\d+)(\d)$/.exec(version);
  return {
    'torch/lib/libc10.so': elf(['libc.so.6']),
    'torch/lib/libtorch_cpu.so': elf(['libc10.so', 'libc.so.6', ...(cuda ? ['libcusparse.so.12'] : [])]),
    'torch/lib/libtorch.so': elf(['libtorch_cpu.so']),
    ...(cuda && { 'torch/lib/libtorch_cuda.so': elf(['libtorch_cpu.so', 'libcusparse.so.12']) }),
    'torch/include/torch/csrc/api/include/torch/torch.h': '#pragma once\n',
    'torch/share/cmake/Torch/TorchConfigVersion.cmake': `set(PACKAGE_VERSION "${version.split('+')[0]}")\n`,
    'torch/version.py': `__version__ = '${version}'\ncuda: Optional[str] = ${cudaName ? `'${cudaName[1]}.${cudaName[2]}'` : 'None'}\n`,
    'torch/nn/functional.py': '# stays behind\n',
  };
}

/** What the libtorch zip holds: libtorch/lib, libtorch/include and build-version. */
export function zipTree(version = '2.13.0+cpu'): Tree {
  return {
    'libtorch/lib/libc10.so': elf(),
    'libtorch/lib/libtorch_cpu.so': elf(['libc10.so']),
    'libtorch/lib/libtorch.so': elf(['libtorch_cpu.so']),
    'libtorch/include/torch/csrc/api/include/torch/torch.h': '#pragma once\n',
    'libtorch/build-version': `${version}\n`,
  };
}

export function writeTree(folder: string, tree: Tree): string {
  for (const [name, content] of Object.entries(tree)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

/** A Linux machine with glibc on which nothing is installed but one core for libtorch 2.13, all below `root`. */
export function fakeMachine(root: string): Machine {
  const packageRoot = join(root, 'package');
  writeTree(packageRoot, {
    'package.json': '{ "name": "clipn-native", "version": "1.2.3" }',
    'build/Release/libclipn_core-2.13-cpu.so': elf(),
  });
  return {
    platform: 'linux',
    arch: 'x64',
    glibc: '2.36',
    env: { CLIPN_CACHE_DIR: join(root, 'cache'), PATH: '' },
    home: join(root, 'home'),
    systemRoot: join(root, 'system'),
    packageRoot,
  };
}
