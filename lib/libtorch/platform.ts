/** Says why the addon did not load: a system without binaries, or a package that is not whole. */
import { ClipnError } from '../base/errors';
import type { Machine } from './machine';

/** The system that the published package has binaries for. */
const PREBUILT = 'linux-x64';

/** Why this machine can have no binaries from the package; null when it can. */
export function unsupportedPlatform(machine: Machine): ClipnError | null {
  const { platform, arch, glibc } = machine;
  if (platform === 'linux' && glibc === null) {
    return new ClipnError(
      'ERR_CLIPN_PLATFORM',
      'libtorch is published for glibc only, and this system has another libc (musl).',
      { hint: 'Use an image based on Debian, Ubuntu or Fedora, such as node:22-slim.', details: { platform, arch } },
    );
  }
  if (`${platform}-${arch}` === PREBUILT) return null;
  const container = `Use ${platform === 'win32' ? 'WSL or ' : ''}a container with Linux on x64 and glibc, such as node:22-slim`;
  return new ClipnError(
    'ERR_CLIPN_PLATFORM',
    `There are binaries for ${PREBUILT} only, and this is ${platform}-${arch}.`,
    {
      hint: platform === 'linux' ? `${container}, or run \`npm run build\` in a clone.` : `${container}.`,
      details: { platform, arch },
    },
  );
}

/** The error for what node-gyp-build threw. */
export function addonError(cause: unknown, machine: Machine): ClipnError {
  const { platform, arch, glibc, packageRoot } = machine;
  const text = cause instanceof Error ? cause.message : String(cause);
  const details = { root: packageRoot, platform, arch };
  if (text.startsWith('No native build was found')) {
    return (
      unsupportedPlatform(machine) ??
      new ClipnError('ERR_CLIPN_GLUE_NOT_FOUND', `no binary for ${platform}-${arch} in ${packageRoot}`, {
        cause,
        details,
      })
    );
  }
  const needed = /version [`'](GLIBC(?:XX)?_[\d.]+)' not found/.exec(text)?.[1];
  if (needed !== undefined) {
    return new ClipnError('ERR_CLIPN_PLATFORM', `The addon needs ${needed}; this system has glibc ${glibc}: ${text}`, {
      hint: 'Use a newer system (Debian 12, Ubuntu 22.04, RHEL 9 or later), or run `npm run build` in a clone.',
      cause,
      details,
    });
  }
  return new ClipnError('ERR_CLIPN_GLUE_LOAD', `the addon does not load: ${text}`, { cause, details });
}
