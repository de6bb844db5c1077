/** The fenced snippets of the documents, and the commands in those for a shell. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { repository } from '../support/paths';

export interface Snippet {
  /** Document, relative to the repository. */
  file: string;
  /** `README.md js 1`: the first of this language in its document. */
  name: string;
  /** What stands behind the fence; '' for none. */
  language: string;
  text: string;
}

/** docs/api/ has signatures alone, which are written out of the sources. */
export const DOCUMENTS = [
  'README.md',
  'models/small/README.md',
  'examples/electron/README.md',
  'examples/server/README.md',
  ...readdirSync(path.join(repository, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

export const SNIPPETS: readonly Snippet[] = DOCUMENTS.flatMap(snippetsOf);

function snippetsOf(file: string): Snippet[] {
  const text = readFileSync(path.join(repository, file), 'utf8');
  const counts = new Map<string, number>();
  return [...text.matchAll(/^( *)```(\w*)\n([\s\S]*?)^ *```$/gm)].map(([, indent, language, body]) => {
    const number = (counts.get(language!) ?? 0) + 1;
    counts.set(language!, number);
    const lines = body!.split('\n').map((line) => (line.startsWith(indent!) ? line.slice(indent!.length) : line));
    return { file, name: `${file} ${language || 'plain'} ${number}`, language: language!, text: lines.join('\n') };
  });
}

export interface Line {
  snippet: Snippet;
  /** One command, its continuation lines joined, without its comment. */
  text: string;
}

/** The commands of all snippets for a shell. */
export const LINES: readonly Line[] = SNIPPETS.filter(({ language }) => language === 'sh').flatMap((snippet) =>
  snippet.text
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.replace(/(^|\s+)#.*$/, '').trim())
    .filter((line) => line !== '')
    .map((text) => ({ snippet, text })),
);

/** Whether a command is one of this package's verbs. */
export const isOurs = (line: string): boolean => /^npx clipn-native\s/.test(line);

/** Whether a command only names something for the next ones. */
export const isAssignment = (line: string): boolean => /^\w+=\S*$/.test(line);
