import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Command, readArgs, UsageError } from '../../lib/cli/command';

const taking = (operands: Command['operands']): Command => ({
  summary: '',
  usage: '',
  operands,
  flags: { out: { value: 'FILE', doc: '' }, ood: { value: 'NAME=DIR', many: true, doc: '' }, json: { doc: '' } },
  run: () => Promise.resolve(0),
});

describe('operands of a verb', () => {
  const pair = taking({ least: 2, most: 2, missing: 'give two' });
  const some = taking({ least: 1, missing: 'give one' });

  for (const [what, command, given, expected] of [
    ['that takes none', taking('none'), [], []],
    ['that takes any number', taking('any'), [], []],
    ['that takes any number', taking('any'), ['a', 'b', 'c'], ['a', 'b', 'c']],
    ['that takes one or more', some, ['a', 'b', 'c'], ['a', 'b', 'c']],
    ['that takes two', pair, ['a', '--out', 'f', 'b', '--json'], ['a', 'b']],
  ] as const) {
    test(`${what}: [${given.join(' ')}] is read`, () => {
      assert.deepEqual(readArgs(command, given).operands, expected);
    });
  }

  for (const [what, command, given, message] of [
    ['that takes none', taking('none'), ['--json', 'a', 'b'], 'unexpected argument a'],
    ['that takes one or more', some, ['--out', 'f'], 'give one'],
    ['that takes two', pair, ['a'], 'give two'],
    ['that takes two', pair, ['a', 'b', 'c', 'd'], 'unexpected argument c'],
  ] as const) {
    test(`${what}: [${given.join(' ')}] is wrong usage`, () => {
      const told = (error: unknown) => error instanceof UsageError && error.message === message;
      assert.throws(() => readArgs(command, given), told);
    });
  }

  test('are looked at after the flags, so that a mistyped flag is told first', () => {
    assert.throws(() => readArgs(taking('none'), ['a', '--jsno']), /unknown flag --jsno\. Did you mean --json\?/);
  });
});

describe('a flag given more than once', () => {
  test('keeps every value where it may be repeated', () => {
    assert.deepEqual(readArgs(taking('none'), ['--ood', 'a=1', '--ood=b=2']).all('ood'), ['a=1', 'b=2']);
  });

  for (const [given, message] of [
    [['--out', 'a', '--out', 'b'], '--out is given twice'],
    [['--out=a', '--json', '--out', 'a'], '--out is given twice'],
    [['--json', '--json'], '--json is given twice'],
  ] as const) {
    test(`is wrong usage elsewhere, and none of its values is dropped: [${given.join(' ')}]`, () => {
      const told = (error: unknown) => error instanceof UsageError && error.message === message;
      assert.throws(() => readArgs(taking('none'), given), told);
    });
  }
});
