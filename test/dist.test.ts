import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { writeCheckpoint } from './support/checkpoint-writer';
import { repository } from './support/paths';

const run = promisify(execFile);
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-dist-'));
const checkpoint = path.join(folder, 'checkpoint.pt');
after(() => rmSync(folder, { recursive: true }));

// CLIP's own vocabulary, so that the tokenizer inside the package is used.
const NETWORK = {
  embedDim: 16,
  imageSize: 32,
  patchSize: 16,
  visionWidth: 64,
  visionLayers: 1,
  contextLength: 77,
  vocabSize: 49408,
  textWidth: 64,
  textLayers: 1,
};

before(() => writeCheckpoint(checkpoint, NETWORK, { scheme: 'fan-in' }));

const USE = `
  const model = await loadModel(process.argv[1]);
  const detector = await model.createDetector(['cat', 'dog'], { labelBank: { cache: false, templates: 'plain' } });
  const image = { data: new Uint8Array(40 * 40 * 3), width: 40, height: 40, channels: 3 };
  console.log((await detector.check(image)).rule);
  await model.close();
`;

test('the built package exports a checkpoint and judges an image, by the command line, require and import', async () => {
  const model = path.join(folder, 'model.pt');
  await run(process.execPath, [path.join(repository, 'dist/cli/main.js'), 'export', checkpoint, model]);
  const byRequire = `(async () => { const { loadModel } = require('clipn-native'); ${USE} })()`;
  const byImport = `import { loadModel } from 'clipn-native'; ${USE}`;
  for (const args of [
    ['-e', byRequire],
    ['--input-type=module', '-e', byImport],
  ]) {
    const { stdout } = await run(process.execPath, [...args, model], { cwd: repository });
    assert.equal(stdout, 'atd\n');
  }
});

test('import offers exactly the names of require', async () => {
  const program = `
    import * as byImport from 'clipn-native';
    import { createRequire } from 'node:module';
    const byRequire = createRequire(import.meta.url)('clipn-native');
    console.log(JSON.stringify([Object.keys(byImport).sort(), Object.keys(byRequire).sort()]));
  `;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program], {
    cwd: path.join(repository, 'test'),
  });
  const [byImport, byRequire] = JSON.parse(stdout);
  assert.deepEqual(byImport, byRequire);
});

test('importing the package loads neither libtorch nor sharp', async () => {
  const program = `
    require('clipn-native');
    const loaded = process.report.getReport().sharedObjects.concat(Object.keys(require.cache));
    console.log(loaded.filter((file) => /torch_cpu|libc10|sharp|clipn_native\\.node/.test(file)).join());
  `;
  const { stdout } = await run(process.execPath, ['-e', program], { cwd: repository });
  assert.equal(stdout, '\n');
});
