import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { loadModel } from '../../lib';
import { exportModel } from '../../lib/weights/export';
import { checkModelFile } from '../../lib/weights/model-file';
import { smallModel } from '../../lib/weights/small-model';
import { negativesWarning, unknownLabels } from '../../lib/weights/vocabulary';
import { writeCheckpoint } from '../support/checkpoint-writer';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-vocabulary-'));
after(() => rmSync(folder, { recursive: true }));

test('names are compared as the tokenizer sees them', () => {
  assert.deepEqual(unknownLabels(['Egyptian Mau', 'cat'], ['egyptian  MAU', 'CAT', 'cats', 'bus']), ['cats', 'bus']);
});

test('an open vocabulary knows every name', () => {
  assert.deepEqual(unknownLabels('open', ['anything']), []);
});

test('export writes the names that a model learnt, and a detector warns of others', async () => {
  const [checkpoint, out] = [path.join(folder, 'checkpoint.pt'), path.join(folder, 'model.pt')];
  const network = { embedDim: 8, imageSize: 16, patchSize: 8, visionWidth: 64, visionLayers: 1 };
  const text = { contextLength: 77, vocabSize: 49408, textWidth: 64, textLayers: 1 };
  await writeCheckpoint(checkpoint, { ...network, ...text }, { scheme: 'fan-in', kind: 'clipn' });
  await exportModel(checkpoint, out, { vocabulary: ['cat', 'dog'] });
  await using model = await loadModel(out);
  assert.deepEqual(model.info.config.vocabulary, ['cat', 'dog']);
  const bank = await model.createLabelBank(['cat', 'bus'], { cache: false, templates: 'plain' });
  const { warnings } = await model.createDetector(bank);
  assert.deepEqual(
    warnings.filter((text) => text.includes('never learnt')).map((text) => text.split(':')[0]),
    ['the model never learnt bus'],
  );
});

test('of negative words it is told how many were never learnt', () => {
  assert.match(negativesWarning(['cat', 'dog'], ['harbour', 'cat', 'fog'])!, /never learnt 2 of the 3 negative words/);
  assert.equal(negativesWarning('open', ['harbour']), undefined);
});

test('export refuses a vocabulary that is no list of names, before anything is read', async () => {
  for (const vocabulary of [[], [''], 'cat', [1]]) {
    await assert.rejects(
      exportModel('missing.pt', path.join(folder, 'no.pt'), { vocabulary: vocabulary as string[] }),
      {
        code: 'ERR_CLIPN_INVALID_ARG',
        message: /vocabulary/,
      },
    );
  }
});

test('the small model knows the labels that quickstart asks for, and says that it knows no coffee', async () => {
  const { model, labels } = smallModel()!;
  const { vocabulary } = await checkModelFile(model);
  assert.deepEqual(unknownLabels(vocabulary, [...labels, 'cat', 'dog', 'coffee', 'bus']), ['coffee', 'bus']);
});
