import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadSharp } from '../../lib/images/load-decoder';

test('sharp that could not be loaded is tried again', async () => {
  const { dlopen } = process;
  process.dlopen = () => {
    throw new Error('too many open files');
  };
  try {
    await assert.rejects(loadSharp(), { code: 'ERR_CLIPN_IO', message: /too many open files/ });
  } finally {
    process.dlopen = dlopen;
  }
  assert.equal(typeof (await loadSharp()), 'function');
});
