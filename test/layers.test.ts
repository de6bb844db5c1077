/** The house of lib/ as CONTRIBUTING.md draws it: which rooms there are, and that imports run one way between them. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { repository } from './support/paths';

interface Room {
  /** A room imports only from rooms with a smaller number. */
  floor: number;
  charter: string;
}

type Sources = ReadonlyMap<string, string>;

/** The picture in CONTRIBUTING.md: a line for each room, `floor  name  charter`; a line without a number is on the same floor. */
function drawnRooms(): Map<string, Room> {
  const contributing = readFileSync(path.join(repository, 'CONTRIBUTING.md'), 'utf8');
  const picture = /## The rooms of lib\/\n[\s\S]*?\n```text\n([\s\S]*?)```/.exec(contributing)?.[1];
  assert.ok(picture, 'CONTRIBUTING.md has no picture under "The rooms of lib/"');
  const rooms = new Map<string, Room>();
  let floor = Number.NaN;
  for (const line of picture.trimEnd().split('\n')) {
    const [, number, name, charter] = /^( *\d+)? +([a-z]+) +(\S.*)$/.exec(line) ?? [];
    assert.ok(name && charter, `CONTRIBUTING.md: no room in the line "${line}"`);
    if (number !== undefined) floor = Number(number);
    rooms.set(name, { floor, charter });
  }
  return rooms;
}

/** lib-relative path → text of each TypeScript file. */
function readSources(): Map<string, string> {
  const lib = path.join(repository, 'lib');
  const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  return new Map(files.sort().map((file) => [file, readFileSync(path.join(lib, file), 'utf8')]));
}

interface Import {
  line: number;
  /** lib-relative path without its ending, or the name of a package. */
  target: string;
}

/** Types count too: a reader follows them as he does values. */
function importsOf(file: string, text: string): Import[] {
  const found: Import[] = [];
  for (const match of text.matchAll(/(?:\bfrom|\bimport|\brequire)\s*\(?\s*'([^']+)'/g)) {
    const [, specifier] = match as unknown as [string, string];
    const target = specifier.startsWith('.')
      ? path.posix.join(path.posix.dirname(file), specifier.replace(/\.js$/, ''))
      : specifier;
    found.push({ line: text.slice(0, match.index).split('\n').length, target });
  }
  return found;
}

const roomOf = (file: string) => (file.includes('/') ? file.slice(0, file.indexOf('/')) : undefined);

/** Each import that does not run down to a lower floor, as `file:line` with the reason. */
function offences(sources: Sources, rooms: ReadonlyMap<string, Room>): string[] {
  const out: string[] = [];
  for (const [file, text] of sources) {
    const own = roomOf(file);
    for (const { line, target } of importsOf(file, text)) {
      const other = roomOf(target);
      if (other === undefined || !rooms.has(other) || other === own) continue;
      const [from, to] = [own === undefined ? undefined : rooms.get(own)!.floor, rooms.get(other)!.floor];
      const allowed = from === undefined ? other !== 'cli' : to < from;
      if (!allowed) out.push(`lib/${file}:${line} imports ${target}: ${own ?? 'index'} is not above ${other}`);
    }
  }
  return out;
}

/** The first circle among files, as `a -> b -> a`; undefined when there is none. */
function circle(sources: Sources): string | undefined {
  const done = new Set<string>();
  const visit = (file: string, way: readonly string[]): string | undefined => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file].join(' -> ');
    if (done.has(file)) return undefined;
    for (const { target } of importsOf(file, sources.get(file)!)) {
      const next = [`${target}.ts`, `${target}/index.ts`].find((each) => sources.has(each));
      const found = next === undefined ? undefined : visit(next, [...way, file]);
      if (found !== undefined) return found;
    }
    done.add(file);
    return undefined;
  };
  for (const file of sources.keys()) {
    const found = visit(file, []);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The sources with a line added at the end of one file, and the number of that line. */
function planted(file: string, added: string): { sources: Sources; line: number } {
  const sources = readSources();
  const text = sources.get(file)!;
  sources.set(file, `${text}${added}\n`);
  return { sources, line: text.split('\n').length };
}

describe('the rooms of lib/', () => {
  const rooms = drawnRooms();

  test('are those that CONTRIBUTING.md draws', () => {
    const entries = readdirSync(path.join(repository, 'lib'), { withFileTypes: true });
    const onDisk = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    assert.deepEqual([...rooms.keys()].sort(), onDisk.sort());
  });

  test('and every file that CONTRIBUTING.md names is on disk', () => {
    const contributing = readFileSync(path.join(repository, 'CONTRIBUTING.md'), 'utf8');
    const named = [...contributing.matchAll(/`((?:lib|binding|cpp|test|docs|scripts|bench)\/[\w./-]+)`/g)];
    const missing = named.map(([, file]) => file!).filter((file) => !existsSync(path.join(repository, file)));
    assert.ok(named.length > 40, 'the walks name their files');
    assert.deepEqual(missing, []);
  });

  test('each say their charter at the head of one file, in the words of CONTRIBUTING.md', () => {
    const sources = readSources();
    for (const [name, { charter }] of rooms) {
      const texts = [...sources].filter(([file]) => roomOf(file) === name).map(([, text]) => text);
      if (texts.length === 0) continue; // data/ holds JSON alone
      const heads = texts
        .map((text) => /^(?:#!.*\n)?\/\*\*\n \* (\w+)\/: (.*)\n/.exec(text))
        .filter((head) => head !== null);
      assert.deepEqual(
        heads.map(([, room, words]) => [room, words]),
        [[name, charter]],
        `lib/${name}/`,
      );
    }
  });

  test('import only from the floors below them', () => {
    assert.deepEqual(offences(readSources(), rooms), []);
  });

  test('and a planted import upwards or sideways is told with its line', () => {
    const up = planted('base/errors.ts', "import { loadModel } from '../model/load';");
    assert.deepEqual(offences(up.sources, rooms), [
      `lib/base/errors.ts:${up.line} imports model/load: base is not above model`,
    ]);
    const sideways = planted('images/decode.ts', "export type { LabelBank } from '../labels/bank';");
    assert.deepEqual(offences(sideways.sources, rooms), [
      `lib/images/decode.ts:${sideways.line} imports labels/bank: images is not above labels`,
    ]);
    const cli = planted('index.ts', "export { table } from './cli/terminal';");
    assert.deepEqual(offences(cli.sources, rooms), [
      `lib/index.ts:${cli.line} imports cli/terminal: index is not above cli`,
    ]);
  });

  test('have no circle among their files, and a planted one is told', () => {
    assert.equal(circle(readSources()), undefined);
    const { sources } = planted('model/detector-host.ts', "import type { Model } from './model';");
    assert.match(circle(sources)!, /model\/model\.ts -> .*model\/detector-host\.ts/);
  });

  test('sharp is imported by images/ alone, node-gyp-build by native/ alone', () => {
    const users = (name: string) =>
      [...readSources()].filter(([file, text]) => importsOf(file, text).some(({ target }) => target === name));
    const roomsOf = (name: string) => new Set(users(name).map(([file]) => roomOf(file)));
    assert.deepEqual([roomsOf('sharp'), roomsOf('node-gyp-build')], [new Set(['images']), new Set(['native'])]);
  });

  test('no verb of the command line imports another', () => {
    const verbs = [...readSources()].filter(([file]) => file.startsWith('cli/commands/'));
    const imported = verbs.flatMap(([file, text]) => importsOf(file, text).map(({ target }) => `${file} -> ${target}`));
    assert.deepEqual(
      imported.filter((each) => each.includes('-> cli/commands/')),
      [],
    );
  });
});
