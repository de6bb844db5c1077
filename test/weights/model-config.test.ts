import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseModelConfig } from '../../lib/weights/model-config';

const hash = 'a'.repeat(64);
const valid = {
  formatVersion: 1,
  engine: 'torchscript',
  kind: 'clipn',
  imageOnly: false,
  architecture: {
    embedDim: 512,
    imageSize: 224,
    patchSize: 16,
    visionWidth: 768,
    visionHeads: 12,
    visionLayers: 12,
    visionMlp: 3072,
    contextLength: 77,
    vocabSize: 49408,
    textWidth: 512,
    textHeads: 8,
    textLayers: 12,
    textMlp: 2050,
    activation: 'gelu',
  },
  embedDim: 512,
  imageSize: 224,
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
  resize: 'bicubic shorter side, centre crop',
  contextLength: 77,
  sot: 49406,
  eot: 49407,
  scale: 100,
  trainedScale: 99.9,
  templates: 'clipn',
  vocabulary: ['cat', 'dog'],
  source: { fileName: 'epoch_10.pt', sha256: hash, kind: 'clipn' },
  dtype: 'fp32',
  contentId: hash,
};

const parse = (changes: object) => parseModelConfig(JSON.stringify({ ...valid, ...changes }), 'model.pt');

test('a complete config comes back as it is', () => {
  assert.deepEqual(parse({}), valid);
});

test('a config of before, which tells no vocabulary, is open', () => {
  assert.equal(parse({ vocabulary: undefined }).vocabulary, 'open');
});

test('a config from before MLPs of other widths means 4 times the tower', () => {
  const { visionMlp: _, textMlp: __, ...older } = valid.architecture;
  const { visionMlp, textMlp } = parse({ architecture: older }).architecture;
  assert.deepEqual([visionMlp, textMlp], [4 * 768, 4 * 512]);
});

test('a published file that was known by its hash keeps its name', () => {
  assert.equal(parse({ source: { ...valid.source, knownAs: 'OpenAI ViT-B/16' } }).source.knownAs, 'OpenAI ViT-B/16');
});

test('an image-only config needs no text fields', () => {
  const { contextLength, sot, eot } = parse({
    imageOnly: true,
    contextLength: undefined,
    sot: undefined,
    eot: undefined,
  });
  assert.deepEqual([contextLength, sot, eot], [null, null, null]);
});

for (const [field, value] of Object.entries({
  engine: 'onnx',
  kind: 'siglip',
  imageOnly: 'no',
  embedDim: 0,
  imageSize: 224.5,
  mean: [0.5, 0.5],
  std: [0.5, 0, 0.5],
  resize: 'stretch',
  contextLength: null,
  sot: -1,
  eot: '49407',
  scale: 0,
  trainedScale: Number.NaN,
  templates: '',
  dtype: 'int8',
  contentId: 'abc',
  architecture: { ...valid.architecture, visionHeads: undefined },
  source: { ...valid.source, sha256: 'abc' },
})) {
  test(`a config with a wrong ${field} is refused by that name`, () => {
    const named = { architecture: 'architecture.visionHeads', source: 'source.sha256' }[field] ?? field;
    assert.throws(() => parse({ [field]: value }), {
      code: 'ERR_CLIPN_MODEL_FORMAT',
      message: new RegExp(`model\\.pt: clipn\\.json has no valid ${named}$`),
    });
  });
}

test('two different sizes for the same thing are refused', () => {
  assert.throws(() => parse({ embedDim: 256 }), { code: 'ERR_CLIPN_MODEL_FORMAT', message: /embedDim/ });
});

test('another format version is refused with the way out', () => {
  assert.throws(() => parse({ formatVersion: 2 }), { code: 'ERR_CLIPN_MODEL_FORMAT', hint: /Update/ });
});

test('a file without clipn.json, or with a damaged one, is refused', () => {
  assert.throws(() => parseModelConfig('', 'model.pt'), { code: 'ERR_CLIPN_MODEL_FORMAT', message: /missing/ });
  assert.throws(() => parseModelConfig('{', 'model.pt'), { code: 'ERR_CLIPN_MODEL_FORMAT', message: /not JSON/ });
});
