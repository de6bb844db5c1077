/**
 * The folder of a run: `run.json` (its settings), `log.jsonl` (a line a step), `epoch_N.pt` (at the end of each epoch),
 * `state.pt` (in between, to go on from), `model.pt` (at the end).
 */
import { appendFile, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ClipnError } from '../base/errors';
import { makeFolder } from '../base/make-folder';
import { writeThenRename } from '../base/write-file';
import type { TeachStep } from './options';
import { readTrainingFile } from './training-file';

/** What makes two runs the same. */
export type RunSettings = Readonly<Record<string, string | number>>;

export const MODEL_FILE = 'model.pt';
/** The temporaries of `writeThenRename` for the files of a run. */
const LEFTOVER = /^\.(run\.json|log\.jsonl|(epoch_\d+|state|frozen|model)\.pt)\.[0-9a-f-]{36}\.tmp$/;

/** Settings that say nothing to a person. */
const HASHES = ['base', 'data'];

export class RunFolder {
  readonly model: string;
  readonly state: string;
  readonly log: string;

  private constructor(readonly path: string) {
    [this.model, this.state, this.log] = [this.in(MODEL_FILE), this.in('state.pt'), this.in('log.jsonl')];
  }

  /**
   * Runs `use` with the folder there; when it fails, a folder that this made and that is empty is taken away again.
   * @throws ClipnError ERR_CLIPN_IO; what `use` throws
   */
  static async within<T>(path: string, use: () => Promise<T>): Promise<T> {
    let made: string | undefined;
    try {
      made = await makeFolder(path);
    } catch (cause) {
      throw new ClipnError('ERR_CLIPN_IO', `cannot use the folder ${path}: ${(cause as Error).message}`, { cause });
    }
    try {
      return await use();
    } catch (error) {
      if (made !== undefined) await rmdir(path).catch(() => undefined); // it is not empty
      throw error;
    }
  }

  /**
   * Goes on with the run in the folder when its settings are these, or begins one.
   * @throws ClipnError ERR_CLIPN_INVALID_ARG when it holds another run, ERR_CLIPN_IO
   */
  static async open(path: string, settings: RunSettings): Promise<RunFolder> {
    const folder = new RunFolder(path);
    const file = folder.in('run.json');
    let stored: string | undefined;
    try {
      stored = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
    } catch (cause) {
      throw new ClipnError('ERR_CLIPN_IO', `cannot use the folder ${path}: ${(cause as Error).message}`, { cause });
    }
    const differing =
      stored === undefined ? 'checkpoints without the run.json of their training' : difference(stored, settings);
    // A run that stopped before its first checkpoint is no loss.
    if (differing !== undefined && (await folder.checkpoints()).length > 0) {
      throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${path} holds ${differing}`, {
        hint: 'Give another folder (--out), or the settings of that run to go on with it.',
      });
    }
    await writeThenRename(file, (temporary) => writeFile(temporary, `${JSON.stringify(settings, null, 2)}\n`));
    return folder;
  }

  in(name: string): string {
    return join(this.path, name);
  }

  epoch(number: number): string {
    return this.in(`epoch_${number}.pt`);
  }

  /** Paths of `state.pt` and of the latest epoch's checkpoint, as far as they are there. */
  private async checkpoints(): Promise<string[]> {
    const names = await readdir(this.path);
    const epochs = names.flatMap((name) => /^epoch_(\d+)\.pt$/.exec(name)?.[1] ?? []).map(Number);
    return [
      ...(names.includes('state.pt') ? [this.state] : []),
      ...(epochs.length > 0 ? [this.epoch(Math.max(...epochs))] : []),
    ];
  }

  /** The checkpoint that went furthest; drops what the log has beyond it. */
  async latest(signal: AbortSignal | undefined) {
    let latest: ({ path: string } & Awaited<ReturnType<typeof readTrainingFile>>) | undefined;
    for (const path of await this.checkpoints()) {
      const found = await readTrainingFile(path, signal);
      if (!latest || found.step > latest.step) latest = { path, ...found };
    }
    const steps = (await this.steps()).filter(({ step }) => step <= (latest?.step ?? 0));
    const lines = steps.map((step) => `${JSON.stringify(step)}\n`).join('');
    await writeThenRename(this.log, (temporary) => writeFile(temporary, lines));
    return latest;
  }

  async append(step: TeachStep): Promise<void> {
    try {
      await appendFile(this.log, `${JSON.stringify(step)}\n`);
    } catch (cause) {
      throw new ClipnError('ERR_CLIPN_IO', `cannot write ${this.log}: ${(cause as Error).message}`, { cause });
    }
  }

  /** The steps of the log. A line that a power failure cut short is left out. */
  async steps(): Promise<TeachStep[]> {
    const text = await readFile(this.log, 'utf8').catch(() => '');
    return text.split('\n').flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line) as TeachStep];
      } catch {
        return [];
      }
    });
  }

  /** Removes what calls of this run left that were killed. @param own a file that this call uses */
  async removeLeftovers(own: string): Promise<void> {
    const names = (await readdir(this.path)).filter((name) => LEFTOVER.test(name) && name !== basename(own));
    await Promise.all(names.map((name) => rm(this.in(name), { force: true })));
  }

  async removeState(): Promise<void> {
    await rm(this.state, { force: true });
  }
}

/** What of a stored run.json is not as in `settings`, in words. */
function difference(stored: string, settings: RunSettings): string | undefined {
  let before: Record<string, unknown>;
  try {
    before = JSON.parse(stored) as Record<string, unknown>;
  } catch {
    return 'a run.json that is no JSON';
  }
  const names = [...new Set([...Object.keys(before), ...Object.keys(settings)])];
  const told = names
    .filter((name) => before[name] !== settings[name])
    .map((name) => (HASHES.includes(name) ? `other ${name}` : `${name} ${before[name]} there, ${settings[name]} now`));
  return told.length > 0 ? `another run: ${told.join('; ')}` : undefined;
}
