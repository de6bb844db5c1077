import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cleanText } from '../../lib/text/clean-text';
import { goldenFile } from '../support/paths';

interface Golden {
  cases: { text: string; clean: string }[];
}
const golden = JSON.parse(readFileSync(goldenFile('clean-text.json'), 'utf8')) as Golden;

test('cleanText equals ftfy and open_clip on stored random strings', () => {
  assert.ok(golden.cases.length >= 400);
  for (const { text, clean } of golden.cases) assert.equal(cleanText(text), clean, JSON.stringify(text));
});

// Expected values: Python's html.unescape, str.lower and ftfy 6.3.1, run by hand.
const known: [string, string, string][] = [
  ['decodes references twice over', '&amp;amp;lt;b&amp;amp;gt;', '<b>'],
  ['decodes references without a semicolon, as browsers do', '&copy2 &notit; &ampx', '©2 ¬it; &x'],
  ['drops references to control characters', 'a&#1;b&#x7f;c&#xfffe;d', 'abcd'],
  ['reads references to C1 controls as windows-1252', '&#128;&#x92;s', "€'s"],
  ['decodes names in capitals', 'P&EACUTE;REZ', 'pérez'],
  ['keeps references apart from a literal <, then unescapes them all the same', '< &eacute; &EACUTE;', '< é &eacute;'],
  ['straightens curly quotes', '“it’s” ‘so’ ʼn', "\"it's\" 'so' 'n"],
  ['takes Latin ligatures apart', 'ﬂuﬃeﬆ Ĳ æ', 'fluffiest ij æ'],
  ['gives full- and half-width forms their usual width', 'ＬＯＵＤ　ＮＯＩＳＥＳ ﾀｰﾝ', 'loud noises ターン'],
  ['removes terminal escapes, controls and byte order marks', '\ufeff\u001b[36;44mblue\u001b[0m\u0000', 'blue'],
  ['makes one space of every run of white space', ' a\r\n\tb\u2028c\u00a0\u3000d\u001ce ', 'a b c de'],
  ['replaces lone surrogates', 'a\ud800b \ud83d\ude00', 'a\ufffdb 😀'],
  ['composes to NFC', 'cafe\u0301', 'café'],
  ['lower-cases final sigma and dotted I as Python does', 'ΟΔΟΣ ΣΑΣ İ', 'οδος σας i̇'],
];
for (const [what, text, expected] of known) {
  test(`cleanText ${what}`, () => {
    assert.equal(cleanText(text), expected);
  });
}

test('cleanText leaves mojibake alone', () => {
  assert.equal(cleanText('cafÃ©'), 'cafã©');
});
