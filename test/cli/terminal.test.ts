import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cell, note, Progress, table } from '../../lib/cli/terminal';

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

const HOSTILE = 'a\x1b[2Jb\nc\u009bd\u202ee.jpg';
const HARMLESS = 'a\\u001b[2Jb\\u000ac\\u009bd\\u202ee.jpg';

test('control characters of names reach no terminal: tables, progress and notes escape them', (t) => {
  assert.equal(table(['image'], [[HOSTILE]]), `image\n${HARMLESS}`);
  const written: string[] = [];
  t.mock.method(process.stderr, 'write', (text: string) => written.push(text));
  const isTTY = process.stderr.isTTY;
  process.stderr.isTTY = true;
  try {
    new Progress().show(HOSTILE);
    note(`no file at ${HOSTILE}`);
  } finally {
    process.stderr.isTTY = isTTY;
    t.mock.restoreAll();
  }
  assert.equal(written[0], `\r\x1b[K${HARMLESS}`);
  assert.equal(written.at(-1), `no file at ${HARMLESS.replace('\\u000a', '\n')}\n`);
});

test('progress in a log is a line every ten seconds, not a line per step', (t) => {
  t.mock.timers.enable({ apis: ['Date'] });
  const written: string[] = [];
  t.mock.method(process.stderr, 'write', (text: string) => written.push(text));
  const isTTY = process.stderr.isTTY;
  process.stderr.isTTY = false;
  try {
    const progress = new Progress();
    for (let second = 1; second <= 25; second++) {
      t.mock.timers.tick(1000);
      progress.show(`${second} s`);
    }
    progress.done();
  } finally {
    process.stderr.isTTY = isTTY;
    t.mock.restoreAll();
  }
  assert.deepEqual(written, ['10 s\n', '20 s\n']);
});

test('a note on a terminal takes the place of the progress line, whoever writes it', (t) => {
  const written: string[] = [];
  t.mock.method(process.stderr, 'write', (text: string) => written.push(text));
  const isTTY = process.stderr.isTTY;
  process.stderr.isTTY = true;
  try {
    const progress = new Progress();
    progress.show('12 of 100 images');
    note('ERR_CLIPN_CLOSED: the model is closed');
    progress.done();
  } finally {
    process.stderr.isTTY = isTTY;
    t.mock.restoreAll();
  }
  assert.deepEqual(written, ['\r\x1b[K12 of 100 images', '\r\x1b[K', 'ERR_CLIPN_CLOSED: the model is closed\n']);
});
