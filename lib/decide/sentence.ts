/** A verdict and what it rests on as one English sentence, for people who never read the paper. Pure. */
import type { Margin } from './margin';
import type { Rule, Verdict } from './rule';

/** What the sentence may say; no more than the numbers do. */
export interface Facts {
  verdict: Verdict;
  rule: Rule;
  /** The nearest label, its share of all labels, and yes against no for it; NaN or null for a plain CLIP. */
  label: string;
  p: number;
  pYes: number | null;
  /** Of rule `atd`: how likely "none of the labels" is, and the likeliest label that says yes to itself. */
  none?: number;
  bestLabel?: number;
  /** Of rule `nearest`, and wherever there are negative words. */
  nearestWord?: string | undefined;
  /** Of the rules with a threshold. `score` may be any name. */
  margin?: (Omit<Margin, 'score' | 'by'> & { score: string }) | undefined;
  /** Why the verdict means little, as "the image is tiny". */
  remark?: string | undefined;
}

const NONE = 'none of your classes';

export function sentenceOf(facts: Facts): string {
  const { label, p, pYes, verdict, remark, nearestWord, rule } = facts;
  const known = pYes === null || Number.isNaN(pYes) ? `p ${percent(p)}` : `p_yes ${percent(pYes)}`;
  const reason = reasonOf(facts);
  const among = rule === 'nearest' && verdict === 'out' ? ' among your classes' : '';
  const link = verdict === 'in' ? ', and' : ', but';
  const word = nearestWord === undefined || rule === 'nearest' ? '' : ` (nearest word: “${nearestWord}”)`;
  const rejected = rule === 'atd' ? word : `: ${NONE}${word}`;
  const end = verdict === 'out' ? rejected : verdict === 'review' ? ': a person should look' : '';
  const doubt = remark === undefined ? '' : ` (${upper(remark)}, so this means little.)`;
  return `Looks most like “${label}”${among} (${known})${link} ${reason}${end}.${doubt}`;
}

function reasonOf({ rule, verdict, none, bestLabel, nearestWord, margin }: Facts): string {
  const accepted = verdict === 'in';
  switch (rule) {
    case 'ctw':
      return accepted ? 'yes is at least as likely as no' : 'no is likelier than yes';
    case 'atd': {
      const [best, other] = percents(bestLabel ?? Number.NaN, none ?? Number.NaN);
      return accepted
        ? `your best class (${best}) is at least as likely as none of them (${other})`
        : `“${NONE}” (${other}) is likelier than the best of them (${best})`;
    }
    case 'nearest':
      return accepted
        ? `no other word is nearer (the nearest is “${nearestWord}”)`
        : `the word “${nearestWord}” is nearer`;
    case 'threshold':
    case 'calibrated':
      return thresholdReason(margin!, verdict);
  }
}

function thresholdReason({ score, value, threshold, outBelow, rank }: NonNullable<Facts['margin']>, verdict: Verdict) {
  if (verdict === 'review') {
    const [low, at, high] = numbers(outBelow ?? threshold, value, threshold);
    return `its score (${score} ${at}) lies between your two thresholds, ${low} and ${high}`;
  }
  const limit = verdict === 'out' ? (outBelow ?? threshold) : threshold;
  const [at, edge] = numbers(value, limit);
  const scored = verdict === 'in' ? `its score (${score} ${at}) reaches the threshold of ${edge}` : '';
  if (verdict === 'in') return rank === undefined ? scored : `${scored}: ${ranked(rank.lower, rank.images, 'lower')}`;
  const below = `its score (${score} ${at}) is below the threshold of ${edge}`;
  return rank === undefined ? below : `${ranked(rank.higher, rank.images, 'higher')}, and ${below}`;
}

/** As "97 % of your 200 calibration images score higher". */
function ranked(count: number, images: number, how: 'lower' | 'higher'): string {
  if (count === 0) return `none of your ${images} calibration images scores ${how}`;
  if (count === images) return `all of your ${images} calibration images score ${how}`;
  return `${percent(count / images)} of your ${images} calibration images score ${how}`;
}

/** A share without decimals. 0 % and 100 % are said of nothing and all alone. */
function percent(share: number, decimals = 0): string {
  const least = 10 ** -decimals;
  const value = 100 * share;
  if (value > 0 && value < least) return `under ${least} %`;
  if (value < 100 && value > 100 - least) return `over ${100 - least} %`;
  return `${value.toFixed(decimals)} %`;
}

/** With as many decimals as tell the two apart. */
function percents(a: number, b: number): [string, string] {
  for (const decimals of [0, 1, 2, 3]) {
    const [one, other] = [percent(a, decimals), percent(b, decimals)];
    if (one !== other || a === b) return [one, other];
  }
  return [percent(a, 4), percent(b, 4)];
}

/** With as many digits, three at least, as tell them apart, and from 1: a score of 0.9999 is not 1. */
function numbers<T extends readonly number[]>(...values: T): { [K in keyof T]: string } {
  const different = new Set([...values, 1]).size;
  let digits = 3;
  const shown = () => values.map((value) => String(Number(value.toPrecision(digits))));
  while (digits < 17 && new Set([...shown(), '1']).size < different) digits++;
  return shown() as { [K in keyof T]: string };
}

const upper = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
