/** Errors of the addon: why it did not load, and those of the core with their codes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClipnError, type ClipnErrorCode, ERROR_HINTS } from '../base/errors';
import type { Machine } from '../libtorch/machine';
import { unsupportedPlatform } from '../libtorch/platform';

/** The error for what node-gyp-build threw. */
export function addonError(cause: unknown, machine: Machine): ClipnError {
  const { platform, arch, glibc, packageRoot } = machine;
  const text = cause instanceof Error ? cause.message : String(cause);
  const details = { root: packageRoot, platform, arch };
  if (text.startsWith('No native build was found')) {
    if (!isPackage(packageRoot)) return bundled(packageRoot, cause);
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

/** Whether this code lies where it was installed. In a bundle it does not, and the binaries did not come along. */
function isPackage(root: string): boolean {
  try {
    return (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { name?: unknown }).name === 'clipn-native';
  } catch {
    return false;
  }
}

function bundled(root: string, cause: unknown): ClipnError {
  const message = `the code of clipn-native was bundled into another file: its binaries are not in ${root}`;
  return new ClipnError('ERR_CLIPN_GLUE_NOT_FOUND', message, {
    hint: 'Mark clipn-native as external in the bundler, and ship node_modules/clipn-native (docs/runtimes.md).',
    details: { root },
    cause,
  });
}

function isCode(code: unknown): code is ClipnErrorCode {
  return typeof code === 'string' && code in ERROR_HINTS;
}

/** The addon's errors carry our codes: give them the class, the hint and the caller's stack. */
export function fromNative(error: unknown): unknown {
  if (error instanceof ClipnError || !(error instanceof Error)) return error;
  const code = (error as NodeJS.ErrnoException).code;
  return isCode(code) ? new ClipnError(code, error.message, { cause: error }) : error;
}
