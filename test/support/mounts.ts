/** File systems of a test's own, in a mount namespace that goes with its process: nothing is left, nobody else sees them. */
import { spawnSync } from 'node:child_process';

/** `unshare` for this user: who is not root is root of a user namespace. */
const UNSHARE = process.getuid?.() === 0 ? ['--mount'] : ['--user', '--map-root-user', '--mount'];

const works =
  spawnSync('unshare', [...UNSHARE, 'bash', '-c', 'mount -t tmpfs -o size=64k none /tmp'], { stdio: 'ignore' })
    .status === 0;

/** Why tests that mount are skipped; false when they can. */
export const skipWithoutMounts = !works && 'this user may not mount a file system of its own (unshare --mount)';

/** A command whose script, run by bash, may mount: `"$0" "$@"` in it is what follows. */
export function mounting(script: string, command: readonly string[]): { program: string; args: string[] } {
  return { program: 'unshare', args: [...UNSHARE, 'bash', '-c', script, ...command] };
}
