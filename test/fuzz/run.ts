/**
 * Runs a target: file after file is damaged and read. A reader gives back a value, the same when it reads again, or throws a
 * ClipnError of a code of its own with a message of one line, within time and memory.
 */
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { crc32 } from 'node:zlib';
import { ClipnError, type ClipnErrorCode } from '../../lib/base/errors';
import { Draw } from './mutate';

/** A reader, and how to make input for it. */
export interface Target {
  name: string;
  /** Makes the valid files that damage starts from, in a folder of its own, and gives what makes an input of them. */
  prepare(folder: string): Promise<(draw: Draw) => Buffer>;
  /** Reads the file; what it gives back is compared with that of a second reading. */
  read(file: string, draw: Draw): Promise<unknown>;
  /** Of the file, where that matters. */
  extension?: string;
}

/** What is wrong, and with which execution: `--only NAME --seed SEED --first RUN --runs 1` repeats it. */
export interface Finding {
  run: number;
  what: string;
}

export interface Outcome {
  findings: Finding[];
  /** How many inputs were accepted, and refused with each code. */
  counts: Record<string, number>;
}

/** Of processor time, which a busy computer does not lengthen; whoever waits for nothing is ended by `main.ts`. */
const MOST_MS = 5000;
/** Of the whole process. */
const MOST_RSS_KB = 1 << 20;
const MOST_MESSAGE = 500;
/** What no file may end in: they tell of this package, or of the caller. */
const NOT_OF_A_FILE: readonly ClipnErrorCode[] = ['ERR_CLIPN_INTERNAL', 'ERR_CLIPN_OUT_OF_MEMORY'];

export interface RunOptions {
  seed: number;
  first: number;
  runs: number;
  folder: string;
  /** Told before each execution. */
  onRun?: (run: number) => void;
}

export async function runTarget(target: Target, { seed, first, runs, folder, onRun }: RunOptions): Promise<Outcome> {
  const makeInput = await target.prepare(folder);
  const file = path.join(folder, `input${target.extension ?? ''}`);
  const findings: Finding[] = [];
  const counts: Record<string, number> = {};
  for (let run = first; run < first + runs; run++) {
    onRun?.(run);
    const drawn = crc32(`${seed} ${target.name} ${run}`);
    writeFileSync(file, makeInput(new Draw(drawn)));
    const started = process.cpuUsage();
    const before = process.resourceUsage().maxRSS;
    const { ended, wrong } = await judged(() => target.read(file, new Draw(drawn + 1)));
    counts[ended] = (counts[ended] ?? 0) + 1;
    const { user, system } = process.cpuUsage(started);
    const took = (user + system) / 1000;
    const { maxRSS } = process.resourceUsage();
    const all = [
      ...wrong,
      ...(took > MOST_MS ? [`took ${Math.round(took)} ms of processor time`] : []),
      ...(maxRSS > MOST_RSS_KB && before <= MOST_RSS_KB ? [`took memory up to ${maxRSS >> 10} MB`] : []),
    ];
    for (const what of all) findings.push({ run, what });
  }
  rmSync(file, { force: true });
  return { findings, counts };
}

/** How a reading ended, in a word, and what of it is wrong. */
async function judged(read: () => Promise<unknown>): Promise<{ ended: string; wrong: string[] }> {
  let value: unknown;
  try {
    value = await read();
  } catch (error) {
    return refusal(error);
  }
  try {
    if (isDeepStrictEqual(await read(), value)) return { ended: 'accepted', wrong: [] };
    return { ended: 'accepted', wrong: ['a second reading gave something else'] };
  } catch (error) {
    return { ended: 'accepted', wrong: [`a second reading threw ${String(error)}`] };
  }
}

function refusal(error: unknown): { ended: string; wrong: string[] } {
  if (!(error instanceof ClipnError)) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { ended: 'uncoded', wrong: [`uncoded: ${text.slice(0, 600)}`] };
  }
  const { code, message } = error;
  return {
    ended: code,
    wrong: [
      ...(NOT_OF_A_FILE.includes(code) ? [`${code}: ${message}`] : []),
      ...(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u.test(message) ? [`not one line: ${JSON.stringify(message)}`] : []),
      ...(message.length >= MOST_MESSAGE
        ? [`a message of ${message.length} characters: ${message.slice(0, 200)}`]
        : []),
    ],
  };
}
