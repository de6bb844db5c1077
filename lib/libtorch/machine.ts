/** What libtorch resolution needs to know about the computer it runs on, as data, so that tests can describe another. */
import { join, resolve, sep } from 'node:path';
import { homeDir } from '../base/cache-dir';

/** @internal The computer as this package sees it; tests give another one. */
export interface Machine {
  platform: NodeJS.Platform;
  /** As `process.arch`. */
  arch: string;
  /** Version of glibc, e.g. '2.36'; null on Linux with another libc (musl) and on other systems. */
  glibc: string | null;
  env: NodeJS.ProcessEnv;
  /** Null when the user has none. */
  home: string | null;
  /** Root of the file system in which system-wide folders (/usr, /opt) are looked up. */
  systemRoot: string;
  /** Folder with this package's package.json; inside an Electron archive, its unpacked twin. */
  packageRoot: string;
}

export function thisMachine(): Machine {
  return {
    platform: process.platform,
    arch: process.arch,
    glibc: glibcVersion(),
    env: process.env,
    home: homeDir(),
    systemRoot: '/',
    packageRoot: unpackedPath(resolve(__dirname, '../..')),
  };
}

/** `app.asar` → `app.asar.unpacked`: the system's loader cannot open a library inside Electron's archive. */
export function unpackedPath(path: string): string {
  return path.replace(/\bapp\.asar(?=[\\/]|$)/, 'app.asar.unpacked');
}

/** File name of a shared library, e.g. 'torch_cpu' → 'libtorch_cpu.so'. */
export function libraryName(stem: string, platform: NodeJS.Platform): string {
  return `lib${stem}.${platform === 'darwin' ? 'dylib' : 'so'}`;
}

/** Debian's name of the folder for libraries of this architecture, e.g. 'x86_64-linux-gnu'. */
export function multiarchTriplet(arch: string): string {
  const cpu: Record<string, string> = { x64: 'x86_64', arm64: 'aarch64' };
  return `${cpu[arch] ?? arch}-linux-gnu`;
}

/** An absolute system path below the machine's root. */
export function systemPath(machine: Machine, path: string): string {
  return machine.systemRoot === sep ? path : join(machine.systemRoot, path);
}

function glibcVersion(): string | null {
  if (process.platform !== 'linux') return null;
  const report = process.report as { excludeNetwork?: boolean; getReport(): object };
  const before = report.excludeNetwork;
  report.excludeNetwork = true; // else Node looks up the host name of every open socket
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  if (before !== undefined) report.excludeNetwork = before;
  return header?.glibcVersionRuntime ?? null;
}
