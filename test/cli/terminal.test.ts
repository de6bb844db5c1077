import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type Cell, note, Progress, say, sayJson, table } from '../../lib/cli/terminal';
import { repository } from '../support/paths';

test('a table is aligned by what is seen: colour takes no room', (t) => {
  const { isTTY, hasColors } = process.stdout;
  Object.assign(process.stdout, { isTTY: true, hasColors: () => true });
  t.after(() => Object.assign(process.stdout, { isTTY, hasColors }));
  const rows: Cell[][] = [
    ['cat.jpg', { text: 'out', style: 'red' }, '1.0'],
    ['a', 'in', '10.0'],
  ];
  assert.equal(
    table(['image', 'verdict', 'p'], rows, [2]),
    '\x1b[2mimage    verdict     p\x1b[22m\ncat.jpg  \x1b[31mout\x1b[39m       1.0\na        in       10.0',
  );
});

test('a table has as many rows as there are, more than a call takes arguments too', () => {
  const rows = Array.from({ length: 200_000 }, (_, i): Cell[] => [`${i}.jpg`]);
  assert.equal(table(['image'], rows).split('\n').length, 200_001);
});

/** What is written to stderr while `use` runs; a terminal is one that takes a line which replaces itself, unless `env` says no. */
function noted(t: TestContext, use: () => void, terminal: boolean, env: NodeJS.ProcessEnv = {}): string[] {
  const written: string[] = [];
  const write = t.mock.method(process.stderr, 'write', (text: string) => written.push(text) > 0);
  const { isTTY } = process.stderr;
  const before = process.env;
  process.stderr.isTTY = terminal;
  process.env = { ...before, TERM: 'xterm', NO_COLOR: '', ...env };
  try {
    use();
  } finally {
    write.mock.restore();
    process.stderr.isTTY = isTTY;
    process.env = before;
  }
  return written;
}

const HOSTILE = 'a\x1b[2Jb\nc\u009bd\u202ee.jpg';
const HARMLESS = 'a\\u001b[2Jb\\u000ac\\u009bd\\u202ee.jpg';

test('control characters of names reach no terminal: tables, progress and notes escape them', (t) => {
  assert.equal(table(['image'], [[HOSTILE]]), `image\n${HARMLESS}`);
  const hostile = () => {
    new Progress().show(HOSTILE);
    note(`no file at ${HOSTILE}`);
  };
  const written = noted(t, hostile, true);
  assert.equal(written[0], `\r\x1b[K${HARMLESS}`);
  assert.equal(written.at(-1), `no file at ${HARMLESS.replace('\\u000a', '\n')}\n`);
});

test('progress in a log is a line every ten seconds, not a line per step', (t) => {
  t.mock.timers.enable({ apis: ['Date'] });
  assert.deepEqual(
    noted(t, () => seconds(t, 25), false),
    ['10 s\n', '20 s\n'],
  );
});

/** Shows progress every second. */
function seconds(t: TestContext, count: number): void {
  const progress = new Progress();
  for (let second = 1; second <= count; second++) {
    t.mock.timers.tick(1000);
    progress.show(`${second} s`);
  }
  progress.done();
}

test('a note on a terminal takes the place of the progress line, whoever writes it', (t) => {
  const work = () => {
    const progress = new Progress();
    progress.show('12 of 100 images');
    note('ERR_CLIPN_CLOSED: the model is closed');
    progress.done();
  };
  const expected = ['\r\x1b[K12 of 100 images', '\r\x1b[K', 'ERR_CLIPN_CLOSED: the model is closed\n'];
  assert.deepEqual(noted(t, work, true), expected);
});

/** What is written to stdout while `use` runs. */
function said(t: TestContext, use: () => void, terminal: boolean): string {
  const written: string[] = [];
  const { isTTY, hasColors } = process.stdout;
  Object.assign(process.stdout, { isTTY: terminal, hasColors: () => terminal });
  const write = t.mock.method(process.stdout, 'write', (text: string) => written.push(text) > 0);
  try {
    use();
  } finally {
    write.mock.restore();
    Object.assign(process.stdout, { isTTY, hasColors });
  }
  return written.join('');
}

describe('on stdout', () => {
  // DEL, C1, Arabic letter mark, the marks, embeddings, isolates and separators of Unicode (UAX 9; General Category Zl, Zp)
  const STEERING = [
    0x7f, 0x80, 0x85, 0x9b, 0x9f, 0x61c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d,
  ].concat([0x202e, 0x2066, 0x2067, 0x2068, 0x2069, 0x00, 0x07, 0x0d, 0x1b]);

  test('a line of JSON escapes every character that steers a terminal, and is the same string when it is parsed', (t) => {
    const name = `cat${String.fromCharCode(...STEERING)}"\\.jpg`;
    const line = said(t, () => sayJson({ image: name, [name]: [1] }), true);
    assert.match(line, /^[\x20-\x7e]+\n$/);
    assert.deepEqual(JSON.parse(line), { image: name, [name]: [1] });
  });

  test('so does an answer for people', (t) => {
    const name = `cat${String.fromCharCode(...STEERING)}.jpg`;
    const escapes = STEERING.map((code) => `\\u${code.toString(16).padStart(4, '0')}`).join('');
    for (const terminal of [true, false]) {
      assert.equal(
        said(t, () => say(`in ${name}\nnext`), terminal),
        `in cat${escapes}.jpg\nnext\n`,
      );
    }
  });

  test('colour of a table survives on a terminal, and a sequence of a name does not', (t) => {
    const cells: Cell[][] = [['\x1b[31mred', { text: 'out', style: 'red' }]];
    const answer = () => say(table(['image', 'verdict'], cells));
    assert.equal(said(t, answer, true).split('\n')[1], '\\u001b[31mred  \x1b[31mout\x1b[39m');
    assert.equal(said(t, answer, false).split('\n')[1], '\\u001b[31mred  out');
  });

  test('nothing is written but by say and sayJson', () => {
    const folder = path.join(repository, 'lib');
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
      (file) => file.endsWith('.ts') && !file.startsWith('data/') && file !== 'cli/terminal.ts',
    );
    const writing = files.filter((file) =>
      /console\.(log|error|warn|info)|(stdout|stderr)\.write|writeSync\([12],/.test(
        readFileSync(path.join(folder, file), 'utf8').replace(/^ *\*.*$|\/\/.*$/gm, ''),
      ),
    );
    assert.ok(files.length > 100);
    assert.deepEqual(writing, []);
  });
});

describe('a progress line is plain, with no carriage return,', () => {
  for (const [what, env] of [
    ['where NO_COLOR is set', { NO_COLOR: '1' }],
    ['where the terminal is dumb', { TERM: 'dumb' }],
  ] as const) {
    test(what, (t) => {
      t.mock.timers.enable({ apis: ['Date'] });
      assert.deepEqual(
        noted(t, () => seconds(t, 10), true, env),
        ['10 s\n'],
      );
    });
  }
});
