/** One bad request never hurts another: any one poisoned image among 31 good ones leaves 31 right answers. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { type CheckFailure, type CheckResult, type Detector, type ImageInput, loadModel, type Model } from '../../lib';
import { apiModel } from '../support/api-model';
import { keepLibtorch, runCli } from '../support/run-cli';

const GOOD = 31;
const PLACE = 17;
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-poison-'));
const truncated = path.join(folder, 'truncated.png');
const long = path.join(folder, 'long.png');
let model: Model;
let detector: Detector;
let photos: Buffer[];
let expected: (CheckResult | CheckFailure)[];

/** Says that it has other bytes than it has. */
class Liar extends Uint8Array {
  override get length(): number {
    return 12;
  }
}

const black = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: '#000' }, limitInputPixels: false });

before(async () => {
  keepLibtorch();
  photos = await Promise.all(
    Array.from({ length: GOOD }, (_, k) =>
      sharp({ create: { width: 40 + k, height: 50, channels: 3, background: { r: 8 * k, g: 100, b: 255 - 8 * k } } })
        .png()
        .toBuffer(),
    ),
  );
  writeFileSync(truncated, photos[0]!.subarray(0, 60));
  await black(20_000_000, 1).png({ compressionLevel: 9 }).toFile(long);
  model = await loadModel(await apiModel(), { batch: { max: 32 } });
  detector = await model.createDetector(
    await model.createLabelBank(['cat', 'dog', 'bus'], { cache: false, templates: 'plain' }),
  );
  expected = await detector.check(photos);
});
after(async () => {
  await model.close();
  rmSync(folder, { recursive: true });
});

const POISONS: Record<string, () => [ImageInput, code: string]> = {
  'a PNG with a side above 2^24': () => [long, 'ERR_CLIPN_IMAGE_TOO_LARGE'],
  'raw samples with a side above 2^24': () => [
    { data: new Uint8Array(2 ** 24 + 1), width: 2 ** 24 + 1, height: 1, channels: 1 },
    'ERR_CLIPN_IMAGE_TOO_LARGE',
  ],
  'raw samples that lie about their length': () => [
    { data: new Liar(3), width: 2, height: 2, channels: 3 },
    'ERR_CLIPN_INVALID_ARG',
  ],
  'a missing file': () => [path.join(folder, 'none.png'), 'ERR_CLIPN_IMAGE_NOT_FOUND'],
  'a file cut short': () => [truncated, 'ERR_CLIPN_IMAGE_DECODE'],
  'no image at all': () => [Symbol('image') as unknown as ImageInput, 'ERR_CLIPN_INVALID_ARG'],
  'an object whose fields throw': () => [
    {
      get width(): number {
        throw new Error('width is not to be had');
      },
    } as unknown as ImageInput,
    'ERR_CLIPN_INVALID_ARG',
  ],
};

const withoutName = ({ image: _, ...rest }: CheckResult | CheckFailure) => rest;

/** The poison's answer carries the code; all others are what they are without it. */
function assertAnswers(answers: (CheckResult | CheckFailure)[], code: string): void {
  assert.equal(answers.length, GOOD + 1);
  const [poisoned] = answers.splice(PLACE, 1);
  assert.ok('error' in poisoned! && poisoned.error.code === code, `got ${JSON.stringify(poisoned)}`);
  assert.deepEqual(answers.map(withoutName), expected.map(withoutName));
}

for (const [what, make] of Object.entries(POISONS)) {
  describe(`${what} among ${GOOD} photos hurts none of them`, () => {
    const [poison, code] = make();
    const all = () => [...photos.slice(0, PLACE), poison, ...photos.slice(PLACE)];

    test('asked singly, at once', async () => {
      const answers = await Promise.all(all().map((image) => detector.check(image).catch((error) => ({ error }))));
      assertAnswers(answers, code);
    });

    test('in a list', async () => {
      assertAnswers(await detector.check(all()), code);
    });

    test('in a stream', async () => {
      const answers: (CheckResult | CheckFailure)[] = [];
      for await (const answer of detector.stream(all())) answers.push(answer);
      assertAnswers(answers, code);
    });
  });
}

test('streams that stall hold up nobody, and end with their signal', async () => {
  const controller = new AbortController();
  const stalled = Array.from({ length: 20 }, () =>
    detector.check(new PassThrough(), { signal: controller.signal }).catch((error) => error.message),
  );
  const answers = await Promise.all(photos.map((image) => detector.check(image)));
  assert.deepEqual(answers.map(withoutName), expected.map(withoutName));
  controller.abort(new Error('enough'));
  assert.deepEqual(await Promise.all(stalled), Array(20).fill('enough'));
});

test('the command line answers the other files of a folder, and names the one with too long a side', async () => {
  const photosFolder = path.join(folder, 'photos');
  mkdirSync(photosFolder);
  photos.forEach((photo, k) => {
    writeFileSync(path.join(photosFolder, `${String(k).padStart(2, '0')}.png`), photo);
  });
  renameSync(long, path.join(photosFolder, 'long.png'));
  const flags = ['--model', await apiModel(), '--labels', 'cat,dog,bus', '--templates', 'plain', '--json'];
  const { out, code } = await runCli(['check', photosFolder, ...flags], path.join(folder, 'cache'));
  const answers = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const [refused] = answers.splice(
    answers.findIndex(({ error }) => error !== undefined),
    1,
  );
  assert.equal(code, 1);
  assert.equal(refused.error.code, 'ERR_CLIPN_IMAGE_TOO_LARGE');
  assert.match(refused.error.message, /long\.png is 20000000 × 1/);
  assert.deepEqual(
    answers.map(({ verdict, label }) => [verdict, label]),
    expected.map((answer) => 'verdict' in answer && [answer.verdict, answer.label]),
  );
});

describe('a signal that is none', () => {
  const signals = {
    'lacks removeEventListener': { aborted: false, addEventListener() {}, throwIfAborted() {} },
    'is a number': 5,
    'is null': null,
  };
  for (const [what, signal] of Object.entries(signals)) {
    test(`and ${what} rejects its own request alone`, async () => {
      const bad = { signal: signal as unknown as AbortSignal };
      const [refused, ...answers] = await Promise.all([
        detector.check(photos[0]!, bad).catch((error) => error),
        ...photos.map((image) => detector.check(image)),
      ]);
      assert.equal(refused.code, 'ERR_CLIPN_INVALID_ARG');
      assert.deepEqual(answers.map(withoutName), expected.map(withoutName));
    });
  }
});
