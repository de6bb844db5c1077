/** Downloads wheels of torch with the pip that is there, whatever Python that pip belongs to. */
import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ClipnError } from '../base/errors';
import type { Machine } from './machine';

/** PyTorch's own wheels. Those for the CPU lie below it in cpu/; the default index has the CUDA build of each version. */
export const PYTORCH_WHEELS = 'https://download.pytorch.org/whl';

/** A command line without arguments, e.g. ['python3', '-m', 'pip']. */
export type Pip = readonly [command: string, ...args: string[]];

const PIPS: readonly Pip[] = [['python3', '-m', 'pip'], ['python', '-m', 'pip'], ['pip3'], ['pip']];

/** Every tag of a wheel that runs where glibc 2.28 does: pip takes a tag given to it literally. */
const CUDA_PLATFORM_TAGS = [
  ...Array.from({ length: 24 }, (_, i) => `manylinux_2_${28 - i}_x86_64`),
  'manylinux2014_x86_64',
  'manylinux2010_x86_64',
  'manylinux1_x86_64',
];

/** Wheel tags of the oldest system that the wheel runs on. */
const PLATFORM_TAGS: Record<string, { tag: string; local: string }> = {
  'linux-x64': { tag: 'manylinux_2_28_x86_64', local: '+cpu' },
  'linux-arm64': { tag: 'manylinux_2_28_aarch64', local: '+cpu' },
  'darwin-arm64': { tag: 'macosx_14_0_arm64', local: '' },
};

function platformOf(machine: Machine): { tag: string; local: string } {
  const platform = PLATFORM_TAGS[`${machine.platform}-${machine.arch}`];
  if (platform !== undefined) return platform;
  throw new ClipnError(
    'ERR_CLIPN_PLATFORM',
    `There is no CPU wheel of torch for ${machine.platform}-${machine.arch}.`,
    { hint: 'Set CLIPN_LIBTORCH to a libtorch of your own.' },
  );
}

/** File name of the published wheel, for one Python of many: its libraries serve all. */
export function wheelName(version: string, machine: Machine): string {
  const { tag, local } = platformOf(machine);
  return `torch-${version}${local}-cp311-${machine.platform === 'darwin' ? 'none' : 'cp311'}-${tag}.whl`;
}

/** The first pip that starts; null when there is none. */
export async function findPip(env: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<Pip | null> {
  for (const pip of PIPS) {
    const { code } = await run([...pip, '--version'], () => {}, env, signal);
    if (code === 0) return pip;
  }
  return null;
}

export interface PipDownload {
  pip: Pip;
  /** E.g. '2.13.0'. */
  version: string;
  /** Folder for the wheel and pip's own temporary files. */
  target: string;
  machine: Machine;
  report: (message: string) => void;
  signal: AbortSignal | undefined;
}

/**
 * Path of the wheel. The user's own pip settings (index, proxy, certificates) hold; pip checks the index's hash.
 *
 * @throws ERR_CLIPN_FETCH with pip's last lines, all of its output in `details`; ERR_CLIPN_PLATFORM.
 */
export async function pipDownload({ version, ...common }: PipDownload): Promise<string> {
  const platform = platformOf(common.machine);
  const requirement = `torch==${version}${platform.local}`;
  common.report(`Asking pip for ${requirement}`);
  const asked = { requirements: [requirement], index: 'cpu', dependencies: false, platforms: [platform.tag] };
  const [wheel] = await collect({ ...common, ...asked });
  return wheel!;
}

export interface PipDownloads extends Omit<PipDownload, 'version'> {
  requirements: readonly string[];
  /** Below PYTORCH_WHEELS, e.g. 'cu130'. */
  index: string;
  /** Whether what they require is downloaded too. */
  dependencies: boolean;
}

/**
 * Paths of the wheels of these requirements for Linux on x64, and of their own when asked for.
 *
 * @throws ERR_CLIPN_FETCH with pip's last lines, all of its output in `details`.
 */
export async function pipDownloads(options: PipDownloads): Promise<string[]> {
  return await collect({ ...options, platforms: CUDA_PLATFORM_TAGS });
}

/** At least one wheel. @throws as `pipDownloads` */
async function collect({
  pip,
  requirements,
  index,
  dependencies,
  platforms,
  target,
  machine,
  report,
  signal,
}: PipDownloads & { platforms: readonly string[] }): Promise<string[]> {
  const command = [
    ...pip,
    'download',
    ...(dependencies ? [] : ['--no-deps']),
    '--only-binary=:all:',
    '--python-version',
    '3.11',
    ...platforms.flatMap((tag) => ['--platform', tag]),
    // pip's five retries take 8 s for each index that cannot be reached, even when another one has the wheel.
    ...(machine.env['PIP_RETRIES'] === undefined ? ['--retries', '2'] : []),
    '--progress-bar',
    'off',
    '--extra-index-url',
    `${PYTORCH_WHEELS}/${index}`,
    '-d',
    target,
    ...requirements,
  ];
  const onLine = (line: string) => {
    if (/^\s*(Downloading|Processing|Using cached)\b/.test(line)) report(line.trim());
  };
  const { code, output } = await run(command, onLine, { ...machine.env, TMPDIR: target }, signal);
  const wheels = code === 0 ? (await readdir(target)).filter((name) => name.endsWith('.whl')) : [];
  if (wheels.length > 0) return wheels.map((name) => join(target, name));
  const lastLines = output.trim().split('\n').slice(-3).join('; ');
  throw new ClipnError('ERR_CLIPN_FETCH', `pip could not download ${requirements.join(' ')}: ${lastLines}`, {
    details: { command: command.join(' '), exitCode: code, output },
  });
}

/** What the system says of a command that is not there, or is none that this user may run. */
const NO_COMMAND = ['ENOENT', 'EACCES', 'ENOTDIR', 'ENOEXEC'];

/** Runs to the end. `code` is null when there is no such command, or it was killed. */
function run(
  [command, ...args]: readonly [string, ...string[]] | string[],
  onLine: (line: string) => void,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command!, args, {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(signal !== undefined && { signal }),
    });
    let output = '';
    let rest = '';
    const collect = (chunk: string) => {
      output += chunk;
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach(onLine);
    };
    child.stdout.setEncoding('utf8').on('data', collect);
    child.stderr.setEncoding('utf8').on('data', collect);
    let failure: NodeJS.ErrnoException | undefined;
    child.on('error', (error) => {
      failure = error;
      if (child.pid === undefined) settle(null);
    });
    // 'close', not 'error', ends an abort: only then has the child stopped writing into the folder to be removed.
    child.on('close', settle);
    function settle(code: number | null): void {
      if (failure === undefined || NO_COMMAND.includes(failure.code!)) resolve({ code, output });
      else reject(signal?.aborted ? signal.reason : failure);
    }
  });
}
