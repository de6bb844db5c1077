import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../lib/native/engine';
import { choosePlacement } from '../../lib/native/placement';

interface Has {
  cpuBf16?: boolean;
  /** Instructions for bytes. */
  cpuInt8?: boolean;
  /** That products of bytes work, with such instructions or without. */
  runsInt8?: boolean;
}

/** An engine on a CPU that has this. */
const on = ({ cpuBf16 = false, cpuInt8 = false, runsInt8 = cpuInt8 }: Has) =>
  ({
    core: { cpuBf16, cpuInt8 },
    addon: { int8Absence: () => (runsInt8 ? '' : 'products of bytes take too long') },
  }) as unknown as Engine;
const place = (has: Has, precision: 'guarded' | 'int8' | 'auto') => choosePlacement(on(has), 'cpu', precision);

test('guarded takes int8 first where the CPU has it, else bf16, else fp32 alone', async () => {
  const firsts = await Promise.all(
    [{ cpuInt8: true, cpuBf16: true }, { cpuBf16: true }, {}].map((has) => place(has, 'guarded')),
  );
  assert.deepEqual(
    firsts.map(({ precision, first }) => [precision, first]),
    [
      ['fp32', 'int8'],
      ['fp32', 'bf16'],
      ['fp32', null],
    ],
  );
});

test('a CPU that runs int8 without instructions for it has no first tower', async () => {
  const has = { runsInt8: true };
  assert.equal((await place(has, 'int8')).precision, 'int8');
  assert.equal((await place(has, 'guarded')).first, null);
});

test('instructions for int8 that libtorch has no use for are no first tower', async () => {
  const has = { cpuInt8: true, runsInt8: false, cpuBf16: true };
  assert.equal((await place(has, 'guarded')).first, 'bf16');
});

test('int8 is refused on a CPU without it, and auto never takes it', async () => {
  assert.equal((await place({ cpuInt8: true }, 'int8')).precision, 'int8');
  await assert.rejects(place({ cpuBf16: true }, 'int8'), {
    code: 'ERR_CLIPN_INVALID_ARG',
    message: /int8: products of bytes take too long/,
  });
  assert.equal((await place({ cpuInt8: true, cpuBf16: true }, 'auto')).precision, 'bf16');
});
