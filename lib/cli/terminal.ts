/** What people see: aligned tables, colour where a terminal wants it, one progress line on stderr. */
import { stripVTControlCharacters, styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** Colours `text` when stdout is a terminal that wants colour. */
export function paint(style: Style, text: string): string {
  return process.stdout.isTTY && process.stdout.hasColors() ? styleText(style, text) : text;
}

/** Rows as columns two spaces apart; cells of a column marked `right` are right-aligned. Cells may be painted. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string {
  const all = [header, ...rows];
  const width = (cell: string) => stripVTControlCharacters(cell).length;
  const widths = header.map((_, i) => Math.max(...all.map((row) => width(row[i]!))));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => {
        const gap = ' '.repeat(widths[i]! - width(cell));
        return right.includes(i) ? gap + cell : cell + gap;
      })
      .join('  ')
      .trimEnd();
  return [paint('dim', line(header)), ...rows.map(line)].join('\n');
}

/** Whether a progress line stands on the terminal; there is one terminal, whoever writes to it. */
let lineShown = false;

function clearLine(): void {
  if (lineShown) process.stderr.write('\r\x1b[K');
  lineShown = false;
}

/** A progress line on stderr that replaces itself; where stderr is no terminal (a log), a line every ten seconds. */
export class Progress {
  #last = process.stderr.isTTY ? 0 : Date.now();

  show(text: string): void {
    const now = Date.now();
    const live = process.stderr.isTTY;
    if (now - this.#last < (live ? 100 : 10_000)) return;
    this.#last = now;
    lineShown = live;
    process.stderr.write(live ? `\r\x1b[K${text}` : `${text}\n`);
  }

  /** Removes the line. */
  done(): void {
    clearLine();
  }
}

/** A line on stderr, in place of a progress line that stands there. */
export function note(text: string): void {
  clearLine();
  process.stderr.write(`${text}\n`);
}
