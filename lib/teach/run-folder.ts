/**
 * The folder of a run: `run.json` (its settings), `log.jsonl` (a line a step), `epoch_N.pt` (at the end of each epoch),
 * `state.pt` (in between, to go on from), `model.pt` (at the end).
 */
import { appendFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClipnError } from '../base/errors';
import { writeThenRename } from '../base/write-file';
import type { TeachStep } from './options';
import { readTrainingFile } from './training-file';

/** What makes two runs the same. */
export type RunSettings = Readonly<Record<string, string | number>>;

/** Settings that say nothing to a person. */
const HASHES = ['base', 'data'];

export class RunFolder {
  readonly model: string;
  readonly state: string;
  readonly log: string;

  private constructor(readonly path: string) {
    [this.model, this.state, this.log] = [this.in('model.pt'), this.in('state.pt'), this.in('log.jsonl')];
  }

  /**
   * Makes the folder, or goes on with the run in it when its settings are these.
   * @throws ClipnError ERR_CLIPN_INVALID_ARG when it holds another run, ERR_CLIPN_IO
   */
  static async open(path: string, settings: RunSettings): Promise<RunFolder> {
    const folder = new RunFolder(path);
    const file = folder.in('run.json');
    let stored: string | undefined;
    try {
      await mkdir(path, { recursive: true });
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
        hint: 'Give another folder with --out, or the settings of that run to go on with it.',
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
