/** What a command-line verb is, and how its flags are read, explained and refused. Flags are data; node:util parses. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { suggestion } from '../base/wording';

export interface Flag {
  /** What follows the flag in the help, e.g. `FILE`; without it the flag is a switch. */
  value?: string;
  /** Allowed values. */
  choices?: readonly string[];
  /** Read as a number. */
  number?: boolean;
  /** May be given more than once; read with `all`. */
  many?: boolean;
  doc: string;
}

/** How many operands a verb takes: the words of a call that belong to no flag. */
export interface Operands {
  least: number;
  /** Any number when absent. */
  most?: number;
  /** Said when there are too few. */
  missing: string;
}

export interface Command {
  summary: string;
  /** What follows the verb, e.g. `IMAGE... --model M`. */
  usage: string;
  operands: 'none' | 'any' | Operands;
  flags: Record<string, Flag>;
  /** Returns the exit code: 0 done, 1 failure, 3 gate not met. `signal` is Ctrl-C. */
  run(args: Args, signal: AbortSignal): Promise<number>;
}

/** Wrong usage: told with the verb's usage line, exit code 2. */
export class UsageError extends Error {}

/** The flags and operands of one call, checked against the verb's table. */
export class Args {
  constructor(
    private readonly values: Record<string, string | boolean | readonly (string | boolean)[] | undefined>,
    readonly operands: readonly string[],
  ) {}

  text(flag: string): string | undefined {
    const value = this.values[flag];
    return typeof value === 'string' ? value : undefined;
  }

  /** Every value of a flag that may be repeated, in order. */
  all(flag: string): string[] {
    const values = this.values[flag];
    return Array.isArray(values) ? values.filter((value) => typeof value === 'string') : [];
  }

  required(flag: string): string {
    const value = this.text(flag);
    if (value === undefined) throw new UsageError(`--${flag} is missing`);
    return value;
  }

  number(flag: string): number | undefined {
    const value = this.text(flag);
    return value === undefined ? undefined : Number(value);
  }

  on(flag: string): boolean {
    return this.values[flag] === true;
  }

  /** Whether it was given, with a value or as a switch. */
  has(flag: string): boolean {
    return this.values[flag] !== undefined;
  }
}

/** @throws UsageError for an unknown or repeated flag, a missing or refused value, and for too few or too many operands */
export function readArgs(command: Command, argv: readonly string[]): Args {
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const [name, flag] of Object.entries(command.flags)) {
    options[name] = { type: flag.value ? 'string' : 'boolean', multiple: flag.many ?? false };
  }
  const { values, positionals, tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const seen = new Set<string>();
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const flag = Object.hasOwn(command.flags, token.name) ? command.flags[token.name] : undefined;
    if (!flag) {
      const word = argv[token.index]!;
      if (!word.startsWith('--')) throw new UsageError(`unknown flag ${word}; a file of that name is ./${word}`);
      throw new UsageError(`unknown flag ${token.rawName}.${suggestion(token.name, Object.keys(command.flags), '--')}`);
    }
    if (flag.value && token.value === undefined) throw new UsageError(`--${token.name} needs a value: ${flag.value}`);
    if (!flag.value && token.value !== undefined) throw new UsageError(`--${token.name} takes no value`);
    if (flag.choices && !flag.choices.includes(token.value!)) {
      const hint = suggestion(token.value!, flag.choices);
      throw new UsageError(`--${token.name} must be one of ${flag.choices.join(', ')}, not ${token.value}.${hint}`);
    }
    if (flag.number && (token.value!.trim() === '' || !Number.isFinite(Number(token.value)))) {
      throw new UsageError(`--${token.name} must be a number, not ${token.value}`);
    }
    // The parser keeps the last value alone.
    if (!flag.many && seen.has(token.name)) throw new UsageError(`--${token.name} is given twice`);
    seen.add(token.name);
  }
  checkOperands(command.operands, positionals);
  return new Args(values, positionals);
}

function checkOperands(taken: Command['operands'], given: readonly string[]): void {
  if (taken === 'any') return;
  if (taken !== 'none' && given.length < taken.least) throw new UsageError(taken.missing);
  const most = taken === 'none' ? 0 : taken.most;
  if (most !== undefined && given.length > most) throw new UsageError(`unexpected argument ${given[most]}`);
}

/** The help text of one verb. */
export function helpOf(name: string, command: Command): string {
  const rows = Object.entries(command.flags).map(([flag, { value, doc, choices }]) => {
    const left = `--${flag}${value ? ` ${value}` : ''}`;
    return [left, choices ? `${doc} (${choices.join(', ')})` : doc] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = rows.map(([left, doc]) => `  ${left.padEnd(width)}  ${doc}`);
  const parts = [`clipn-native ${name} ${command.usage}`.trim(), command.summary, lines.join('\n')];
  return parts.filter(Boolean).join('\n\n');
}
