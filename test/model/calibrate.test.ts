import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import {
  type CheckResult,
  calibrate,
  evaluate,
  type LabelBank,
  loadModel,
  type Model,
  readCalibration,
} from '../../lib';
import { readArgs } from '../../lib/cli/command';
import { calibrateCommand } from '../../lib/cli/commands/calibrate';
import { type FittedCalibration, saveCalibration } from '../../lib/decide/calibration';
import { apiModel } from '../support/api-model';
import { flips, outcome } from '../support/damage';
import { keepLibtorch, runCli } from '../support/run-cli';

const LABELS = ['cat', 'dog', 'bus', 'cup'];
const NO_CACHE = { cache: false, templates: 'plain' };
const folder = mkdtempSync(path.join(tmpdir(), 'clipn-calibrate-'));
const photos = path.join(folder, 'photos');
const at = (name: string) => path.join(folder, name);
const files = Array.from({ length: 24 }, (_, i) => path.join(photos, i < 12 ? 'cats' : 'dogs', `${i}.png`));
let model: Model;
let bank: LabelBank;
let fitted: FittedCalibration;

before(async () => {
  keepLibtorch();
  for (const name of ['cats', 'dogs']) mkdirSync(path.join(photos, name), { recursive: true });
  await Promise.all(
    files.map((file, i) =>
      sharp({ create: { width: 40 + i, height: 50, channels: 3, background: { r: 10 * i, g: 250 - 9 * i, b: 77 } } })
        .png()
        .toFile(file),
    ),
  );
  model = await loadModel(await apiModel());
  bank = await model.createLabelBank(LABELS, NO_CACHE);
  fitted = (await calibrate(model, bank, files)).calibration;
});
after(async () => {
  await model.close();
  rmSync(folder, { recursive: true });
});

describe('calibrate', () => {
  test('takes the lowest of 24 scores for 0.95, and check then accepts those it was fitted on', async () => {
    const { calibration, accepted, tied, unreadable } = await calibrate(model, bank, files, { score: 'gap' });
    const scored = (await (await model.createDetector(bank)).check(files)) as CheckResult[];
    const gaps = scored.map(({ scores }) => scores.gap);
    assert.ok(Math.abs(calibration.in - Math.min(...gaps)) < 1e-4);
    assert.deepEqual([calibration.out, calibration.images, calibration.target], [calibration.in, 24, 0.95]);
    assert.deepEqual([accepted, tied, unreadable], [24, 1, []]);
    const detector = await model.createDetector(bank, { calibration });
    const results = (await detector.check(files)) as CheckResult[];
    assert.deepEqual(new Set(results.map(({ rule }) => rule)), new Set(['calibrated']));
    // The lowest stands on the threshold: in another batch fp32 may round it to either side.
    assert.ok(results.filter(({ verdict }) => verdict === 'in').length >= 23);
  });

  test('a lower target takes a higher threshold', async () => {
    const { calibration, accepted } = await calibrate(model, bank, files, { target: 0.5 });
    assert.ok(calibration.in > fitted.in);
    assert.equal(accepted, 13);
  });

  test('leaves out what cannot be read, and tells', async () => {
    const bad = at('bad.png');
    writeFileSync(bad, 'no image');
    const { calibration, unreadable } = await calibrate(model, bank, [bad, ...files]);
    assert.equal(calibration.images, 24);
    assert.deepEqual([unreadable.length, unreadable[0]!.image], [1, bad]);
    assert.equal(unreadable[0]!.error.code, 'ERR_CLIPN_IMAGE_DECODE');
    const few = [...files.slice(0, 18), bad];
    await assert.rejects(calibrate(model, bank, few), {
      code: 'ERR_CLIPN_TOO_FEW_IMAGES',
      message: /there are 18 and 1 that cannot be read/,
    });
  });

  test('a plain CLIP is calibrated on a score of the yes tower', async () => {
    await using clip = await loadModel(await apiModel('clip'));
    const own = await clip.createLabelBank(LABELS, NO_CACHE);
    const { calibration } = await calibrate(clip, own, files, { score: 'msp' });
    await clip.createDetector(own, { calibration });
    await assert.rejects(calibrate(clip, own, files), { code: 'ERR_CLIPN_MODEL_CONTRACT' });
  });

  test('answers carry the p-value of their score, the same singly, in a list and in a stream', async () => {
    const detector = await model.createDetector(bank, { calibration: fitted });
    const listed = (await detector.check(files)) as CheckResult[];
    const streamed: CheckResult[] = [];
    for await (const result of detector.stream(files)) streamed.push(result as CheckResult);
    for (const [i, { scores, pValue, verdict }] of listed.entries()) {
      assert.equal(pValue, (1 + fitted.scores.filter((score) => score <= scores.atd).length) / 25);
      const single = await detector.check(files[i]!);
      assert.deepEqual(single.verdict, verdict);
      assert.deepEqual(streamed[i]!.verdict, verdict);
    }
    const [plain] = (await (await model.createDetector(bank)).check([files[0]!])) as CheckResult[];
    assert.equal(plain!.pValue, undefined);
  });

  test('a calibration of an earlier version decides as before, without p-values', async () => {
    const { scores: _, target, ...rest } = fitted;
    const earlier = { ...rest, formatVersion: 2 as const, target: target! };
    const detector = await model.createDetector(bank, { calibration: earlier });
    const result = await detector.check(files[0]!);
    assert.deepEqual([result.rule, result.verdict, result.pValue], ['calibrated', 'in', undefined]);
  });

  test('a band is for review, and OOD images tell the price', async () => {
    const { calibration, ood } = await calibrate(model, bank, files, {
      target: 0.9,
      review: 0.4,
      ood: files.slice(0, 6),
    });
    assert.ok(calibration.in > calibration.out);
    assert.equal(calibration.scores.filter((score) => score >= calibration.out && score < calibration.in).length, 10);
    const detector = await model.createDetector(bank, { calibration });
    const verdicts = ((await detector.check(files)) as CheckResult[]).map(({ verdict }) => verdict);
    // Those on the thresholds may round to either side in another batch.
    assert.ok(Math.abs(verdicts.filter((verdict) => verdict === 'review').length - 10) <= 2, `${verdicts}`);
    assert.deepEqual([ood!.images, ood!.share], [6, ood!.accepted / 6]);
    assert.ok(ood!.interval.low <= ood!.share && ood!.share <= ood!.interval.high);
  });

  test('by cost or by class; a cost needs OOD images and no target', async () => {
    const cost = { falseAccept: 1, falseReject: 3, oodShare: 0.2 };
    const { calibration } = await calibrate(model, bank, files, { cost, ood: files });
    assert.deepEqual([calibration.cost, calibration.target], [cost, undefined]);
    const refused = { code: 'ERR_CLIPN_INVALID_ARG' };
    await assert.rejects(calibrate(model, bank, files, { cost }), { ...refused, message: /known OOD images/ });
    await assert.rejects(calibrate(model, bank, files, { cost, ood: files, target: 0.9 }), refused);
    await assert.rejects(calibrate(model, bank, files, { cost, ood: files, review: 0.1 }), refused);
    await assert.rejects(calibrate(model, bank, files, { cost, ood: [] }), { code: 'ERR_CLIPN_TOO_FEW_IMAGES' });
    const none = await calibrate(model, bank, files, { ood: [at('no-such.png')] });
    assert.deepEqual([none.ood, none.unreadable.length], [undefined, 1]);
    const byClass = await calibrate(model, bank, files, { target: 0.9, classConditional: true });
    assert.deepEqual([byClass.calibration.offsets!.length, byClass.calibration.scores.length], [4, 12]);
    await saveCalibration(byClass.calibration, at('by-class.json'));
    assert.deepEqual(await readCalibration(at('by-class.json')), byClass.calibration);
    const short = { ...byClass.calibration, offsets: [0.1] };
    await assert.rejects(model.createDetector(bank, { calibration: short }), {
      code: 'ERR_CLIPN_CALIBRATION',
      message: /offsets of 1 classes, not of 4/,
    });
    await assert.rejects(calibrate(model, bank, files, { classConditional: true }), {
      code: 'ERR_CLIPN_TOO_FEW_IMAGES',
      message: /at least 38 .*\(half of them/,
    });
  });

  test('an aborted call rejects with the reason', async () => {
    const reason = new Error('enough');
    await assert.rejects(calibrate(model, bank, files, { signal: AbortSignal.abort(reason) }), (e) => e === reason);
  });
});

describe('a calibration is refused, naming what differs, with', () => {
  const refused = async (detector: () => Promise<unknown>, message: RegExp) => {
    await assert.rejects(detector(), { code: 'ERR_CLIPN_CALIBRATION', message });
  };
  const use = (options: object, labels = bank) => model.createDetector(labels, { calibration: fitted, ...options });

  test('its own model, labels and options it is not', async () => {
    await use({});
    await use({ score: 'atd', exif: true });
  });
  test('another score', () => refused(() => use({ score: 'ctw' }), /score atd, not ctw/));
  test('EXIF orientation ignored', () =>
    refused(() => use({ exif: false }), /EXIF orientation \(there applied, here ignored\)/));
  test('the labels in another order', async () => {
    const other = await model.createLabelBank([...LABELS].reverse(), NO_CACHE);
    await refused(() => use({}, other), /another list of labels/);
  });
  test('a label more', async () => {
    const other = await model.createLabelBank([...LABELS, 'tree'], NO_CACHE);
    await refused(() => use({}, other), /another list of labels/);
  });
  test('other templates', async () => {
    const other = await model.createLabelBank(LABELS, { cache: false, templates: 'openai' });
    await refused(() => use({}, other), /another template set/);
  });
  test('another precision', async () => {
    await using half = await loadModel(model.info.path, { precision: 'bf16' });
    await refused(
      () => half.createDetector(bank, { calibration: fitted }),
      /precision \(there fp32, here bf16, labels/,
    );
  });
  test('bf16 of earlier versions, whose labels were bf16 too', async () => {
    await using half = await loadModel(model.info.path, { precision: 'bf16' });
    const earlier = { ...fitted, fittedFor: { ...fitted.fittedFor, precision: 'bf16' } };
    await refused(
      () => half.createDetector(bank, { calibration: earlier }),
      /precision \(there bf16, here bf16, labels fp32\)/,
    );
  });
  for (const [key, value, message] of [
    ['contentId', '0'.repeat(64), /another model \(there 00000000…/],
    ['preprocessing', '0'.repeat(64), /another way of preprocessing/],
    ['scale', 10, /another scale \(there 10, here 100\)/],
  ] as const) {
    test(`another ${key}`, () =>
      refused(() => use({ calibration: { ...fitted, fittedFor: { ...fitted.fittedFor, [key]: value } } }), message));
  }
  test('several differences, all of them', () =>
    refused(
      () => use({ exif: false, calibration: { ...fitted, fittedFor: { ...fitted.fittedFor, scale: 1 } } }),
      /scale .*EXIF/,
    ));
});

describe('calibration files', () => {
  test('come back as they were saved', async () => {
    await saveCalibration(fitted, at('saved.json'));
    assert.deepEqual(await readCalibration(at('saved.json')), fitted);
  });

  test("are read with a byte order mark, as Windows' editors save them", async () => {
    await saveCalibration(fitted, at('saved.json'));
    writeFileSync(at('marked.json'), `\ufeff${readFileSync(at('saved.json'), 'utf8')}`);
    assert.deepEqual(await readCalibration(at('marked.json')), fitted);
  });

  test('carry the SHA-256 of what else they say; an edited threshold is refused with what to do', async () => {
    await saveCalibration(fitted, at('sealed.json'));
    const { sha256, ...rest } = JSON.parse(readFileSync(at('sealed.json'), 'utf8'));
    const { contentId, exif, labels, precision, preprocessing, scale, templates } = rest.fittedFor;
    // Keys in alphabetical order.
    const canonical = JSON.stringify({
      created: rest.created,
      fittedFor: { contentId, exif, labels, precision, preprocessing, scale, templates },
      formatVersion: 3,
      images: rest.images,
      in: rest.in,
      out: rest.out,
      score: 'atd',
      scores: rest.scores,
      target: rest.target,
    });
    assert.equal(sha256, createHash('sha256').update(canonical).digest('hex'));
    for (const change of [{ in: 0.5, out: 0.5 }, { target: 0.99 }, { formatVersion: 1 }, { sha256: 5 }]) {
      writeFileSync(at('edited.json'), JSON.stringify({ ...rest, sha256, ...change }));
      await assert.rejects(readCalibration(at('edited.json')), {
        code: 'ERR_CLIPN_CALIBRATION',
        message: /sha256/,
        hint: /edited.*formatVersion 1/,
      });
    }
    writeFileSync(at('stripped.json'), JSON.stringify(rest));
    await assert.rejects(readCalibration(at('stripped.json')), {
      code: 'ERR_CLIPN_CALIBRATION',
      message: /sha256 is missing/,
    });
    const { scores: _, ...earlier } = { ...rest, formatVersion: 2 };
    writeFileSync(at('old.json'), JSON.stringify(earlier));
    assert.deepEqual(await readCalibration(at('old.json')), earlier);
    writeFileSync(at('pretty.json'), JSON.stringify({ sha256, ...rest }, null, '\t').replaceAll('\n', '\r\n'));
    assert.deepEqual(await readCalibration(at('pretty.json')), fitted);
  });

  test('with a flipped bit anywhere are refused, or say the same number in other digits', async () => {
    await saveCalibration(fitted, at('whole.json'));
    const whole = readFileSync(at('whole.json'));
    let refused = 0;
    for (const [name, bytes] of flips(whole, 0, whole.length, 500)) {
      writeFileSync(at('flipped.json'), bytes);
      const result = await outcome(name, readCalibration(at('flipped.json')));
      if (result === 'ERR_CLIPN_CALIBRATION') refused++;
      else assert.deepEqual(result, fitted, name);
    }
    assert.ok(refused >= 495, `only ${refused}`);
  });

  const { fittedFor: _, ...none } = { fittedFor: 0 };
  for (const [what, change, message] of [
    ['another version', { formatVersion: 4 }, /formatVersion must be 1, 2 or 3/],
    ['an unknown score', { score: 'best' }, /score must be one of ctw, atd/],
    ['no threshold', { in: null }, /in must be a number/],
    ['two thresholds without a review band', { out: -1 }, /in and out must be equal/],
    ['scores in another order', { scores: [2, 1] }, /scores must be ascending numbers/],
    ['neither target nor cost', { target: undefined }, /either target or cost/],
    ['a cost that is none', { target: undefined, cost: { falseAccept: 1 } }, /cost must be falseAccept/],
    ['an offset that is no number', { offsets: [0, null] }, /offsets must be numbers/],
    ['thresholds in the wrong order', { out: 2 }, /out must not exceed in/],
    ['a target in percent', { target: 95 }, /target must be a number between 0 and 1/],
    ['half an image', { images: 19.5 }, /images must be a whole number/],
    ['no date', { created: 'today' }, /created must be a date/],
    ['no provenance', { fittedFor: undefined }, /fittedFor is not an object/],
    ['a provenance cut short', { fittedFor: none }, /fittedFor\.contentId must be a SHA-256/],
    ['an unknown field', { band: 0.1 }, /band is unknown/],
    ['another number of scores', { images: 25 }, /images is not the number of scores/],
    ['a guard without a margin', { guard: { first: 'bf16', images: 24, score: 0.1 } }, /guard must be first/],
    [
      'a guard of no arithmetic',
      { guard: { first: 'fp4', images: 24, score: 0.1, label: 0.1 } },
      /guard must be first 'int8' or 'bf16'/,
    ],
    [
      'a guard with a negative margin',
      { guard: { first: 'bf16', images: 24, score: 0.1, label: -1 } },
      /guard must be first/,
    ],
  ] as const) {
    test(`with ${what} are refused, naming file and field`, async () => {
      const file = at('broken.json');
      writeFileSync(file, JSON.stringify({ ...fitted, ...change }));
      await assert.rejects(readCalibration(file), (error: Error & { code: string }) => {
        assert.equal(error.code, 'ERR_CLIPN_CALIBRATION');
        assert.ok(error.message.startsWith(`${file}: `), error.message);
        assert.match(error.message, message);
        return true;
      });
    });
  }

  test('by hand have no field that is not theirs: a misspelt one would bind to nothing', async () => {
    writeFileSync(at('hand.json'), JSON.stringify({ formatVersion: 1, score: 'atd', in: 1, out: 0, contentID: 'x' }));
    await assert.rejects(readCalibration(at('hand.json')), {
      code: 'ERR_CLIPN_CALIBRATION',
      message: /contentID is unknown/,
    });
  });

  test('are checked too when given as objects', async () => {
    const odd = [{ ...fitted, in: Number.NaN, out: Number.NaN }, {}, null] as (typeof fitted)[];
    for (const calibration of odd) {
      await assert.rejects(model.createDetector(bank, { calibration }), { code: 'ERR_CLIPN_CALIBRATION' });
      const sets = { id: photos, ood: { other: photos } };
      await assert.rejects(evaluate({ model, ...sets, calibration }), { code: 'ERR_CLIPN_CALIBRATION' });
    }
  });
});

describe('the verb', { concurrency: 2 }, () => {
  const common = () => ['--model', model.info.path, '--labels', LABELS.join(), '--templates', 'plain'];
  const run = (...args: string[]) => runCli([...args, ...common()], at('cache'));

  test('writes a file that check decides by', async () => {
    const made = await run('calibrate', '--id', photos, '--out', at('cli.json'), '--json');
    assert.equal(made.code, 0, made.err);
    const told = JSON.parse(made.out);
    assert.deepEqual([told.file, told.images, told.accepted, told.unreadable], [at('cli.json'), 24, 24, []]);
    const stored = JSON.parse(readFileSync(at('cli.json'), 'utf8'));
    assert.deepEqual(stored.fittedFor, fitted.fittedFor);
    const checked = await run('check', files[0]!, '--calibration', at('cli.json'), '--json');
    assert.equal(JSON.parse(checked.out).rule, 'calibrated');
  });

  test('check --alpha flags images of a batch, in words and in JSON, and says what a flag would take', async () => {
    await saveCalibration(fitted, at('flags.json'));
    const args = ['check', ...files, '--calibration', at('flags.json'), '--alpha', '0.05'];
    const [words, json] = await Promise.all([run(...args), run(...args, '--json')]);
    assert.match(words.out, /Flagged: 0 of 24\. Of images flagged so, at most 5 % are of your classes/);
    assert.match(words.err, /to flag one image of 24 takes a calibration on 479 images; this one has 24/);
    const lines = json.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual([lines.length, lines[0].flagged, typeof lines[0].pValue], [24, false, 'number']);
    const odd = await run('check', files[0]!, '--alpha', '0.05');
    assert.deepEqual([odd.code, /--alpha needs --calibration/.test(odd.err)], [2, true]);
  });

  test('lists unreadable images, writes the threshold of the others, and exits 1', async () => {
    const mixed = at('mixed');
    mkdirSync(mixed);
    for (const file of files) writeFileSync(path.join(mixed, path.basename(file)), readFileSync(file));
    writeFileSync(path.join(mixed, 'bad.png'), 'no image');
    const { code, out, err } = await run('calibrate', '--id', mixed, '--out', at('mixed.json'), '--target', '0.9');
    assert.equal(code, 1);
    assert.match(err, /ERR_CLIPN_IMAGE_DECODE: \S+bad\.png/);
    assert.match(err, /left out, for they cannot be read: 1/);
    assert.match(out, /mixed\.json: in when atd >= 0\.\d+\nFitted on 24 images: .* 90\.0 %/);
    assert.equal((await readCalibration(at('mixed.json'))).formatVersion, 3);
  });

  test('refuses too few images with the number needed, an empty folder and a missing one, before the model is loaded', async () => {
    mkdirSync(at('few'));
    mkdirSync(at('empty'));
    for (const file of files.slice(0, 18)) writeFileSync(path.join(at('few'), path.basename(file)), readFileSync(file));
    const { signal } = new AbortController();
    for (const [name, code, message] of [
      ['few', 'ERR_CLIPN_TOO_FEW_IMAGES', /a target of 0\.95 needs at least 19 .* there are 18/],
      ['empty', 'ERR_CLIPN_IMAGE_NOT_FOUND', /the folder \S+ holds no image/],
      ['missing', 'ERR_CLIPN_IMAGE_NOT_FOUND', /there is no folder/],
    ] as const) {
      const argv = ['--id', at(name), '--out', at('no.json'), '--model', at('no-model'), '--labels', 'cat'];
      const asked = async () => calibrateCommand.run(readArgs(calibrateCommand, argv), signal);
      await assert.rejects(asked, { code, message });
    }
  });
});
