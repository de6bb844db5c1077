import assert from 'node:assert/strict';
import { test } from 'node:test';
import { styleText } from 'node:util';
import { note, Progress, table } from '../../lib/cli/terminal';

test('a table is aligned by what is seen: colour takes no room', () => {
  const red = styleText('red', 'out', { validateStream: false });
  assert.equal(
    table(
      ['image', 'verdict', 'p'],
      [
        ['cat.jpg', red, '1.0'],
        ['a', 'in', '10.0'],
      ],
      [2],
    ),
    `image    verdict     p\ncat.jpg  ${red}       1.0\na        in       10.0`,
  );
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
