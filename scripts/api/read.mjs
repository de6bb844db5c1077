/**
 * The public names of lib/index.ts with their types and docstrings, as plain data: read with TypeScript's own API, from
 * the sources. Types that are not exported but that a public one is made of come along.
 */
import { join, relative } from 'node:path';
import { SyntaxKind } from 'typescript/unstable/ast';
import { API, NodeBuilderFlags, SymbolFlags } from 'typescript/unstable/sync';
import { root } from '../steps.mjs';

const LIB = join(root, 'lib/');

/**
 * @returns entries in the order of index.ts, then the others as they are met. An entry is { name, exported, kind, doc,
 *   signatures, members, refs, file }: `refs` names the entries that its types name.
 */
export function readApi() {
  const api = new API({ cwd: root });
  try {
    const config = join(root, 'tsconfig.json');
    const project = api.updateSnapshot({ openProjects: [config] }).getProject(config);
    return readProject(project);
  } finally {
    api.close();
  }
}

function readProject({ checker, program }) {
  const index = program.getSourceFile(join(LIB, 'index.ts'));
  const entries = [];
  /** Symbol id → name under which it is public. */
  const names = new Map();
  /** Name in the sources → public name, where they differ. */
  const aliases = new Map();
  const waiting = [];
  const meet = (symbol, name, exported) => {
    names.set(symbol.id, name);
    waiting.push({ symbol, name, exported });
  };
  for (const each of checker.getExportsOfModule(checker.getSymbolAtLocation(index))) {
    const symbol = checker.getAliasedSymbol(each);
    meet(symbol, each.name, true);
    if (symbol.name !== each.name) aliases.set(symbol.name, each.name);
  }
  while (waiting.length > 0) entries.push(readEntry(waiting.shift()));
  return entries;

  function readEntry({ symbol, name, exported }) {
    const [node] = nodesOf(symbol);
    const entry = { name, exported, file: fileOf(node), doc: docOf(symbol), signatures: [], members: [], refs: [] };
    if (node.kind === SyntaxKind.FunctionDeclaration) {
      entry.kind = 'function';
      readSignatures(entry, symbol, name);
    } else if (node.kind === SyntaxKind.TypeAliasDeclaration) {
      entry.kind = 'type';
      entry.members = literalMembers(node.type, entry);
      entry.signatures.push(`type ${name}${parametersOf(node)} = ${typeText(node.type, entry)}`);
    } else {
      entry.kind = node.kind === SyntaxKind.ClassDeclaration ? 'class' : 'interface';
      entry.members = propertiesOf(symbol, node, entry);
    }
    return entry;
  }

  /** The members that a user sees, its own before the inherited ones: none of Node's, none marked @internal. */
  function propertiesOf(owner, ownerNode, entry) {
    const seen = [];
    for (const symbol of checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(owner))) {
      const nodes = nodesOf(symbol).filter((node) => node.name?.kind !== SyntaxKind.PrivateIdentifier);
      if (nodes.length > 0 && !isInternal(symbol)) seen.push({ symbol, nodes, place: placeOf(nodes[0]) });
    }
    const rank = ({ nodes, place }) => (nodes[0].parent === ownerNode ? '' : place);
    seen.sort((a, b) => (rank(a) < rank(b) ? -1 : rank(a) > rank(b) ? 1 : a.place < b.place ? -1 : 1));
    return seen.map(({ symbol, nodes }) => readMember(symbol, nodes, entry));
  }

  /** Sorts as the declarations stand in the sources. */
  function placeOf(node) {
    return `${fileOf(node)} ${String(node.getStart()).padStart(9, '0')}`;
  }

  function readMember(symbol, nodes, entry) {
    const [node] = nodes;
    const name = node.name.getText();
    const optional = (symbol.flags & SymbolFlags.Optional) !== 0;
    const member = { name, optional, doc: docOf(symbol), signatures: [], refs: [], members: [] };
    if (node.kind === SyntaxKind.MethodDeclaration || node.kind === SyntaxKind.MethodSignature) {
      readSignatures(member, symbol, name);
    } else {
      member.members = node.type === undefined ? [] : literalMembers(node.type, member);
      member.type = typeOf(node, member);
    }
    entry.refs.push(...member.refs);
    return member;
  }

  /** Every overload; of an overloaded function not the one that implements them. */
  function readSignatures(entry, symbol, name) {
    const nodes = nodesOf(symbol);
    const visible = nodes.length > 1 ? nodes.filter((node) => node.body === undefined) : nodes;
    for (const node of visible) {
      const parameters = node.parameters.filter(isForUsers).map((each) => {
        const optional = each.questionToken !== undefined || each.initializer !== undefined ? '?' : '';
        const given = each.name.kind === SyntaxKind.Identifier ? each.name.getText() : 'options';
        return `${each.dotDotDotToken ? '...' : ''}${given}${optional}: ${typeOf(each, entry)}`;
      });
      const result = node.type ? typeText(node.type, entry) : 'unknown';
      entry.signatures.push({ name, parameters, result, typeParameters: parametersOf(node) });
    }
  }

  function parametersOf(node) {
    return node.typeParameters?.length > 0 ? `<${node.typeParameters.map((each) => each.getText()).join(', ')}>` : '';
  }

  /** A parameter whose type is marked @internal is for tests. */
  function isForUsers({ type }) {
    if (type?.kind !== SyntaxKind.TypeReference) return true;
    return !isInternal(targetOf(type.typeName));
  }

  /** Of a parameter or property; where none is written, what the compiler infers. */
  function typeOf(node, entry) {
    if (node.type !== undefined) return typeText(node.type, entry);
    return inferred(checker.getTypeAtLocation(node));
  }

  function inferred(type) {
    return checker.typeToString(type, undefined, NodeBuilderFlags.NoTruncation).replaceAll('"', "'");
  }

  /** As it is written, but with the values of lists spelt out; notes the entries that it names. */
  function typeText(node, entry) {
    noteRefs(node, entry);
    if (some(node, (each) => each.kind === SyntaxKind.TypeQuery)) {
      return inferred(checker.getTypeFromTypeNode(node));
    }
    return publicNames(shorten(node), entry);
  }

  /** A type that index.ts exports under another name goes by that. */
  function publicNames(text, entry) {
    let renamed = text;
    for (const [from, to] of aliases) {
      if (entry.refs.includes(to)) renamed = renamed.replaceAll(new RegExp(`\\b${from}\\b`, 'g'), to);
    }
    return renamed;
  }

  /** The source, comments and line breaks left out, each type literal that has members of its own below as `{ … }`. */
  function shorten(node) {
    let text = node.getText();
    const start = node.getStart();
    for (const literal of outermostLiterals(node).reverse()) {
      if (!isDocumented(literal)) continue;
      const from = literal.getStart() - start;
      text = `${text.slice(0, from)}{ … }${text.slice(from + literal.getText().length)}`;
    }
    return text
      .replace(/\/\*\*[\s\S]*?\*\/|\/\/.*/g, '')
      .replace(/\s+/g, ' ')
      .replace(/^\| /, '')
      .trim();
  }

  function isDocumented(literal) {
    return literal.members.some((each) => docOf(symbolOf(each)).text !== '');
  }

  /** The members of the type literals in a type that say something of theirs. */
  function literalMembers(node, entry) {
    return outermostLiterals(node)
      .filter(isDocumented)
      .flatMap((literal) => literal.members.map((each) => readMember(symbolOf(each), [each], entry)));
  }

  function symbolOf(node) {
    return checker.getSymbolAtLocation(node.name);
  }

  function outermostLiterals(node) {
    if (node.kind === SyntaxKind.TypeLiteral) return [node];
    const found = [];
    node.forEachChild((child) => {
      found.push(...outermostLiterals(child));
    });
    return found;
  }

  function noteRefs(node, entry) {
    if (node.kind === SyntaxKind.TypeReference || node.kind === SyntaxKind.ExpressionWithTypeArguments) {
      const symbol = targetOf(node.typeName ?? node.expression);
      if (nodesOf(symbol).length > 0 && (symbol.flags & SymbolFlags.TypeParameter) === 0) {
        if (!names.has(symbol.id)) meet(symbol, symbol.name, false);
        entry.refs.push(names.get(symbol.id));
      }
    }
    node.forEachChild((child) => noteRefs(child, entry));
  }

  /** What a name in a type stands for, through imports. */
  function targetOf(name) {
    const symbol = checker.getSymbolAtLocation(name);
    return (symbol.flags & SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol);
  }

  function some(node, test) {
    if (test(node)) return true;
    let found = false;
    node.forEachChild((child) => {
      found ||= some(child, test);
    });
    return found;
  }

  /** The declarations in lib/. */
  function nodesOf(symbol) {
    return symbol.declarations.filter(({ path }) => path.startsWith(LIB)).map((handle) => handle.resolve());
  }

  function fileOf(node) {
    return relative(root, node.getSourceFile().fileName);
  }

  function docOf(symbol) {
    const tags = symbol.getJsDocTags(checker).map(({ name, text = '' }) => ({ name, text }));
    return { text: symbol.getDocumentationComment(checker), tags };
  }

  function isInternal(symbol) {
    return symbol.getJsDocTags(checker).some(({ name }) => name === 'internal');
  }
}
