/**
 * What the CLIP tokenizers do to a text before it is split (spec 1.7): ftfy's `fix_text`, `html.unescape` twice, white
 * space collapsed, lower-cased. ftfy's repair of mojibake (`fix_encoding`) is left out: text that was decoded with the
 * wrong encoding stays as it is.
 */
import { decode as decodeNamedReference } from 'he';

/** Bytes 0x80-0x9F as browsers read them: windows-1252, its five holes left as control characters (HTML 13.2.5.80). */
const C1_AS_WINDOWS_1252 =
  '\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f' +
  '\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178';

/** The digraphs ftfy takes apart; æ and œ are letters and stay. */
const LATIN_LIGATURES: Readonly<Record<string, string>> = {
  Ĳ: 'IJ',
  ĳ: 'ij',
  ŉ: 'ʼn',
  Ǳ: 'DZ',
  ǲ: 'Dz',
  ǳ: 'dz',
  Ǆ: 'DŽ',
  ǅ: 'Dž',
  ǆ: 'dž',
  Ǉ: 'LJ',
  ǈ: 'Lj',
  ǉ: 'lj',
  Ǌ: 'NJ',
  ǋ: 'Nj',
  ǌ: 'nj',
  ﬀ: 'ff',
  ﬁ: 'fi',
  ﬂ: 'fl',
  ﬃ: 'ffi',
  ﬄ: 'ffl',
  ﬅ: 'ſt',
  ﬆ: 'st',
};
const LATIN_LIGATURE = new RegExp(`[${Object.keys(LATIN_LIGATURES).join('')}]`, 'g');

const C1_CONTROL = /[\u0080-\u009f]/g;
const HALF_OR_FULL_WIDTH = /[\uff01-\uffef]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with one
const TERMINAL_ESCAPE = /\u001b\[[\p{Nd};]*[a-zA-Z]/gu;
// biome-ignore lint/suspicious/noControlCharactersInRegex: removing them is the purpose
const REMOVED_CONTROL = /[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g;
/** What Python's `str.split()` splits at; JavaScript's \s lacks the first and last controls and adds U+FEFF. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: Python counts them as white space
const PYTHON_WHITE_SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

const STRICT_REFERENCE = /&#?[0-9A-Za-z]{1,24};/g;
const REFERENCE = /&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/g;

/** One reference as Python's `html.unescape` reads it: unlike HTML it drops references to control characters. */
function decodeReference(reference: string): string {
  const numeric = /^&#(?:[xX]([0-9a-fA-F]+)|([0-9]+))/.exec(reference);
  if (numeric === null) return decodeNamedReference(reference);
  const point = numeric[1] === undefined ? Number.parseInt(numeric[2]!, 10) : Number.parseInt(numeric[1], 16);
  if (point >= 0x80 && point <= 0x9f) return C1_AS_WINDOWS_1252[point - 0x80]!;
  if (point === 0 || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return '\ufffd';
  const isControl = (point < 0x20 && ![0x09, 0x0a, 0x0c, 0x0d].includes(point)) || point === 0x7f;
  const isNoncharacter = (point >= 0xfdd0 && point <= 0xfdef) || (point & 0xfffe) === 0xfffe;
  return isControl || isNoncharacter ? '' : String.fromCodePoint(point);
}

function unescapeHtml(text: string): string {
  return text.includes('&') ? text.replace(REFERENCE, decodeReference) : text;
}

/** ftfy's cautious reading: only references closed by a semicolon, and names in capitals (`&EACUTE;`). */
function decodeStrictReference(reference: string): string {
  if (reference.startsWith('&#')) {
    const decoded = unescapeHtml(reference);
    return decoded.includes(';') ? reference : decoded;
  }
  // A name that is known only up to some letter before the semicolon leaves that semicolon in the result.
  const whole = (name: string): string | undefined => {
    const decoded = decodeNamedReference(name);
    return decoded.length < name.length && (!decoded.endsWith(';') || name === '&semi;') ? decoded : undefined;
  };
  const decoded = whole(reference);
  if (decoded !== undefined) return decoded;
  if (reference !== reference.toUpperCase() || decodeNamedReference(reference) !== reference) return reference;
  return whole(reference.toLowerCase())?.toUpperCase() ?? reference;
}

/** ftfy's `fix_text` of one line, without `fix_encoding`: its fixers in its order, until nothing changes. */
function fixLine(line: string, decodeReferences: boolean): string {
  let text = line;
  for (;;) {
    const before = text;
    if (decodeReferences) text = text.replace(STRICT_REFERENCE, decodeStrictReference);
    text = text
      .replace(C1_CONTROL, (c) => C1_AS_WINDOWS_1252[c.charCodeAt(0) - 0x80]!)
      .replace(LATIN_LIGATURE, (c) => LATIN_LIGATURES[c]!)
      .replace(HALF_OR_FULL_WIDTH, (c) => c.normalize('NFKC'))
      .replaceAll('\u3000', ' ')
      .replace(/[\u201c-\u201f]/g, '"')
      .replace(/[\u02bc\u2018-\u201b]/g, "'")
      .replace(/\r\n|[\r\u2028\u2029\u0085]/g, '\n')
      .replace(/\p{Surrogate}/gu, '\ufffd')
      .replace(TERMINAL_ESCAPE, '')
      .replace(REMOVED_CONTROL, '')
      .normalize('NFC');
    if (text === before) return text;
  }
}

function fixText(text: string): string {
  // A literal "<" says that the text is HTML, where references stand for themselves: from its line on they are kept.
  let decodeReferences = true;
  return text
    .split('\n')
    .map((line) => {
      decodeReferences &&= !line.includes('<');
      return fixLine(line, decodeReferences);
    })
    .join('\n');
}

/**
 * The text as the tokenizer of CLIP sees it: HTML references decoded, curly quotes straight, Latin ligatures apart,
 * full- and half-width forms at their usual width, terminal escapes and control characters gone, lone surrogates
 * U+FFFD, NFC, one space between words, lower case.
 */
export function cleanText(text: string): string {
  const fixed = /^[ -%'-~]*$/.test(text) ? text : unescapeHtml(unescapeHtml(fixText(text)));
  return fixed.replace(PYTHON_WHITE_SPACE, ' ').replace(/^ | $/g, '').toLowerCase();
}
