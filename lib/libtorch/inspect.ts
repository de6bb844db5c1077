/** Looks at one folder and tells which libtorch it holds and whether it can be loaded here; nothing is loaded. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type ElfFacts, readElf } from './elf';
import { libraryName, type Machine, systemPath } from './machine';

/** Why a libtorch is refused: it is not there, it is of the wrong version, or it is there but cannot be loaded. */
export type RefusalKind = 'absent' | 'version' | 'broken';

export interface Inspection {
  /** Folder with libtorch_cpu, when there is one. */
  dir?: string;
  /** E.g. '2.13.0'. */
  version?: string;
  /** 'cpu', 'cu130', 'rocm6.4'; 'cuda' when the CUDA version is not written down. */
  flavour?: string;
  /** Absolute paths to open in this order, each with RTLD_NOW | RTLD_LOCAL. */
  preload: string[];
  refusal?: { kind: RefusalKind; reason: string };
}

export interface Wanted {
  /** Minor versions that are accepted, e.g. ['2.13']; 'any' accepts all. */
  supported: readonly string[] | 'any';
  /** Whether include/ must be there, for compiling. */
  headers: boolean;
}

/**
 * Inspects `path`, which may be a libtorch root, its lib folder, a wheel's torch folder or the folder that holds it.
 * Never throws for what it finds: `refusal` says in words why it cannot be used.
 */
export function inspectLibtorch(path: string, wanted: Wanted, machine: Machine): Inspection {
  try {
    return inspect(path, wanted, machine);
  } catch (error) {
    return refuse({ preload: [] }, 'broken', `it cannot be read (${(error as Error).message})`);
  }
}

function inspect(path: string, wanted: Wanted, machine: Machine): Inspection {
  const library = libraryName('torch_cpu', machine.platform);
  const dir = [path, join(path, 'lib'), join(path, 'torch', 'lib'), join(path, 'libtorch', 'lib')].find((folder) =>
    existsSync(join(folder, library)),
  );
  if (dir === undefined) return refuse({ preload: [] }, 'absent', `no ${library} in it`);
  const found: Inspection = { dir, preload: [], ...readVersion(dir, machine.platform) };

  if (machine.platform === 'linux' && machine.glibc === null) {
    return refuse(found, 'broken', 'libtorch is published for glibc only, and this system has another libc (musl)');
  }
  const unreadable = checkLibraries(dir, machine);
  if (unreadable !== null) return refuse(found, 'broken', unreadable);
  if (found.version === undefined) {
    return refuse(
      found,
      'version',
      'its version is unknown (no version.py, build-version or TorchConfigVersion.cmake)',
    );
  }
  if (wanted.supported !== 'any' && !wanted.supported.includes(minorOf(found.version))) {
    const cores = wanted.supported.join(', ') || 'none';
    return refuse(found, 'version', `version ${found.version} has no core here (cores: ${cores})`);
  }
  if (wanted.headers && !existsSync(join(rootOf(dir), 'include', 'torch', 'csrc', 'api', 'include', 'torch'))) {
    return refuse(found, 'broken', 'it has no include/ folder with the headers to compile against');
  }
  const nvidia = found.flavour?.startsWith('cu') ? findNvidiaLibraries(dir, machine) : { paths: [], missing: [] };
  if (nvidia.missing.length > 0) {
    const [first, ...others] = nvidia.missing;
    const rest = others.length > 0 ? ` and ${others.length} more` : '';
    return refuse(
      found,
      'broken',
      `a CUDA build (${found.flavour}) without its nvidia libraries: ${first}${rest} not found`,
    );
  }
  found.preload = [
    ...nvidia.paths,
    ...['c10', 'torch_cpu', 'torch'].map((stem) => join(dir, libraryName(stem, machine.platform))),
  ];
  return found;
}

/** '2.13.0' → '2.13'. */
export function minorOf(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}

/** Folder with include/ and share/ for a folder of libraries: its parent, or /usr for /usr/lib/<triplet>. */
export function rootOf(dir: string): string {
  return /^lib(64)?$/.test(basename(dir)) ? dirname(dir) : dirname(dirname(dir));
}

function refuse(found: Inspection, kind: RefusalKind, reason: string): Inspection {
  return { ...found, refusal: { kind, reason } };
}

/** What keeps the three libraries from being opened at all; null when nothing does. */
function checkLibraries(dir: string, machine: Machine): string | null {
  for (const stem of ['torch_cpu', 'c10', 'torch']) {
    const name = libraryName(stem, machine.platform);
    if (!existsSync(join(dir, name))) return `${name} is missing beside libtorch_cpu`;
    if (machine.platform !== 'linux') continue;
    const elf = readElf(join(dir, name));
    if (elf === null) return `${name} is not a complete shared library (${statSync(join(dir, name)).size} bytes)`;
    if (elf.arch !== machine.arch) return `${name} is built for ${elf.arch}, and this process runs on ${machine.arch}`;
  }
  return null;
}

/** Version and flavour as the first of these files tells them; the libraries that lie there overrule a claim of 'cpu'. */
function readVersion(dir: string, platform: NodeJS.Platform): { version?: string; flavour?: string } {
  const root = rootOf(dir);
  const sources: [file: string, pattern: RegExp][] = [
    [join(root, 'version.py'), /^__version__ = '([^']+)'/m],
    [join(root, 'build-version'), /^\s*(\S+)/],
    [join(root, 'share', 'cmake', 'Torch', 'TorchConfigVersion.cmake'), /PACKAGE_VERSION "([^"]+)"/],
    [join(dir, 'cmake', 'Torch', 'TorchConfigVersion.cmake'), /PACKAGE_VERSION "([^"]+)"/],
    [join(root, 'include', 'torch', 'headeronly', 'version.h'), /TORCH_VERSION \\?\s*"([^"]+)"/],
  ];
  for (const [file, pattern] of sources) {
    if (!existsSync(file)) continue;
    const text = readFileSync(file, 'utf8');
    const full = pattern.exec(text)?.[1];
    const parts = full === undefined ? null : /^(\d+\.\d+\.\d+)[^+]*(?:\+(.*))?$/.exec(full);
    if (parts === null) continue;
    return { version: parts[1]!, flavour: readFlavour(parts[2], text, dir, platform) };
  }
  return {};
}

function readFlavour(local: string | undefined, text: string, dir: string, platform: NodeJS.Platform): string {
  const has = (stem: string) => existsSync(join(dir, libraryName(stem, platform)));
  const named = /^(cpu|cu\d+|rocm[\d.]*|xpu)/.exec(local ?? '')?.[1];
  if (named !== undefined && named !== 'cpu') return named;
  const cuda = /^cuda\b[^=\n]*= '(\d+)\.(\d+)/m.exec(text);
  if (cuda !== null) return `cu${cuda[1]}${cuda[2]}`;
  if (has('torch_cuda')) return 'cuda';
  return has('torch_hip') ? 'rocm' : 'cpu';
}

/**
 * The nvidia libraries that the libraries of `dir` need, dependencies first. pip puts them into nvidia/<name>/lib beside
 * torch/; a system-wide CUDA serves too. What neither has, nor the system's loader knows, is missing.
 */
function findNvidiaLibraries(dir: string, machine: Machine): { paths: string[]; missing: string[] } {
  const wheels = join(dirname(rootOf(dir)), 'nvidia');
  const folders = [
    ...(existsSync(wheels) ? readdirSync(wheels).map((name) => join(wheels, name, 'lib')) : []),
    ...(machine.env['LD_LIBRARY_PATH'] ?? '').split(':').filter(Boolean),
    systemPath(machine, '/usr/local/cuda/lib64'),
  ];
  const cacheFile = systemPath(machine, '/etc/ld.so.cache');
  const loaderCache = existsSync(cacheFile) ? readFileSync(cacheFile) : Buffer.alloc(0);
  const paths: string[] = [];
  const missing: string[] = [];
  const seen = new Set<string>();

  const visit = (elf: ElfFacts | null): void => {
    for (const name of elf?.needed ?? []) {
      if (seen.has(name)) continue;
      seen.add(name);
      const own = join(dir, name);
      if (existsSync(own)) {
        visit(readElf(own));
        continue;
      }
      if (!/^lib(cu|nv|nccl)/.test(name)) continue;
      const path = folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
      if (path !== undefined) {
        visit(readElf(path));
        paths.push(path);
      } else if (!loaderCache.includes(`\0${name}\0`)) {
        missing.push(name);
      }
    }
  };
  for (const stem of ['c10', 'torch_cpu', 'c10_cuda', 'torch_cuda', 'torch']) {
    const file = join(dir, libraryName(stem, machine.platform));
    if (existsSync(file)) visit(readElf(file));
  }
  return { paths, missing };
}
