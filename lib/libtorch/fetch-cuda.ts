/** Gets a CUDA libtorch: torch's wheel and the nvidia wheels it requires, whose libraries lie side by side. */
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ClipnError } from '../base/errors';
import { makeFolder } from '../base/make-folder';
import type { FetchProgress } from '../download/progress';
import { assertRoom, inGigabytes } from '../download/room';
import type { Staging } from './copies';
import { findPip, pipDownloads } from './pip';
import { CUDA_VARIANT } from './release';
import { readEntry, unpackCudaWheel } from './unpack';

/** Of 2.14.1: wheels to download, and libraries and headers on disk. While unpacking both are there. */
const DOWNLOAD_BYTES = 2.62e9;
const DISK_BYTES = 4.2e9;

/**
 * Fills `staged` with torch/ and nvidia/ beside each other. The size is said before anything is downloaded.
 *
 * @throws ERR_CLIPN_PLATFORM, ERR_CLIPN_IO (no room), ERR_CLIPN_FETCH
 */
export async function stageCudaLibtorch(staging: Staging & { version: string }): Promise<void> {
  const { version, temporary, staged, machine, onProgress, signal } = staging;
  if (machine.platform !== 'linux' || machine.arch !== 'x64') {
    throw new ClipnError(
      'ERR_CLIPN_PLATFORM',
      `CUDA is supported on Linux x64, not ${machine.platform}-${machine.arch}.`,
      { hint: 'For the CPU: `npx clipn-native fetch --variant cpu`.' },
    );
  }
  const wheels = join(temporary, 'wheels');
  await makeFolder(wheels);
  await sayAndCheckSize(wheels, version, onProgress);
  const pip = await findPip(machine.env, signal);
  if (pip === null) {
    throw new ClipnError('ERR_CLIPN_FETCH', 'A CUDA libtorch is many wheels, which pip collects; no pip was found.', {
      hint: 'Install pip (Debian: python3-pip), or set CLIPN_LIBTORCH to the torch folder of a Python that has it.',
    });
  }
  const say = (message: string) => onProgress({ phase: 'download', message });
  const common = { pip, index: CUDA_VARIANT, target: wheels, machine, report: say, signal };
  const requirement = `torch==${version}`;
  say(`Asking pip for ${requirement}`);
  const [torch] = await pipDownloads({ ...common, requirements: [requirement], dependencies: false });
  const requirements = await nvidiaRequirements(torch, requirement);
  say(`Asking pip for ${requirements.length} nvidia packages`);
  const all = await pipDownloads({ ...common, requirements, dependencies: true });
  for (const [i, wheel] of all.sort().entries()) {
    const message = `Unpacking ${basename(wheel)} (${i + 1} of ${all.length})`;
    await unpackCudaWheel(
      wheel,
      staged,
      (done, total) => onProgress({ phase: 'unpack', message, done, total }),
      signal,
    );
  }
  await writeFile(join(staged, 'wheels.json'), `${JSON.stringify(all.map((wheel) => basename(wheel)))}\n`);
}

async function sayAndCheckSize(
  folder: string,
  version: string,
  onProgress: (progress: FetchProgress) => void,
): Promise<void> {
  const message = `libtorch ${version}+${CUDA_VARIANT}: ${inGigabytes(DOWNLOAD_BYTES)} to download, ${inGigabytes(DISK_BYTES)} on disk`;
  onProgress({ phase: 'size', message });
  await assertRoom(folder, DOWNLOAD_BYTES + DISK_BYTES, message);
}

/** What the wheel's METADATA requires of NVIDIA, e.g. `cuda-toolkit[cublas,cudart]==13.0.3`, without its conditions. */
async function nvidiaRequirements(wheel: string | undefined, requirement: string): Promise<string[]> {
  const metadata = wheel === undefined ? null : await readEntry(wheel, /^torch-[^/]+\.dist-info\/METADATA$/);
  const required = [...(metadata ?? '').matchAll(/^Requires-Dist: ((?:cuda-toolkit|nvidia-)[^;\n]*)/gm)];
  if (required.length === 0) {
    throw new ClipnError(
      'ERR_CLIPN_FETCH',
      `pip's wheel for ${requirement} requires no nvidia package: it is no CUDA build.`,
      {
        hint: 'Let pip use the default index (PyPI), whose Linux wheels of torch are CUDA builds.',
      },
    );
  }
  return required.map(([, name]) => name!.trim().replace(/[()\s]/g, ''));
}
