import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { apiModel } from './support/api-model';
import { builtLibrary } from './support/built';
import { photos, repository } from './support/paths';

let model: string;

before(async () => {
  model = await apiModel();
});

/** Runs a script in a process of its own; resolves with how it ended. */
function run(script: string): Promise<{ code: number | null; signal: string | null; output: string }> {
  const prelude = `
    const library = ${JSON.stringify(builtLibrary())};
    const { loadModel } = require(library);
    const model = ${JSON.stringify(model)};
    const image = { data: new Uint8Array(90 * 70 * 3).map((_, i) => i), width: 90, height: 70, channels: 3 };
  `;
  const child = spawn(process.execPath, ['-e', prelude + script], { cwd: repository });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  return new Promise((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, output }));
  });
}

async function endsWell(script: string, said = ''): Promise<void> {
  const { code, signal, output } = await run(script);
  assert.deepEqual({ code, signal, output: output.trim() }, { code: 0, signal: null, output: said });
}

describe('a process ends by itself and without a crash', { concurrency: 2 }, () => {
  test('when the model was never closed', () =>
    endsWell(`loadModel(model).then(() => console.log('loaded'));`, 'loaded'));

  test('when work is pending and process.exit() is called', () =>
    endsWell(
      `loadModel(model).then((m) => { m.encodeImages(Array(50).fill(image)); setTimeout(() => process.exit(0), 5); });`,
    ));

  test('when the last promise is not awaited: pending work keeps it alive until it is done', () =>
    endsWell(`loadModel(model).then((m) => { m.encodeImages([image]).then((f) => console.log(f.length)); });`, '32'));

  test('when an image waits for company: it keeps the process alive until it is answered', () =>
    endsWell(
      `loadModel(model, { batch: { maxDelayMs: 300 } }).then((m) => {
        m.encodeImages([image]).then((f) => console.log(f.length));
      });`,
      '32',
    ));

  test('when sharp cannot be loaded: raw pixels need none, and a file is told', () =>
    endsWell(
      `const Module = require('node:module');
      const { _load } = Module;
      Module._load = function (name, ...rest) {
        if (name === 'sharp') throw new Error('sharp is not here');
        return _load.call(this, name, ...rest);
      };
      loadModel(model).then(async (m) => {
        const { length } = await m.encodeImages([image]);
        const error = await m.encodeImages([${JSON.stringify(path.join(photos, 'cat.jpg'))}]).catch((error) => error);
        console.log(length, error.code, error.message.includes('sharp is not here'));
      });`,
      '32 ERR_CLIPN_IO true',
    ));

  test('when models are loaded and closed over and over', () =>
    endsWell(
      `(async () => {
      for (let i = 0; i < 20; i++) {
        const m = await loadModel(model);
        await m.encodeImages([image]);
        await m.close();
      }
      console.log('done');
    })();`,
      'done',
    ));

  test('when workers are terminated with work in flight', () =>
    endsWell(
      `
      const { Worker } = require('node:worker_threads');
      const code = \`
        const { loadModel } = require(${JSON.stringify('LIBRARY')});
        const image = { data: new Uint8Array(90 * 70 * 3), width: 90, height: 70, channels: 3 };
        loadModel(${JSON.stringify('MODEL')}).then((m) => {
          const again = () => m.encodeImages(Array(8).fill(image)).then(again);
          for (let i = 0; i < 8; i++) again();
          require('node:worker_threads').parentPort.postMessage('running');
        });
      \`.replace('MODEL', model).replace('LIBRARY', library);
      (async () => {
        for (let i = 0; i < 4; i++) {
          const worker = new Worker(code, { eval: true });
          await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
          await worker.terminate();
        }
        console.log('terminated');
      })();
    `,
      'terminated',
    ));
});
