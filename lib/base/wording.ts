/** Words of messages that several rooms need: a near name, the first few of a list. */

/** Letters to add, drop, change or swap with the next, for "did you mean". */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) next[j] = Math.min(next[j]!, before[j - 2]! + 1);
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}

/** ` Did you mean X?`, or nothing when no name is near. */
export function suggestion(word: string, names: readonly string[], prefix = ''): string {
  const [nearest] = names.map((name) => ({ name, d: distance(word, name) })).sort((a, b) => a.d - b.d);
  return nearest && nearest.d <= Math.max(1, Math.floor(word.length / 3))
    ? ` Did you mean ${prefix}${nearest.name}?`
    : '';
}

/** The first five of a list, for messages. */
export function firstFew(names: readonly string[]): string {
  return names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '');
}

/** A share with one decimal, as "5.0 %". */
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const LONGEST_LINE = 160;

/** What would steer a terminal or turn the order of letters, and half a character, is escaped as in JSON; `kept` stays. */
export function printable(text: string, kept = ''): string {
  const escaped = (c: string) => (kept.includes(c) ? c : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return text.replace(/[\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029]/gu, escaped);
}

/** A text of the user's in a message: printable, and cut at a line's length. */
export function oneLine(text: string): string {
  return printable(text.length > LONGEST_LINE ? `${text.slice(0, LONGEST_LINE)}…` : text);
}

const LONGEST_MESSAGE = 480;

/** The text of an error: one line, printable; of a longer one, the middle is left out. */
export function asMessage(text: string): string {
  // Nothing between is looked at: it may be megabytes.
  const ends =
    text.length <= 2 * LONGEST_MESSAGE ? text : text.slice(0, LONGEST_MESSAGE) + text.slice(-LONGEST_MESSAGE);
  const line = printable(ends.trimEnd());
  if (line.length <= LONGEST_MESSAGE) return line;
  const end = LONGEST_MESSAGE / 3;
  return printable(`${line.slice(0, LONGEST_MESSAGE - end - 15)} … ${line.slice(-end)}`);
}
