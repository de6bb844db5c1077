/** What can be said of class names without a model: repeated ones, sentences, plurals, one name in another. */
import { firstFew } from '../base/wording';
import { cleanText } from '../text/clean-text';
import type { LabelFinding } from './label-finding';

/** Names of things have fewer words: of ImageNet's 1000 the longest has five. */
const SENTENCE_WORDS = 6;
const ARTICLE = /^(a|an|the|this|that|these|those|some|my|your) \S/;
const STOP = /[.!?]$/;
const PHOTO = /\b(photo|photograph|picture|image|pic|screenshot|snapshot)s?\b/;

const quoted = (label: string) => JSON.stringify(label);
const wordsOf = (text: string) => text.split(' ');

/** The findings that the texts of the labels give; none of two labels of equal text but `repeated`. */
export function lintNames(labels: readonly string[]): LabelFinding[] {
  const given = new Map<string, string[]>();
  for (const label of labels) {
    const text = cleanText(label);
    given.set(text, [...(given.get(text) ?? []), label]);
  }
  const findings: LabelFinding[] = [];
  for (const [text, same] of given) {
    if (same.length > 1) findings.push(repeated(same));
    const single = photo(text, same[0]!) ?? sentence(text, same[0]!);
    if (single !== undefined) findings.push(single);
  }
  const texts = [...given.keys()];
  for (const text of texts) findings.push(...plurals(text, given), ...containers(text, texts, given));
  return findings;
}

function repeated(same: string[]): LabelFinding {
  const advice = `${firstFew(same.map(quoted))}: one name, given ${same.length} times; leave one.`;
  return { kind: 'repeated', labels: same, value: 1, advice };
}

function sentence(text: string, label: string): LabelFinding | undefined {
  const words = wordsOf(text).length;
  if (words < SENTENCE_WORDS && !ARTICLE.test(text) && !STOP.test(text)) return undefined;
  const advice = `${quoted(label)} is no bare name, and is put into sentences such as "a photo of a …": write the name of the thing alone.`;
  return { kind: 'sentence', labels: [label], value: words, advice };
}

function photo(text: string, label: string): LabelFinding | undefined {
  if (!PHOTO.test(text)) return undefined;
  const advice = `${quoted(label)} speaks of a photo or picture, which every image is: name what it shows.`;
  return { kind: 'photo', labels: [label], value: 1, advice };
}

/** Regular plurals of a name's last word. */
function pluralsOf(text: string): string[] {
  return [`${text}s`, `${text}es`, ...(/[^aeiou]y$/.test(text) ? [`${text.slice(0, -1)}ies`] : [])];
}

function plurals(text: string, given: ReadonlyMap<string, string[]>): LabelFinding[] {
  return pluralsOf(text).flatMap((plural) => {
    const other = given.get(plural);
    if (other === undefined) return [];
    const labels = [given.get(text)![0]!, other[0]!];
    const advice = `${labels.map(quoted).join(' and ')} are one name in singular and plural: leave the singular.`;
    return [{ kind: 'plural' as const, labels, value: 1, advice }];
  });
}

/** Names that hold this one as whole words. */
function containers(text: string, texts: readonly string[], given: ReadonlyMap<string, string[]>): LabelFinding[] {
  return texts
    .filter((other) => other !== text && ` ${other} `.includes(` ${text} `))
    .map((other) => {
      const labels = [given.get(text)![0]!, given.get(other)![0]!];
      const [inner, outer] = labels.map(quoted);
      const advice = `${inner} is in ${outer}: photos of one may be taken for the other; if ${outer} is a kind of ${inner}, leave one of them, else reword one.`;
      return { kind: 'contains', labels, value: 1, advice };
    });
}
