/** Processes that a failed test left running: the run of its file would wait for them without end. */
import type { ChildProcess } from 'node:child_process';
import { after } from 'node:test';

const running = new Set<ChildProcess>();

// A program that uses what tests use (test/reliability/hostile.ts) has no tests to end, and after() would make it one.
if (process.argv[1]?.endsWith('.test.ts')) {
  after(() => {
    for (const child of running) child.kill('SIGKILL');
  });
}

/** Ends the process with the tests of the file, if it still runs then. */
export function endWithTests<T extends ChildProcess>(child: T): T {
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}
