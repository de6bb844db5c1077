import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../lib/native/engine';
import { choosePlacement } from '../../lib/native/placement';

interface Has {
  cpuBf16?: boolean;
  cpuInt8?: boolean;
}

/** An engine on a CPU that has this. */
const on = ({ cpuBf16 = false, cpuInt8 = false }: Has) =>
  ({
    core: { cpuBf16 },
    addon: { int8Absence: () => (cpuInt8 ? '' : 'this CPU has no dot products') },
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

test('int8 is refused on a CPU without it, and auto never takes it', async () => {
  assert.equal((await place({ cpuInt8: true }, 'int8')).precision, 'int8');
  await assert.rejects(place({ cpuBf16: true }, 'int8'), {
    code: 'ERR_CLIPN_INVALID_ARG',
    message: /int8: this CPU has no dot products/,
  });
  assert.equal((await place({ cpuInt8: true, cpuBf16: true }, 'auto')).precision, 'bf16');
});
