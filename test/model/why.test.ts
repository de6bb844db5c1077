import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { type CheckResult, exportModel, type LabelBank, loadModel, type Model, type Why } from '../../lib';
import { apiModel } from '../support/api-model';
import { writeCheckpoint } from '../support/checkpoint-writer';
import { formulaImage, readGolden } from '../support/model-file';
import { photos } from '../support/paths';
import { bankOf, near } from '../support/score-bank';
import { NETWORKS, type Network } from '../support/seeded-weights';
import { tinyTokenizer } from '../support/tiny-model';

const LABELS = ['cat', 'dog', 'bus', 'cup', 'tree', 'chair', 'fish', 'lamp', 'boat', 'hat'];
const NO_CACHE = { cache: false, templates: 'plain' };
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-why-'));
const files = ['cat', 'coffee', 'rocket', 'boats', 'bricks'].map((name) => path.join(photos, `${name}.jpg`));
after(() => rmSync(folder, { recursive: true }));

/** Computed in float64 by test/reference/make_reasons_golden.py. Rows of images, unless said otherwise. */
interface Golden {
  labels: number;
  patches: number;
  dim: number;
  yes: number[];
  no: number[];
  p: number[];
  pYes: number[];
  gap: number[];
  share: number[];
  atd: number[];
  /** [images, patches]: of the gap of the nearest label. */
  ofGap: number[];
}

const DEVICE = { device: 'cpu', precision: 'fp32' } as const;

/** The image tower of a toy network with seeded weights, as a model file: its text towers are too narrow for the kernels. */
async function tinyModel(network: Network, name: string): Promise<string> {
  const at = (file: string) => path.join(folder, `${name}-${file}`);
  await writeCheckpoint(at('checkpoint.pt'), network, { scheme: 'flat' });
  const sizes = { embed_dim: 8, vision_cfg: { head_width: 16 }, text_cfg: { heads: 4 } };
  await writeFile(at('config.json'), JSON.stringify(sizes));
  await writeFile(at('tokenizer.json'), tinyTokenizer());
  const options = { config: at('config.json'), tokenizer: at('tokenizer.json'), imageOnly: true };
  await exportModel(at('checkpoint.pt'), at('model.pt'), options);
  return at('model.pt');
}

const rows = (values: number[], width: number) =>
  Array.from({ length: values.length / width }, (_, i) => values.slice(i * width, (i + 1) * width));

function goldenBank({ yes, no, dim }: Golden, { info }: Model): LabelBank {
  const { contentId } = info;
  return { ...bankOf(rows(yes, dim), rows(no, dim)), model: { contentId } };
}

describe('on a network whose numbers PyTorch computed', () => {
  let golden: Golden;
  let model: Model;
  let answers: CheckResult[];

  before(async () => {
    golden = await readGolden('reasons.json');
    model = await loadModel(await tinyModel(NETWORKS.tiny, 'tiny'), DEVICE);
    const detector = await model.createDetector(goldenBank(golden, model), { topK: 3 });
    const images = golden.atd.map((_, k) => formulaImage(k, 32));
    answers = (await detector.check(images, { why: true })) as CheckResult[];
  });
  after(() => model.close());

  /** The golden numbers of an image's labels, in the order of its answer. */
  const ofLabels = (values: number[], i: number) =>
    answers[i]!.why!.labels.map(({ label }) => values[i * golden.labels + Number(label.slice('class '.length))]!);

  test('each label has its p, p_yes, gap and share', () => {
    for (const [i, { why }] of answers.entries()) {
      const found = (key: 'p' | 'pYes' | 'gap' | 'share') => why!.labels.map((each) => each[key]!);
      near(found('p'), ofLabels(golden.p, i), 1e-5, 'p');
      near(found('pYes'), ofLabels(golden.pYes, i), 1e-5, 'pYes');
      // Logits at scale 100 of features that are known to 1e-6.
      near(found('gap'), ofLabels(golden.gap, i), 5e-4, 'gap');
      near(found('share'), ofLabels(golden.share, i), 1e-6, 'share');
    }
  });

  test('the shares of labels shown and not shown are those of ATD', () => {
    for (const [i, { why, scores }] of answers.entries()) {
      const others = golden.atd[i]! - ofLabels(golden.share, i).reduce((sum, share) => sum + share, 0);
      near([why!.otherLabels!], [others], 1e-6, 'otherLabels');
      const sum = why!.labels.reduce((total, { share }) => total + share!, why!.otherLabels!);
      near([sum], [scores.atd], 1e-6, 'atd');
    }
  });

  test('the map has what each patch contributes to the gap', () => {
    for (const [i, { why }] of answers.entries()) {
      const expected = golden.ofGap.slice(i * golden.patches, (i + 1) * golden.patches);
      near(why!.map!.values, expected, 5e-4, `values of image ${i}`);
      near(
        [why!.map!.values.reduce((sum, value) => sum + value, why!.map!.rest)],
        [ofLabels(golden.gap, i)[0]!],
        5e-4,
        'gap',
      );
    }
  });
});

describe('of a detector', () => {
  let model: Model;
  let bank: LabelBank;
  before(async () => {
    model = await loadModel(await apiModel(), { device: 'cpu' });
    bank = await model.createLabelBank(LABELS, NO_CACHE);
  });
  after(() => model.close());

  const explained = async (options = {}): Promise<Why> => {
    const detector = await model.createDetector(bank, options);
    return (await detector.check(files[0]!, { why: true })).why!;
  };

  test('no answer changes by a bit when it is asked why, alone, in a list or in a stream', async () => {
    const detector = await model.createDetector(bank, { trace: true });
    const plain = (await detector.check(files)) as CheckResult[];
    const listed = (await detector.check(files, { why: true })) as CheckResult[];
    const single = await Promise.all(files.map((file) => detector.check(file, { why: true })));
    const alone = await Promise.all(files.map((file) => detector.check(file)));
    const streamed: CheckResult[] = [];
    for await (const result of detector.stream(files, { why: true })) streamed.push(result as CheckResult);
    const strip = ({ why, ...rest }: CheckResult) => rest;
    assert.ok([...listed, ...single, ...streamed].every(({ why }) => why?.map?.values.length === 9));
    assert.ok([...plain, ...alone].every((answer) => !('why' in answer)));
    assert.deepEqual(listed.map(strip), plain);
    assert.deepEqual(single.map(strip), alone);
    const decided = ({ label, verdict }: CheckResult) => ({ label, verdict });
    assert.deepEqual(streamed.map(decided), plain.map(decided));
    assert.deepEqual(
      streamed.map(({ feature }) => feature),
      plain.map(({ feature }) => feature),
    );
  });

  test('who asks why shares a batch with who does not', async () => {
    const detector = await model.createDetector(bank);
    const answers = await Promise.all(files.map((file, i) => detector.check(file, { why: i % 2 === 0 })));
    assert.deepEqual(
      answers.map(({ why }) => why !== undefined),
      [true, false, true, false, true],
    );
    assert.deepEqual(answers[2]!.why, (await detector.check(files[2]!, { why: true })).why);
  });

  test('a threshold has its margin, the paper’s rule has none', async () => {
    const { margin } = await explained({ score: 'msp', threshold: 0.25 });
    assert.deepEqual([margin!.score, margin!.threshold, margin!.by], ['msp', 0.25, margin!.value - 0.25]);
    assert.equal((await explained()).margin, undefined);
  });

  test('with negatives the nearest word is held against the nearest label', async () => {
    const detector = await model.createDetector(bank, { negatives: ['harbour', 'desk', 'wall'] });
    const { why, nearestWord, verdict } = await detector.check(files[0]!, { why: true });
    assert.equal(why!.nearestWord!.word, nearestWord);
    const nearest = await model.createDetector(bank, { negatives: ['harbour', 'desk', 'wall'], score: 'maxLogit' });
    const decided = await nearest.check(files[0]!);
    assert.equal(decided.verdict, why!.nearestWord!.by > 0 ? 'out' : 'in');
    assert.ok(['in', 'out'].includes(verdict));
    assert.equal((await explained()).nearestWord, undefined);
  });

  test('the map covers the middle of a wide photo, and of a region of it', async () => {
    const detector = await model.createDetector(bank);
    const { width, height } = await sharp(files[0]).metadata();
    const { covers } = (await detector.check(files[0]!, { why: true })).why!.map!;
    assert.ok(width > height);
    assert.deepEqual([covers.y, covers.height], [0, height]);
    // Within one of the 48 pixels that the tower sees of the height.
    assert.ok(Math.abs(covers.x - (width - height) / 2) < height / 48 && Math.abs(covers.width - height) < height / 24);
    const region = { x: 20, y: 30, width: 90, height: 90 };
    const part = await detector.check({ image: files[0]!, region }, { why: true });
    assert.deepEqual(part.why!.map!.covers, region);
  });

  test('an image of one colour is said to carry nothing', async () => {
    const flat = { data: new Uint8Array(60 * 60 * 3).fill(7), width: 60, height: 60, channels: 3 as const };
    const { why } = await (await model.createDetector(bank)).check(flat, { why: true });
    assert.match(why!.sentence, /\(The image is of one colour, so this means little\.\)$/);
  });

  test('an answer with reasons is JSON as it is', async () => {
    const why = await explained({ score: 'atd', threshold: 0.5 });
    assert.deepEqual(JSON.parse(JSON.stringify(why)), why);
  });

  test('why is true or false', async () => {
    const detector = await model.createDetector(bank);
    await assert.rejects(detector.check(files[0]!, { why: 'yes' as unknown as boolean }), {
      code: 'ERR_CLIPN_INVALID_ARG',
      message: /why must be true or false, not "yes"/,
    });
  });
});

test('a plain CLIP says what it can: p and the nearest word, no yes, no shares and no map', async () => {
  const model = await loadModel(await apiModel('clip'), { device: 'cpu' });
  try {
    const bank = await model.createLabelBank(LABELS, NO_CACHE);
    const detector = await model.createDetector(bank, { negatives: ['harbour', 'desk'], topK: 2 });
    const { why, label, nearestWord } = await detector.check(files[0]!, { why: true });
    assert.deepEqual(
      why!.labels.map((each) => Object.keys(each)),
      [
        ['label', 'p'],
        ['label', 'p'],
      ],
    );
    assert.deepEqual(Object.keys(why!).sort(), ['labels', 'mapAbsent', 'nearestWord', 'sentence']);
    assert.match(why!.mapAbsent!, /plain CLIP/);
    assert.ok(why!.sentence.includes(label) && why!.sentence.includes(nearestWord!));
    assert.doesNotMatch(JSON.stringify(why), /null|NaN/);
  } finally {
    await model.close();
  }
});

test('a model that runs as its file has it gives no map, and all the rest', async () => {
  // Patches of an odd side do not fit the kernels.
  const model = await loadModel(await tinyModel({ ...NETWORKS.tiny, imageSize: 30, patchSize: 15 }, 'odd'), DEVICE);
  try {
    const detector = await model.createDetector(goldenBank(await readGolden('reasons.json'), model));
    const { why, scores } = await detector.check(files[0]!, { why: true });
    assert.equal(model.info.rewritten, false);
    assert.match(why!.mapAbsent!, /export the checkpoint/);
    assert.equal(why!.map, undefined);
    assert.equal(why!.labels[0]!.gap, scores.gap);
  } finally {
    await model.close();
  }
});
