/** One process at a time: a lock file that its holder keeps touching, so that a dead holder's is known by its silence. */
import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

const TOUCH_MS = 500;
const POLL_MS = 250;
/** Silence after which a lock is taken over: of a process that this computer no longer has, and of any other. */
const DEAD_MS = 2000;
const SILENT_MS = 120_000;

export interface LockOptions {
  /** Called once when another process holds the lock; `pid` is null when the file does not tell. */
  onWait: (pid: number | null) => void;
  signal: AbortSignal | undefined;
}

/** Runs `work` while this process alone holds `file`, waiting for another holder to end first. */
export async function withLock<T>(file: string, { onWait, signal }: LockOptions, work: () => Promise<T>): Promise<T> {
  const content = JSON.stringify({ pid: process.pid, host: hostname(), token: randomUUID() });
  await acquire(file, content, onWait, signal);
  // A touch that fails leaves the lock to look silent, which is what it then is.
  const touching = setInterval(() => utimes(file, new Date(), new Date()).catch(() => {}), TOUCH_MS);
  touching.unref();
  try {
    return await work();
  } finally {
    clearInterval(touching);
    if ((await contentOf(file)) === content) await rm(file, { force: true });
  }
}

async function acquire(
  file: string,
  content: string,
  onWait: LockOptions['onWait'],
  signal: AbortSignal | undefined,
): Promise<void> {
  let seen = '';
  let since = 0;
  let waiting = false;
  while (!(await created(file, content))) {
    const held = await contentOf(file);
    const touched = held === null ? null : await touchedAt(file);
    if (held === null || touched === null) continue; // released just now
    // Silence is measured by this process's own clock: another computer's may differ, and a sleeping one stands still.
    const state = `${touched} ${held}`;
    if (state !== seen) [seen, since] = [state, performance.now()];
    const silence = performance.now() - since;
    const holder = holderOf(held);
    const dead = holder?.host === hostname() && !isAlive(holder.pid);
    if (silence > (dead ? DEAD_MS : SILENT_MS)) {
      await remove(file, held);
      continue;
    }
    if (!waiting) onWait(holder?.pid ?? null);
    waiting = true;
    await sleep(POLL_MS, undefined, { signal });
  }
}

async function created(file: string, content: string): Promise<boolean> {
  try {
    await writeFile(file, content, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes the lock that was seen; one that another waiter has made in the meantime is put back. */
async function remove(file: string, seen: string): Promise<void> {
  const aside = `${file}.${randomUUID()}`;
  try {
    await rename(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return; // the other waiter was faster
    throw error;
  }
  if ((await contentOf(aside)) !== seen) await link(aside, file);
  await rm(aside, { force: true });
}

/** Null when there is no such file. */
async function contentOf(file: string): Promise<string | null> {
  return await readFile(file, 'utf8').catch(nullIfAbsent);
}

async function touchedAt(file: string): Promise<number | null> {
  return await stat(file).then(({ mtimeMs }) => mtimeMs, nullIfAbsent);
}

function nullIfAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

/** Null when the file is empty or not ours: its holder died before it had written it. */
function holderOf(content: string): { pid: number; host: string } | null {
  const [, pid, host] = /^\{"pid":(\d+),"host":"([^"]*)"/.exec(content) ?? [];
  return pid === undefined || host === undefined ? null : { pid: Number(pid), host };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
