/** What people see: aligned tables, colour where a terminal wants it, one progress line on stderr. */
import { styleText } from 'node:util';
import { printable } from '../base/wording';

type Style = Parameters<typeof styleText>[0];

/** Colours `text` when stdout is a terminal that wants colour. */
export function paint(style: Style, text: string): string {
  return process.stdout.isTTY && process.stdout.hasColors() ? styleText(style, text) : text;
}

/** Of a table: text, or text in colour. */
export type Cell = string | { text: string; style: Style };

/**
 * Rows as columns two spaces apart; cells of a column marked `right` are right-aligned. Names come from files and users:
 * control characters in cells are escaped.
 */
export function table(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  right: readonly number[] = [],
): string {
  const shown = (cell: Cell) => printable(typeof cell === 'string' ? cell : cell.text);
  const widths = header.map((_, i) => Math.max(...[header, ...rows].map((row) => shown(row[i]!).length)));
  const line = (row: readonly Cell[]) =>
    row
      .map((cell, i) => {
        const text = shown(cell);
        const gap = ' '.repeat(widths[i]! - text.length);
        const painted = typeof cell === 'string' ? text : paint(cell.style, text);
        return right.includes(i) ? gap + painted : painted + gap;
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
    const line = printable(text);
    process.stderr.write(live ? `\r\x1b[K${line}` : `${line}\n`);
  }

  /** Removes the line. */
  done(): void {
    clearLine();
  }
}

/** Lines on stderr, in place of a progress line that stands there. */
export function note(text: string): void {
  clearLine();
  process.stderr.write(`${printable(text, '\n\t')}\n`);
}

/** Says that a folder holds files that are no images. */
export function leftOut(folder: string, count: number): void {
  note(`${folder}: ${count} other file${count === 1 ? ' is' : 's are'} no image and left out`);
}
