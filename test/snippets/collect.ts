/** The fenced snippets of the documents, and the commands in those for a shell. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { repository } from '../support/paths';

export interface Snippet {
  /** Document, relative to the repository. */
  file: string;
  /** `README.md js 1`: the first of this language in its document. */
  name: string;
  /** All that stands behind the fence: `js`, or `js NAME` for another package's; '' for none. */
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
  const counts = new Map<string, number>();
  const snippets: Snippet[] = [];
  let open: { indent: number; language: string; lines: string[] } | undefined;
  for (const line of readFileSync(path.join(repository, file), 'utf8').split('\n')) {
    const [, indent, language] = /^( *)```(.*)$/.exec(line) ?? [];
    if (open === undefined && language === undefined) continue;
    if (open === undefined) open = { indent: indent!.length, language: language!.trim(), lines: [] };
    else if (language === undefined) open.lines.push(line.slice(Math.min(open.indent, line.search(/\S|$/))));
    else {
      const number = (counts.get(open.language) ?? 0) + 1;
      counts.set(open.language, number);
      const name = `${file} ${open.language || 'plain'} ${number}`;
      snippets.push({ file, name, language: open.language, text: `${open.lines.join('\n')}\n` });
      open = undefined;
    }
  }
  if (open !== undefined) throw new Error(`${file}: a fence is not closed`);
  return snippets;
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
