/** Numbers as people read them; exact ones go into `title` attributes. */
import type { EvalResult } from '../evaluate/result';
import type { Interval } from '../metrics/intervals';

/** A share as a number of per cent, without the sign. */
export const percent = (share: number, digits: number): string => (100 * share).toFixed(digits);

/** "95.9–96.5". */
export const range = ({ low, high }: Interval, digits: number): string =>
  `${percent(low, digits)}–${percent(high, digits)}`;

export const count = (n: number): string => n.toLocaleString('en-US');

/** "1 image", "5,000 images". */
export const counted = (n: number, noun: string, plural = `${noun}s`): string =>
  `${count(n)} ${n === 1 ? noun : plural}`;

/** A score or threshold: four significant digits, no needless zeros. */
export const scoreValue = (value: number): string => String(Number(value.toPrecision(4)));

/** Decimals of a per cent that the data support: two where the narrowest interval is under one percentage point. */
export function digitsOf(result: EvalResult): number {
  const widths = Object.values(result.scores).flatMap(({ sets }) =>
    Object.values(sets).map(({ intervals: { auroc } }) => auroc.high - auroc.low),
  );
  return Math.min(...widths) < 0.01 ? 2 : 1;
}

/** "15 January 2026, 09:30 UTC", or the text itself when it is no date. */
export function dateOf(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const day = date.toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' });
  return `${day}, ${date.toISOString().slice(11, 16)} UTC`;
}

/** Last part of a path of either kind of system. */
export const nameOf = (path: string): string => path.split(/[\\/]/).filter(Boolean).at(-1) ?? path;
