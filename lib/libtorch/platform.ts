/** Whether there are binaries for a system. */
import { ClipnError } from '../base/errors';
import type { Machine } from './machine';

/** The systems that the published package has binaries for; scripts/pack.mjs packs these, no more and no fewer. */
export const PREBUILT: readonly string[] = ['linux-x64', 'linux-arm64'];

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
  if (PREBUILT.includes(`${platform}-${arch}`)) return null;
  const container = `Use ${platform === 'win32' ? 'WSL or ' : ''}a container with Linux on x64 or arm64 and glibc, such as node:22-slim`;
  return new ClipnError(
    'ERR_CLIPN_PLATFORM',
    `There are binaries for ${PREBUILT.join(' and ')} only, and this is ${platform}-${arch}.`,
    {
      hint: platform === 'linux' ? `${container}, or run \`npm run build\` in a clone.` : `${container}.`,
      details: { platform, arch },
    },
  );
}
