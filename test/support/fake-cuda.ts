/**
 * A process in which CUDA seems to be there: a driver and a plugin without CUDA (cpp/test/fake_cuda), and the real libtorch
 * in a folder whose version.py says that it is a CUDA build. What chooses the device, and what passes on a device's
 * failures, runs for real, from the built library (tsx would take most of the time).
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { resolveLibtorch } from '../../lib/libtorch/find';
import { minorOf } from '../../lib/libtorch/inspect';
import { repository } from './paths';

const fakes = path.join(repository, 'build/Release/fake-cuda');

/** Why the fakes cannot be used; false when they can. They are built with the native tests. */
export const skipFakeCuda = existsSync(fakes) ? false : 'the native tests are not built (Debian: libgtest-dev)';

export interface FakeCuda {
  /** 'VERSION,COUNT,CAPABILITY' of driver and GPU; default '13000,1,90'. */
  gpu?: string;
  /** Whether libcuda.so.1 is there; default true. */
  driver?: boolean;
  /** Default 'cu130'. */
  flavour?: string;
  /** Default true. */
  plugin?: boolean;
  /** How the plugin fails. */
  fails?: 'architecture' | 'lost' | 'memory';
}

/** A folder where the loader finds a libcuda.so.1 that it cannot load, whatever the machine has. */
function noDriver(folder: string): string {
  const at = path.join(folder, 'no-driver');
  mkdirSync(at);
  writeFileSync(path.join(at, 'libcuda.so.1'), 'no library');
  return at;
}

/** Runs `script` (it sees `lib`, this package's API) in a copy of this package in `folder`; what it prints, parsed as JSON. */
export async function withFakeCuda(folder: string, fake: FakeCuda, script: string): Promise<unknown> {
  const { gpu = '13000,1,90', driver = true, flavour = 'cu130', plugin = true, fails } = fake;
  const release = path.join(folder, 'build/Release');
  const torch = path.join(folder, 'libtorch');
  const real = resolveLibtorch();
  mkdirSync(release, { recursive: true });
  mkdirSync(path.join(torch, 'lib'), { recursive: true });
  cpSync(path.join(repository, 'dist'), path.join(folder, 'dist'), { recursive: true });
  symlinkSync(path.join(repository, 'node_modules'), path.join(folder, 'node_modules'));
  writeFileSync(path.join(folder, 'package.json'), readFileSync(path.join(repository, 'package.json')));
  for (const name of readdirSync(real.dir)) symlinkSync(path.join(real.dir, name), path.join(torch, 'lib', name));
  // Where `real` is a CUDA build, its libraries look for NVIDIA's beside torch/.
  const nvidia = path.join(real.dir, '../../nvidia');
  if (existsSync(nvidia)) symlinkSync(nvidia, path.join(folder, 'nvidia'));
  writeFileSync(path.join(torch, 'version.py'), `__version__ = '${real.version}+${flavour}'\n`);
  symlinkSync(path.join(repository, 'build/Release/clipn_native.node'), path.join(release, 'clipn_native.node'));
  cpSync(real.core, path.join(release, path.basename(real.core)));
  const name = `libclipn_cuda-${minorOf(real.version)}.so`;
  if (plugin) cpSync(path.join(fakes, name), path.join(release, name));
  const env = {
    ...process.env,
    CLIPN_LIBTORCH: torch,
    CLIPN_FAKE_GPU: gpu,
    ...(fails !== undefined && { CLIPN_FAKE_PLUGIN: fails }),
    LD_LIBRARY_PATH: driver ? fakes : noDriver(folder),
  };
  const program = `const lib = require(${JSON.stringify(path.join(folder, 'dist'))});
    const known = ({ code, message, hint, details }) => ({ code, message, hint, details });
    (async () => { ${script} })().then((value) => console.log(JSON.stringify(value)), (error) => {
      if (error.code === undefined) throw error;
      console.log(JSON.stringify({ error: known(error) }));
    });`;
  const printed = await new Promise<string>((resolve, reject) => {
    const argv = ['-e', program];
    execFile(process.execPath, argv, { cwd: repository, env }, (error, out, words) =>
      error ? reject(new Error(words || error.message)) : resolve(out),
    );
  });
  return JSON.parse(printed);
}
