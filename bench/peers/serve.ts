/** What a contender's process is: it says that it is ready, then answers one JSON line for each on stdin. */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

/** One piece of equal work. Every contender that knows the kind does the same. */
export type Case =
  | { kind: 'tower'; batch: number }
  | { kind: 'linears'; batch: number; variant?: string }
  | { kind: 'files'; count: number }
  | { kind: 'scores'; n: number; c: number; d: number; variant?: string }
  | { kind: 'pixels'; width: number; height: number; variant?: string }
  /** Photos decoded beforehand, and photos decoded and no more. */
  | { kind: 'raw' | 'decode'; count: number }
  /** A square matrix product. */
  | { kind: 'matrix'; side: number };

/** `prepare` builds the case's inputs and warms up; `run` does the work once. */
export interface Request {
  op: 'prepare' | 'run';
  case: Case;
}

export interface Ready {
  ready: {
    /** Name → version of what does the work. */
    versions: Record<string, string>;
    /** Milliseconds to load the model; absent where there is none. */
    loadMs?: number;
  };
}

/** The contender cannot run here: it says what is missing and ends. */
export interface Missing {
  missing: string;
}

export interface Answer {
  /** Of `prepare` for a tower: float [batch, D], unit rows. */
  features?: number[];
  /** Of `run`: the time of one call. */
  ms?: number;
  error?: string;
}

export interface WorkerArgs {
  /** Folder with the model, the ONNX files and the pixels that the suite prepared. */
  files: string;
  precision: string;
  device: string;
  threads: number;
  /** Image files, repeated as often as a case needs. */
  photos: string[];
}

/** One call of the case's work. A tower's gives its features. */
export type Call = () => Promise<ArrayLike<number> | undefined>;

/** Calls before the first that counts. */
const WARM_UP = 2;

function say(message: Ready | Missing | Answer): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

export function workerArgs(): WorkerArgs {
  const text = { type: 'string', default: '' } as const;
  const { values, positionals } = parseArgs({
    options: { files: text, precision: text, device: text, threads: text },
    allowPositionals: true,
  });
  return { ...values, threads: Number(values.threads), photos: positionals };
}

/** Loads a module that is installed for the comparison only; its absence is an answer, not an error. */
export function optionalPeer<T>(name: string): T {
  try {
    return require(name) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    say({ missing: 'not installed' });
    process.exit(0);
  }
}

export function notHere(missing: string): never {
  say({ missing });
  process.exit(0);
}

/** Answers until stdin ends. `make` gives the work of a case. */
export async function serve(ready: Ready['ready'], make: (wanted: Case) => Promise<Call>): Promise<void> {
  const calls = new Map<string, Call>();
  const answer = async ({ op, case: wanted }: Request): Promise<Answer> => {
    const key = JSON.stringify(wanted);
    if (op === 'prepare') {
      const call = await make(wanted);
      calls.set(key, call);
      let features: ArrayLike<number> | undefined;
      for (let i = 0; i < WARM_UP; i++) features = await call();
      return features ? { features: Array.from(features) } : {};
    }
    const call = calls.get(key);
    if (!call) throw new Error(`${key} was not prepared`);
    const start = performance.now();
    await call();
    return { ms: performance.now() - start };
  };
  say({ ready });
  for await (const line of createInterface({ input: process.stdin })) {
    say(await answer(JSON.parse(line) as Request).catch((error: Error) => ({ error: error.message })));
  }
}

/** n items, from the first again when they end. */
export const cycled = <T>(items: readonly T[], n: number): T[] =>
  Array.from({ length: n }, (_, i) => items[i % items.length]!);
