/** What people see: aligned tables, colour where a terminal wants it, one progress line on stderr. */
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** Colours `text` when stdout is a terminal that wants colour. */
export function paint(style: Style, text: string): string {
  return process.stdout.isTTY && process.stdout.hasColors() ? styleText(style, text) : text;
}

/** Rows as columns two spaces apart; cells of a column marked `right` are right-aligned. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string {
  const all = [header, ...rows];
  const widths = header.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [paint('dim', line(header)), ...rows.map(line)].join('\n');
}

/** A progress line on stderr that replaces itself; silent when stderr is not a terminal. */
export class Progress {
  #last = 0;
  #shown = false;

  show(text: string): void {
    if (!process.stderr.isTTY) return;
    const now = Date.now();
    if (now - this.#last < 100) return;
    this.#last = now;
    this.#shown = true;
    process.stderr.write(`\r\x1b[K${text}`);
  }

  /** Removes the line. */
  done(): void {
    if (this.#shown) process.stderr.write('\r\x1b[K');
    this.#shown = false;
    this.#last = 0;
  }
}

export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}
