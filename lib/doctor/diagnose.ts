/** Says what this package finds on this computer, and what is missing. libtorch is loaded in a child process only. */
import { fork } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { cacheDir } from '../base/cache-dir';
import { availableCores, type Candidate, type Core, listCandidates, resolveLibtorch } from '../libtorch/find';
import { type Machine, thisMachine } from '../libtorch/machine';
import { unsupportedPlatform } from '../libtorch/platform';
import { type CudaInfo, cudaRemedy } from '../native/cuda';
import type { ProbeReport } from './probe';

/** CPU features that decide speed, as /proc/cpuinfo spells them. */
const CPU_FEATURES = ['avx2', 'avx512f', 'avx512_bf16', 'amx_bf16', 'amx_int8'] as const;

/** What the child said, or how it ended without a word. */
export type Probe = ProbeReport | { ok: false; code: 'crashed' | 'timeout' | 'skipped'; message: string };

export interface Diagnosis {
  package: string;
  platform: string;
  arch: string;
  /** 'glibc 2.36', 'musl or another', or null where it does not matter. */
  libc: string | null;
  node: string;
  electron: string | null;
  cpu: { model: string | null; features: string[] };
  /** Absolute path of the addon; null when none was found. */
  glue: string | null;
  cores: Core[];
  candidates: Candidate[];
  /** The libtorch folder in use, or why there is none. */
  libtorch: { dir: string; version: string; flavour: string; source: string } | { error: string; message: string };
  probe: Probe;
  /** Versions of sharp and its libvips, or why it cannot be loaded. */
  sharp: { sharp: string; vips: string } | { error: string };
  cacheDir: string;
  /** Folder of the package `clipn-native-model-small`; null when it is not installed. */
  model: string | null;
  /** One line: what to do next. */
  next: string;
}

export interface DiagnoseOptions {
  /** As for `loadModel`. */
  libtorch?: string;
  /** The probe's file and how long it may take, ms; default 60 000. */
  probe?: { file: string; timeout?: number };
}

export async function diagnose(options: DiagnoseOptions = {}, machine: Machine = thisMachine()): Promise<Diagnosis> {
  const named = options.libtorch === undefined ? {} : { libtorch: options.libtorch };
  const libtorch = chosen(named, machine);
  const glue = findGlue(machine);
  const probeFile = options.probe?.file ?? join(__dirname, `probe${extname(__filename)}`);
  const probe: Probe =
    'error' in libtorch || glue === null
      ? { ok: false, code: 'skipped', message: glue === null ? 'no addon to load' : 'no libtorch to load' }
      : await runProbe(probeFile, options.libtorch, machine, options.probe?.timeout ?? 60_000);
  const facts = {
    package: readPackageVersion(machine),
    platform: machine.platform,
    arch: machine.arch,
    libc: machine.platform === 'linux' ? (machine.glibc === null ? 'musl or another' : `glibc ${machine.glibc}`) : null,
    node: process.versions.node,
    electron: process.versions['electron'] ?? null,
    cpu: readCpu(),
    glue,
    cores: availableCores(machine),
    candidates: listCandidates(named, machine),
    libtorch,
    probe,
    sharp: await readSharp(),
    cacheDir: cacheDir(machine.env),
    model: findModel(),
  };
  return { ...facts, next: nextStep(facts, machine) };
}

function chosen(named: { libtorch?: string }, machine: Machine): Diagnosis['libtorch'] {
  try {
    const { dir, version, flavour, source } = resolveLibtorch(named, machine);
    return { dir, version, flavour, source };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { error: code ?? 'ERR_CLIPN_INTERNAL', message };
  }
}

/** The child inherits this process's loader flags, so the TypeScript sources can be probed too. */
function runProbe(file: string, libtorch: string | undefined, machine: Machine, timeout: number): Promise<Probe> {
  return new Promise((resolve) => {
    const child = fork(file, libtorch === undefined ? [] : [libtorch], {
      env: machine.env,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let report: ProbeReport | undefined;
    let stderr = '';
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeout);
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-2000);
    });
    child.on('message', (message) => {
      report = message as ProbeReport;
    });
    child.on('error', (error) => {
      stderr += error.message;
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const words = stderr.trim();
      if (report !== undefined) resolve(report);
      else if (late) resolve({ ok: false, code: 'timeout', message: `no answer within ${timeout / 1000} s` });
      else
        resolve({
          ok: false,
          code: 'crashed',
          message: `the process ended with ${signal ?? `exit code ${code}`}${words === '' ? '' : `: ${words}`}`,
        });
    });
  });
}

function findGlue(machine: Machine): string | null {
  try {
    const { path } = require('node-gyp-build') as { path(root: string): string };
    return path(machine.packageRoot);
  } catch {
    return null; // its only failure: no binary for this platform
  }
}

export function readCpu(): Diagnosis['cpu'] {
  if (!existsSync('/proc/cpuinfo')) return { model: null, features: [] };
  const text = readFileSync('/proc/cpuinfo', 'utf8');
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1]?.split(' '));
  return {
    model: /^model name\s*:\s*(.*)$/m.exec(text)?.[1] ?? null,
    features: CPU_FEATURES.filter((feature) => flags.has(feature)),
  };
}

async function readSharp(): Promise<Diagnosis['sharp']> {
  try {
    const { versions } = (await import('sharp')).default;
    return { sharp: versions.sharp ?? 'unknown', vips: versions.vips };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

function findModel(): string | null {
  try {
    return join(require.resolve('clipn-native-model-small/package.json'), '..');
  } catch {
    return null;
  }
}

function readPackageVersion(machine: Machine): string {
  return (JSON.parse(readFileSync(join(machine.packageRoot, 'package.json'), 'utf8')) as { version: string }).version;
}

function nextStep(facts: Omit<Diagnosis, 'next'>, machine: Machine): string {
  const { glue, cores, libtorch, probe, sharp, model } = facts;
  const unsupported = unsupportedPlatform(machine);
  if (unsupported !== null && (glue === null || machine.glibc === null))
    return `${unsupported.message} ${unsupported.hint}`;
  if (glue === null || cores.length === 0)
    return 'Reinstall clipn-native; in a clone, build the binaries: `npm run build`.';
  if ('error' in libtorch) {
    return facts.candidates.some((c) => c.source === 'option' || c.source === 'env')
      ? 'Correct or unset the named libtorch (the libtorch option, CLIPN_LIBTORCH), or build a core for it.'
      : 'Get libtorch: `npx clipn-native fetch --variant cpu`.';
  }
  if (!probe.ok)
    return `libtorch or the core does not load: fetch a fresh copy with \`npx clipn-native fetch --variant cpu\`, or report this.`;
  if ('error' in sharp) return 'Reinstall sharp: `npm install --include=optional sharp`.';
  if (model === null) return 'All is ready. For a first try: `npm install clipn-native-model-small`.';
  return 'All is ready: `npx clipn-native quickstart`.';
}

/** Whether a check of an image file would find all that it needs, a model aside. */
export function isReady({ probe, sharp }: Diagnosis): boolean {
  return probe.ok && !('error' in sharp);
}

/** A report for people, to be pasted into an issue. */
export function formatDiagnosis(d: Diagnosis): string {
  const root =
    'error' in d.libtorch
      ? d.libtorch.message.split('\n')[0]!.replace(' Looked at:', '')
      : `${d.libtorch.version}+${d.libtorch.flavour} (${d.libtorch.source}) ${d.libtorch.dir}`;
  const probe = d.probe.ok
    ? `works: core for libtorch ${d.probe.core.torchVersion}, kernels ${d.probe.core.cpuTarget}, libtorch's own ${d.probe.core.cpuCapability}, bf16 ${d.probe.core.cpuBf16 ? 'yes' : 'no'}`
    : `${d.probe.code}: ${d.probe.message}`;
  const rows: [string, string][] = [
    ['clipn-native', `${d.package} on ${d.platform}-${d.arch}${d.libc === null ? '' : `, ${d.libc}`}`],
    ['Node', d.electron === null ? d.node : `${d.node} in Electron ${d.electron}`],
    ['CPU', `${d.cpu.model ?? 'unknown'}; ${d.cpu.features.join(' ') || 'none of the features looked for'}`],
    ['addon', d.glue ?? 'not found'],
    ['cores', d.cores.map((core) => `${core.minor}-${core.flavour} ${core.path}`).join('\n') || 'none found'],
    ['libtorch', root],
    ['probe', probe],
    ['CUDA', formatCuda(d.probe)],
    ['sharp', 'error' in d.sharp ? d.sharp.error : `${d.sharp.sharp}, libvips ${d.sharp.vips}`],
    ['model', d.model ?? 'clipn-native-model-small is not installed'],
    ['cache', d.cacheDir],
    ['looked at', d.candidates.map(formatCandidate).join('\n')],
  ];
  const lines = rows.map(([name, text]) => `${name.padEnd(13)} ${text.replaceAll('\n', `\n${' '.repeat(14)}`)}`);
  return `${lines.join('\n')}\n\n${d.next}`;
}

function formatCuda(probe: Probe): string {
  if (!probe.ok) return 'not looked for: nothing loads';
  if (probe.cuda === undefined) return 'unknown: looking for it ended the process; the CPU works';
  const { usable, missing, reason, driver, device, plugin }: CudaInfo = probe.cuda;
  const gpu =
    device === null ? [] : [`${device.name}, compute capability ${device.capability}, ${gibibytes(device.memory)}`];
  const found = [
    ...gpu,
    ...(driver === null ? [] : [`driver for CUDA ${driver}`]),
    plugin === null ? 'no plugin for this libtorch' : `plugin ${plugin}`,
  ].join('; ');
  if (usable) return `usable: ${found}`;
  return `not usable, ${missing} missing: ${reason}\n${found}\n${cudaRemedy(probe.cuda)}; the CPU works without.`;
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(0)} GiB`;
}

function formatCandidate({ source, path, version, flavour, usable, reason }: Candidate): string {
  const what = version === undefined ? '' : ` ${version}+${flavour}`;
  return `${usable ? 'usable ' : 'refused'} ${source.padEnd(6)} ${path}${what}${usable ? '' : `: ${reason}`}`;
}
