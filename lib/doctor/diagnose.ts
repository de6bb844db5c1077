/**
 * doctor/: What is on this computer and what is missing; whether a detector can work at all.
 *
 * Says what this package finds on this computer, and what is missing. libtorch is loaded in a child process only.
 */

import { fork } from 'node:child_process';
import { extname, join } from 'node:path';
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import { cacheDirIfAny } from '../base/cache-dir';
import { packageVersion } from '../base/version';
import { decoderVersions } from '../images/decoder-versions';
import { availableCores, type Candidate, type Core, listCandidates, resolveLibtorch } from '../libtorch/find';
import { type Machine, thisMachine } from '../libtorch/machine';
import { unsupportedPlatform } from '../libtorch/platform';
import { addonPath } from '../native/engine';
import { type CachedModel, cachedModels } from '../weights/model-cache';
import { checkModelFile } from '../weights/model-file';
import { smallModel, smallModelFolder } from '../weights/small-model';
import { REAL_MODEL } from '../weights/vocabulary';
import { readCpu } from './cpu';
import type { ProbeReport } from './probe';

/** What the child said, or how it ended without a word. */
export type Probe = ProbeReport | { ok: false; code: 'crashed' | 'timeout' | 'skipped'; message: string };

/** What is on this computer, and what is missing. */
export interface Diagnosis {
  /** Version of clipn-native. */
  package: string;
  /** As `process.platform`. */
  platform: string;
  /** As `process.arch`. */
  arch: string;
  /** 'glibc 2.36', 'musl or another', or null where it does not matter. */
  libc: string | null;
  /** Version of Node. */
  node: string;
  /** Version of Electron; null without it. */
  electron: string | null;
  /** Model and the instruction sets that matter here. */
  cpu: { model: string | null; features: string[] };
  /** Absolute path of the addon; null when none was found. */
  glue: string | null;
  /** Core libraries that lie in this package. */
  cores: Core[];
  /** Places where libtorch was looked for, in order. */
  candidates: Candidate[];
  /** The libtorch folder in use, or why there is none. */
  libtorch: { dir: string; version: string; flavour: string; source: string } | { error: string; message: string };
  /** What a child process said that opened libtorch and the core. */
  probe: Probe;
  /** Versions of sharp and its libvips, or why it cannot be loaded. */
  sharp: { sharp: string; vips: string } | { error: string };
  /** Null when the user has no home folder and none is named. */
  cacheDir: string | null;
  /** Folder of the package `clipn-native-model-small`; null when it is not installed. */
  model: string | null;
  /** How many names it learnt; null where it is not installed or cannot be read. */
  modelNames: number | null;
  /** Models that `fetch model` put into the cache, and why one of them cannot be used. */
  models: CachedModel[];
  /** One line: what to do next. */
  next: string;
}

/** Options of `diagnose`. */
export interface DiagnoseOptions {
  /** Folder of libtorch; found by itself when absent, as for `loadModel`. */
  libtorch?: string;
  /** The probe's file and how long it may take, ms; default 60 000. */
  probe?: { file: string; timeout?: number };
}

const OPTIONS: OptionNames<DiagnoseOptions> = { libtorch: true, probe: true };

/**
 * Looks at this computer: platform, libtorch, the core, sharp, fetched models. What is amiss stands in the result, not in an
 * error. libtorch is opened in a child process alone, so that a crash ends only that.
 *
 * @throws ERR_CLIPN_INVALID_ARG for options that are none, ERR_CLIPN_IO when the cache folder cannot be read
 */
export async function diagnose(options: DiagnoseOptions = {}, machine: Machine = thisMachine()): Promise<Diagnosis> {
  assertArguments({ options: ['options', options], machine: ['record', machine] });
  assertOptionNames('diagnose', options, OPTIONS);
  const named = options.libtorch === undefined ? {} : { libtorch: options.libtorch };
  const libtorch = chosen(named, machine);
  const glue = addonPath(machine);
  const probeFile = options.probe?.file ?? join(__dirname, `probe${extname(__filename)}`);
  const probe: Probe =
    'error' in libtorch || glue === null
      ? { ok: false, code: 'skipped', message: glue === null ? 'no addon to load' : 'no libtorch to load' }
      : await runProbe(probeFile, options.libtorch, machine, options.probe?.timeout ?? 60_000);
  const facts = {
    package: packageVersion(machine.packageRoot),
    platform: machine.platform,
    arch: machine.arch,
    libc: libcOf(machine),
    node: process.versions.node,
    electron: process.versions['electron'] ?? null,
    cpu: readCpu(),
    glue,
    cores: availableCores(machine),
    candidates: listCandidates(named, machine),
    libtorch,
    probe,
    sharp: await decoderVersions(),
    cacheDir: cacheDirIfAny(machine.env),
    model: smallModelFolder(),
    modelNames: await smallModelNames(),
    models: await cachedModels(machine.env),
  };
  return { ...facts, next: nextStep(facts, machine) };
}

function libcOf({ platform, glibc }: Machine): string | null {
  if (platform !== 'linux') return null;
  return glibc === null ? 'musl or another' : `glibc ${glibc}`;
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
  const real = facts.models.some(({ problem }) => problem === null)
    ? ''
    : ` A model that knows most words: \`npx clipn-native fetch model ${REAL_MODEL}\`.`;
  return `All is ready: \`npx clipn-native quickstart\`.${real}`;
}

async function smallModelNames(): Promise<number | null> {
  const small = smallModel();
  if (small === undefined) return null;
  const config = await checkModelFile(small.model).catch(() => null); // told in full by whoever loads it
  return config === null || config.vocabulary === 'open' ? null : config.vocabulary.length;
}
