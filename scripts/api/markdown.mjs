/** The entries of `readApi` as Markdown: a page of docs/api/ each, and the index of them. Knows no TypeScript. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../steps.mjs';

const WIDTH = 120;
const SOURCE = '<!-- Written by `npm run docs` out of the docstrings in lib/. Change those. -->';

/**
 * @param pages of pages.mjs
 * @returns Map of file name → text, and what is wrong, a line each
 */
export function writePages(entries, pages) {
  const problems = [];
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const pageOf = placeEntries(entries, pages, byName, problems);
  const link = linker(byName, pageOf);
  for (const entry of entries) checkDocs(entry, problems);

  const texts = new Map([['README.md', indexPage(pages, byName, link)]]);
  for (const page of pages) {
    const own = entries.filter(({ name }) => pageOf.get(name) === page.file);
    const listed = page.names.map((name) => byName.get(name)).filter((entry) => entry !== undefined);
    const others = own.filter((entry) => !listed.includes(entry));
    texts.set(page.file, detailPage(page, [...listed, ...others], link(page.file)));
  }
  for (const [file, text] of texts) {
    for (const [tag] of text.replace(/```[\s\S]*?```|`[^`]*`|<!--.*?-->/g, '').matchAll(/<\/?[a-z][^>]*>/gi)) {
      problems.push(`${file}: ${tag} would be read as HTML: put it into backticks`);
    }
  }
  return { texts, problems };
}

/** Name → page. Types without an export stand where the first type that names them stands. */
function placeEntries(entries, pages, byName, problems) {
  const pageOf = new Map();
  for (const { file, names } of pages) {
    for (const name of names) {
      if (pageOf.has(name)) problems.push(`scripts/api/pages.mjs: ${name} stands on two pages`);
      if (!byName.get(name)?.exported) problems.push(`scripts/api/pages.mjs: ${name} is no public name`);
      pageOf.set(name, file);
    }
  }
  for (const { name, exported } of entries) {
    if (exported && !pageOf.has(name)) problems.push(`${name} is on no page: give it one in scripts/api/pages.mjs`);
  }
  const spread = (name) => {
    for (const ref of byName.get(name).refs) {
      if (pageOf.has(ref)) continue;
      pageOf.set(ref, pageOf.get(name));
      spread(ref);
    }
  };
  for (const name of pages.flatMap((page) => page.names)) if (byName.has(name)) spread(name);
  return pageOf;
}

/** Every name and member says what it is; every option says what holds when it is left out. */
function checkDocs(entry, problems) {
  const look = ({ name, doc, optional, members = [] }, path, isOption) => {
    const where = `${entry.file}: ${path}`;
    if (doc.text === '' && doc.tags.every((tag) => tag.name !== 'returns')) problems.push(`${where} has no docstring`);
    const mayBeSilent = /^(signal$|on[A-Z])/.test(name);
    if (isOption && optional && !mayBeSilent && !/\b(default|absent|without)\b/i.test(doc.text)) {
      problems.push(`${where} does not say its default`);
    }
    for (const member of members) look(member, `${path}.${member.name}`, isOption);
  };
  look(entry, entry.name, /Options$/.test(entry.name));
}

/** `link(file)(name)`: where a name stands, seen from a page; a member as `Model.createDetector`. Undefined for none. */
function linker(byName, pageOf) {
  const methods = new Map();
  for (const entry of byName.values()) {
    for (const { name, signatures } of entry.members) {
      if (signatures.length > 0) methods.set(`${receiver(entry.name)}.${name}`, entry.name);
    }
  }
  return (from) => (name) => {
    const page = pageOf.get(methods.get(name) ?? name);
    if (page === undefined) return undefined;
    return `${page === from ? '' : page}#${anchor(name)}`;
  };
}

const anchor = (heading) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

/** What an example calls an object of a class: `model` for Model, `monitor` for DriftMonitor. */
const receiver = (name) => name.match(/[A-Z][a-z]+$/)[0].toLowerCase();

function indexPage(pages, byName, link) {
  const to = link('README.md');
  const parts = [
    SOURCE,
    '# API reference',
    wrap(
      'Every function, class and type of `clipn-native`, by what people do. For what to use when, begin with the ' +
        "[guides](../README.md). `import { loadModel } from 'clipn-native'` and `require` both work; types come along.",
    ),
    wrap(
      'An option with `?` may be left out, and says what holds then. Whatever goes wrong is a ' +
        '[ClipnError](machine.md#clipnerror) with a code, unless "Throws" says otherwise; all codes are in ' +
        '[errors.md](../errors.md). Where a type says (not exported), it has no name to import: it is met inside of others.',
    ),
  ];
  for (const page of pages) {
    const functions = page.names
      .map((name) => byName.get(name))
      .filter((entry) => entry?.kind === 'function' || entry?.kind === 'class');
    const lines = functions.flatMap((entry) => [
      wrap(`[\`${entry.name}\`](${to(entry.name)}): ${prose(firstSentence(entry.doc.text), to, entry.name)}`, '- '),
      ...entry.members
        .filter(({ signatures, name }) => signatures.length > 0 && entry.kind === 'class' && !name.startsWith('['))
        .map(({ name, doc }) => {
          const full = `${receiver(entry.name)}.${name}`;
          return wrap(`[\`${full}\`](${to(full)}): ${prose(firstSentence(doc.text), to, full)}`, '  - ');
        }),
    ]);
    parts.push(`## [${page.title}](${page.file})`, wrap(page.about), lines.join('\n'));
  }
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function firstSentence(text) {
  return /^[\s\S]*?[.:](?=\s|$)(?<!\b(?:e\.g|i\.e)\.)/.exec(text)?.[0].replace(/:$/, '.') ?? text;
}

function detailPage({ title, about, guides }, entries, to) {
  const guide = guides.map((file) => `[${file}](../${file})`).join(', ');
  const parts = [SOURCE, `# ${title}`, wrap(`${about} Explained in ${guide}; all pages: [API reference](README.md).`)];
  for (const entry of entries) parts.push(...entryParts(entry, to));
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function entryParts(entry, to) {
  const { name, kind, doc, signatures, exported } = entry;
  const parts = [`## ${name}`];
  if (kind === 'function') return [...parts, ...callParts(entry, to, name)];
  if (kind === 'type') parts.push(errorCodes(signatures[0]) ?? fence(alias(signatures[0])));
  const note = exported ? '' : ' (Not exported.)';
  parts.push(describe(doc.text + note, to, name));
  const properties = entry.members.filter((member) => member.signatures.length === 0);
  parts.push(properties.map((member) => memberLine(member, to, '', name)).join('\n'));
  for (const method of entry.members.filter((member) => member.signatures.length > 0)) {
    const full = method.name.startsWith('[') ? `${receiver(name)}${method.name}` : `${receiver(name)}.${method.name}`;
    parts.push(`### ${full}`, ...callParts(method, to, full));
  }
  if (kind === 'type') parts.push(seeAlso(entry.refs, to, name));
  return parts;
}

/** Signatures, what it does, its parameters, what comes back, what is thrown. */
function callParts({ signatures, doc, refs }, to, name) {
  const tags = (wanted) => doc.tags.filter((tag) => tag.name === wanted).map(({ text }) => text);
  return [
    fence(signatures.map(signature).join('\n')),
    describe(doc.text, to, name),
    tags('param')
      .map((text) => {
        const [, parameter, rest] = /^(\S+)\s*-?\s*([\s\S]*)$/.exec(text);
        return wrap(`\`${parameter}\`: ${prose(rest, to, name)}`, '- ');
      })
      .join('\n'),
    ...tags('returns').map((text) => wrap(`Returns ${prose(text, to, name)}`)),
    ...tags('throws').map((text) => wrap(`Throws ${prose(text.replace(/^ClipnError /, ''), to, name)}`)),
    seeAlso(refs, to, name),
  ];
}

function signature({ name, typeParameters, parameters, result }) {
  const line = `${name}${typeParameters}(${parameters.join(', ')}): ${result}`;
  if (line.length <= WIDTH - 10) return line;
  return `${name}${typeParameters}(\n${parameters.map((each) => `  ${each},\n`).join('')}): ${result}`;
}

function alias(text) {
  if (text.length <= WIDTH - 10) return text;
  const equals = text.indexOf(' = ');
  const parts = outerParts(text.slice(equals + 3));
  return `${text.slice(0, equals + 2)}\n${parts.map((part) => `  ${part}`).join('\n')}`;
}

/** A union or intersection cut at its signs, but for those in brackets; each part has the sign before it. */
function outerParts(type) {
  const parts = [''];
  let depth = 0;
  let sign = '';
  for (const word of type.split(' ')) {
    if (depth === 0 && (word === '|' || word === '&')) {
      sign = word;
      parts.push('');
    } else parts[parts.length - 1] += ` ${word}`;
    depth += (word.match(/[<({[]/g) ?? []).length - (word.match(/(?<!=)[>)}\]]/g) ?? []).length;
  }
  return parts.map((part, i) => (i === 0 && sign === '&' ? part.trim() : `${sign}${part}`));
}

/** A list of links for a type that is nothing but error codes. */
function errorCodes(text) {
  const codes = [...text.matchAll(/'([^']*)'/g)].map(([, code]) => code);
  if (codes.length === 0 || codes.some((code) => !code.startsWith('ERR_'))) return undefined;
  return wrap(`One of ${codes.map(errorLink).join(', ')}.`);
}

const fence = (code) => `\`\`\`ts\n${code}\n\`\`\``;

function memberLine({ name, optional, type, doc, members, refs }, to, indent, entry) {
  const shown = optional ? type.replace(/ \| undefined$/, '').replace(/^\((.*)\)$/, '$1') : type;
  const known = [...new Set(refs)].filter((ref) => to(ref) !== undefined);
  const typed = known.length === 1 && known[0] === shown ? `[\`${shown}\`](${to(shown)})` : `\`${shown}\``;
  const links =
    known.length > 0 && !typed.startsWith('[') ? ` (${known.map((ref) => `[${ref}](${to(ref)})`).join(', ')})` : '';
  const head = `**\`${name}${optional ? '?' : ''}\`**: ${typed}${links}. `;
  const [first, ...rest] = blocks(doc.text);
  const lines = [wrap(`${head}${prose(first ?? '', to, entry)}`, `${indent}- `)];
  for (const block of rest)
    lines.push(
      block.startsWith('- ')
        ? wrap(prose(block.slice(2), to, entry), `${indent}  - `)
        : `\n${wrap(prose(block, to, entry), `${indent}  `)}`,
    );
  return [...lines, ...members.map((member) => memberLine(member, to, `${indent}  `, entry))].join('\n');
}

function seeAlso(refs, to, name) {
  const known = [...new Set(refs)].filter((ref) => ref !== name && to(ref) !== undefined);
  return known.length === 0 ? '' : wrap(`Types: ${known.map((ref) => `[${ref}](${to(ref)})`).join(', ')}`);
}

function describe(text, to, name) {
  let previous = '';
  let out = '';
  for (const block of blocks(text)) {
    const item = block.startsWith('- ');
    const gap = out === '' ? '' : item && previous === 'item' ? '\n' : '\n\n';
    out += gap + (item ? wrap(prose(block.slice(2), to, name), '- ') : wrap(prose(block, to, name)));
    previous = item ? 'item' : 'text';
  }
  return out;
}

/** Paragraphs and list items. */
function blocks(text) {
  return text.trim() === '' ? [] : text.trim().split(/\n\s*\n|\n(?=- )/);
}

/** Docstring to Markdown: error codes, sections of the method, other documents and public names become links. */
function prose(text, to, self) {
  return text
    .trim()
    .split(/(`[^`]*`)/)
    .map((part) => (part.startsWith('`') ? linkedCode(part, to, self) : linkedText(part)))
    .join('');
}

function linkedCode(code, to, self) {
  const name = code.slice(1, -1).replace(/\(\)$/, '');
  if (/^ERR_CLIPN_[A-Z_]+[A-Z]$/.test(name)) return errorLink(name);
  // `score` is mostly an option or a field.
  const target = name === self || name === 'score' ? undefined : to(name);
  return target === undefined ? code : `[${code}](${target})`;
}

function linkedText(text) {
  return text
    .replace(/\bdocs\/([a-z-]+\.md)/g, '[$1](../$1)')
    .replace(/\bspec (\d+(?:\.\d+)?)/g, (all, number) => `[${all}](../clipn.md#${SECTIONS.get(number)})`)
    .replace(/\bERR_CLIPN_[A-Z_]+\*/g, (code) => `\`${code}\``)
    .replace(/(?<!`)\bERR_CLIPN_[A-Z_]*[A-Z]\b(?![*`])/g, errorLink);
}

const errorLink = (code) => `[\`${code}\`](../errors.md#${anchor(code)})`;

/** Number of a section of the method → its anchor. */
const SECTIONS = new Map(
  [...readFileSync(join(root, 'docs/clipn.md'), 'utf8').matchAll(/^#+ ((\d+(?:\.\d+)?).*)$/gm)].map(
    ([, heading, number]) => [number, anchor(heading)],
  ),
);

/** One paragraph in lines of at most 120 columns, the later ones indented below the first. Code and links stay whole. */
function wrap(text, lead = '') {
  const indent = ' '.repeat(lead.length);
  const words =
    text
      .replace(/\s+/g, ' ')
      .trim()
      .match(/(?:\[[^\]]*\]\([^)]*\)|`[^`]*`|[^\s])+/g) ?? [];
  const lines = [];
  let line = lead;
  for (const word of words) {
    const starts = line === lead || line === indent;
    // A line that began with one of these would be a list or a heading.
    const mayBegin = !/^(?:[-+*#>]|\d+[.)])$/.test(word);
    if (!starts && mayBegin && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = indent;
    }
    line += (line === lead || line === indent ? '' : ' ') + word;
  }
  return [...lines, line].join('\n');
}
