/**
 * All that the command line writes: answers on stdout, notes and one progress line on stderr; tables, and colour where a
 * terminal wants it. Names come from files and users: what would steer a terminal or turn the order of letters is escaped.
 */
import { styleText } from 'node:util';
import { printable } from '../base/wording';

type Style = 'dim' | 'green' | 'red' | 'yellow';

/** Colours `text` when stdout is a terminal that wants colour. */
export function paint(style: Style, text: string): string {
  return process.stdout.isTTY && process.stdout.hasColors() ? styleText(style, text) : text;
}

/** Of a table: text, or text in colour. */
export type Cell = string | { text: string; style: Style };

/** Rows as columns two spaces apart; cells of a column marked `right` are right-aligned. */
export function table(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  right: readonly number[] = [],
): string {
  const shown = (cell: Cell) => printable(typeof cell === 'string' ? cell : cell.text);
  const widths = header.map((title, i) =>
    rows.reduce((most, row) => Math.max(most, shown(row[i]!).length), shown(title).length),
  );
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

/** The sequences that `paint` puts around a text. */
const PAINT = new RegExp(`(${'\x1b'}\\[(?:2|22|31|32|33|39)m)`);

/** An answer for people, as lines on stdout. */
export function say(text: string): void {
  const parts = text.split(PAINT);
  const kept = (part: string, i: number) => (i % 2 === 1 && process.stdout.isTTY ? part : printable(part, '\n\t'));
  process.stdout.write(`${parts.map(kept).join('')}\n`);
}

/**
 * An answer for machines, as one line of JSON on stdout, or as more with `indent`: what would steer a terminal is escaped,
 * and the strings are the same when it is parsed.
 */
export function sayJson(value: unknown, indent?: number): void {
  // Outside of strings JSON has only characters that are left as they are, and line feeds.
  process.stdout.write(`${printable(JSON.stringify(value, null, indent), '\n')}\n`);
}

/** Resolves when what was said is written, or cannot be: into a pipe that takes a while. */
export function allSaid(): Promise<void> {
  return new Promise((resolve) => {
    // The stream tells its 'error' listeners after this callback.
    process.stdout.write('', () => setImmediate(resolve));
  });
}

/** Whether stderr is a terminal that takes a line which replaces itself. */
function isLive(): boolean {
  const { TERM, NO_COLOR } = process.env;
  return process.stderr.isTTY === true && TERM !== 'dumb' && !NO_COLOR;
}

/** Whether a progress line stands on the terminal; there is one terminal, whoever writes to it. */
let lineShown = false;

function clearLine(): void {
  if (lineShown) process.stderr.write('\r\x1b[K');
  lineShown = false;
}

/**
 * A progress line on stderr that replaces itself; where stderr is no terminal (a log), or one that wants plain text
 * (NO_COLOR, TERM=dumb), a line every ten seconds.
 */
export class Progress {
  #last = isLive() ? 0 : Date.now();

  show(text: string): void {
    const now = Date.now();
    const live = isLive();
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
