import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClipnError } from '../../lib';

const messageOf = (text: string) => new ClipnError('ERR_CLIPN_IO', text).message;

test('a message shows what would steer a terminal, and is one line', () => {
  assert.equal(messageOf('no file a\x1b[2J\nb\u202ec\ud83d'), 'no file a\\u001b[2J\\u000ab\\u202ec\\ud83d');
  assert.equal(messageOf('ends with a line\n'), 'ends with a line');
  assert.equal(messageOf('/Bilder/Möwe 🐈.jpg'), '/Bilder/Möwe 🐈.jpg');
});

test('of a long message the middle is left out, however it is cut', () => {
  for (const sign of ['x', '🐈', '\0']) {
    const message = messageOf(`tensor ${sign.repeat(5000)} has no dtype`);
    assert.ok(message.length < 500, `${message.length} characters`);
    assert.match(message, /^tensor .* … .* has no dtype$/);
    assert.ok(!/[\p{Cs}\p{Cc}]/u.test(message), message);
  }
});
