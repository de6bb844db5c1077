import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { create } from 'tar';
import { exportModel, loadModel, type TeachOptions, type TeachStep, teach } from '../../lib';
import { ClipnError } from '../../lib/base/errors';
import { readArgs, UsageError } from '../../lib/cli/command';
import { teachCommand } from '../../lib/cli/commands/teach';
import { lossPlot } from '../../lib/cli/loss-plot';
import { readCheckpoint } from '../../lib/weights/checkpoint';
import { hashFiles, hashTensors } from '../../lib/weights/content-id';
import { cliProgram } from '../support/built';
import { repository } from '../support/paths';
import { keepLibtorch, runCli } from '../support/run-cli';
import { CLASSES, smallestTeaching } from '../support/teaching';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-teach-'));
const at = (...names: string[]) => path.join(folder, ...names);
let base: string;
let classes: string;
let common: TeachOptions;

const CAPTIONS = ['abc', 'bed', 'cafe', 'dog', 'egg', 'fig', 'gong', 'hen', 'ice', 'jade', 'keg', 'lemon'];

before(async () => {
  process.env['OMP_NUM_THREADS'] ??= '1'; // so small a network gains nothing by more
  keepLibtorch();
  ({ base, data: classes, options: common } = await smallestTeaching(folder));
  mkdirSync(at('pairs'));
  for (const [i, caption] of CAPTIONS.entries()) {
    cpSync(path.join(classes, CLASSES[i % 3]!, `${i}.png`), at('pairs', `${i}.png`));
    writeFileSync(at('pairs', `${i}.txt`), caption);
  }
});
after(() => rmSync(folder, { recursive: true }));

const run = (out: string, options: TeachOptions = {}, data = classes) =>
  teach(base, data, at(out), { ...common, features: at('features'), ...options });

async function rejection(promise: Promise<unknown>): Promise<ClipnError> {
  const error = await promise.then(
    () => assert.fail('nothing was thrown'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ClipnError, String(error));
  return error;
}

/** Hash of a checkpoint's tensors that `wanted` picks. */
async function hashOf(file: string, wanted: (key: string) => boolean = () => true): Promise<string> {
  const { tensors } = await readCheckpoint(file);
  return await hashTensors(file, tensors, [...tensors.keys()].filter(wanted), '');
}

function cli(args: string[], { limitKilobytes }: { limitKilobytes?: number } = {}) {
  const argv = [cliProgram(), 'teach', ...args];
  if (limitKilobytes === undefined) return spawn(process.execPath, argv, { cwd: repository });
  const program = `trap '' XFSZ; ulimit -f ${limitKilobytes}; exec "$0" "$@"`;
  return spawn('bash', ['-c', program, process.execPath, ...argv], { cwd: repository });
}

async function finished(child: ReturnType<typeof spawn>) {
  let [out, err] = ['', ''];
  child.stdout!.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr!.on('data', (chunk) => {
    err += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, out, err };
}

const flags = (out: string, ...more: string[]) => [
  ...[
    '--base',
    base,
    '--data',
    classes,
    '--out',
    at(out),
    '--features',
    at('features'),
    '--batch',
    '4',
    '--lr',
    '1e-3',
  ],
  ...['--templates', common.templates!, '--config', common.config!, '--tokenizer', common.tokenizer!, ...more],
];

describe('a run', { concurrency: false }, () => {
  test('begins at 0.6931, 0.6931 and 1.99, changes the no side alone, and leaves checkpoints and a model', async () => {
    const steps: TeachStep[] = [];
    const result = await run('whole', { onStep: (step) => steps.push(step) });
    assert.deepEqual(Object.keys(steps[0]!), ['step', 'lossYes', 'lossNo', 'lossText', 'total', 'lr']);
    const { lossYes, lossNo, lossText, total } = steps[0]!;
    for (const [found, expected] of [
      [lossYes, Math.LN2],
      [lossNo, Math.LN2],
      [lossText, 1.99],
      [total, 1.6881],
    ] as const) {
      assert.ok(Math.abs(found - expected) < 1e-3, `${found} is not ${expected}`);
    }
    assert.deepEqual(result.log, steps);
    assert.equal(result.stepsPerEpoch, 3);
    assert.equal(result.checkpoint, at('whole', 'epoch_2.pt'));
    assert.deepEqual(readdirSync(at('whole')).sort(), [
      'epoch_1.pt',
      'epoch_2.pt',
      'log.jsonl',
      'model.pt',
      'run.json',
    ]);
    const frozen = (key: string) => !/_no(\.|$)/.test(key.split('.')[0]!) && !key.includes('_no.');
    assert.equal(await hashOf(result.checkpoint, frozen), await hashOf(base));
    const { tensors } = await readCheckpoint(result.checkpoint);
    const [no, all] = [[...tensors.keys()].filter((key) => !frozen(key)), tensors.size];
    assert.equal(no.length, all - (await readCheckpoint(base)).tensors.size);
    await using model = await loadModel(result.model);
    assert.ok(model.info.hasNo);
  });

  test('repeated with its seed gives the same weights; with another seed others', async () => {
    await run('again', { features: at('features-again') });
    await run('other', { seed: 1 });
    const [first, again, other] = await Promise.all(
      ['whole', 'again', 'other'].map((name) => hashOf(at(name, 'epoch_2.pt'))),
    );
    assert.equal(again, first);
    assert.notEqual(other, first);
  });

  test('aborted saves its state, and called again ends with the weights of a run that was not', async () => {
    const controller = new AbortController();
    const onStep = ({ step }: TeachStep) => step === 5 && controller.abort(new Error('enough'));
    await assert.rejects(run('aborted', { signal: controller.signal, onStep }), /enough/);
    assert.ok(existsSync(at('aborted', 'state.pt')));
    const seen: number[] = [];
    const result = await run('aborted', { onStep: ({ step }) => seen.push(step) });
    assert.deepEqual(seen, [6]);
    assert.deepEqual(
      result.log.map(({ step }) => step),
      [1, 2, 3, 4, 5, 6],
    );
    assert.equal(await hashOf(result.checkpoint), await hashOf(at('whole', 'epoch_2.pt')));
    assert.ok(!existsSync(at('aborted', 'state.pt')));
  });

  test('killed at any step goes on from its last save to the same weights', async () => {
    const args = flags('killed', '--steps', '60', '--save-every', '2', '--json');
    const child = cli(args);
    const first = await new Promise<string>((resolve) => {
      let out = '';
      child.stdout!.on('data', (chunk) => {
        out += chunk;
        if (out.split('\n').length > 8) child.kill('SIGKILL');
      });
      child.on('close', () => resolve(out));
    });
    const reported = first.trim().split('\n').length;
    assert.ok(reported >= 8 && reported < 60, `${reported} steps before it was killed`);
    const [uninterrupted, resumed] = await Promise.all([run('steady', { steps: 60 }), finished(cli(args))]);
    assert.equal(resumed.code, 0, resumed.err);
    const begins = JSON.parse(resumed.out.split('\n', 1)[0]!).step as number;
    assert.ok(begins > 1 && begins <= reported + 1, `resumed at ${begins} after ${reported}`);
    assert.equal(await hashOf(at('killed', 'epoch_20.pt')), await hashOf(uninterrupted.checkpoint));
    const totals = uninterrupted.log.map(({ total }) => total);
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    assert.ok(mean(totals.slice(-20)) < mean(totals.slice(1, 21)), 'the loss does not fall');
  });

  test('reads features that are there instead of computing them, also for another run', async () => {
    const seen = new Set<string>();
    await run('cached', { lr: 2e-3, onProgress: ({ stage }) => seen.add(stage) });
    assert.deepEqual([...seen].sort(), ['export', 'steps']);
  });

  test('makes features anew when a file of them is damaged', async () => {
    cpSync(at('features'), at('damaged'), { recursive: true });
    for (const name of readdirSync(at('damaged'))) writeFileSync(at('damaged', name), 'damaged');
    await run('from-damaged', { features: at('damaged') });
    assert.equal(await hashOf(at('from-damaged', 'epoch_2.pt')), await hashOf(at('whole', 'epoch_2.pt')));
  });

  test('in bf16 keeps float32 weights and begins near the same losses', async () => {
    const { log, checkpoint } = await run('bf16', { precision: 'bf16' });
    assert.ok(
      Math.abs(log[0]!.lossYes - Math.LN2) < 0.2 && Math.abs(log[0]!.lossText - 1.99) < 0.05,
      JSON.stringify(log[0]),
    );
    for (const [key, { dtype }] of (await readCheckpoint(checkpoint)).tensors) assert.equal(dtype, 'float32', key);
  });

  test('with micro-batches takes the same steps up to rounding', async () => {
    const [whole, apart] = [await run('whole'), await run('micro', { microBatch: 1 })];
    for (const [i, { total }] of whole.log.entries()) {
      assert.ok(
        Math.abs(apart.log[i]!.total - total) < 1e-3 * total,
        `step ${i + 1}: ${apart.log[i]!.total}, ${total}`,
      );
    }
  });

  test('with random crops encodes as many views of each image as are asked for', async () => {
    const result = await run('crops', { augmentations: 3, features: at('crops-features') });
    assert.equal(result.images, 12);
    const sizes = readdirSync(at('crops-features')).map((name) => statSync(at('crops-features', name)).size);
    assert.ok(Math.max(...sizes) > 12 * 3 * 8 * 4, String(sizes));
  });

  test('on shards with class numbers ends with the weights of class folders of the same images', async () => {
    const files = CLASSES.flatMap((name, number) => {
      const images = readdirSync(path.join(classes, name)).sort();
      return images.map((image) => ({ from: path.join(classes, name, image), key: `${name}-${image}`, number }));
    });
    mkdirSync(at('numbers'));
    for (const { from, key, number } of files) {
      cpSync(from, at('numbers', key));
      writeFileSync(at('numbers', key.replace('.png', '.cls')), String(number));
    }
    const members = files.flatMap(({ key }) => [key, key.replace('.png', '.cls')]);
    create({ sync: true, file: at('numbers.tar'), cwd: at('numbers') }, members);
    writeFileSync(at('names.txt'), CLASSES.join('\n'));
    const options = { names: at('names.txt'), features: at('numbers-features') };
    const result = await run('numbers-run', options, at('numbers.tar'));
    assert.equal(await hashOf(result.checkpoint), await hashOf(at('whole', 'epoch_2.pt')));
  });

  test('of a base with QuickGELU leaves a model with it, and checkpoints that say so themselves', async () => {
    const { checkpoint, model } = await run('quick', { act: 'quickgelu', steps: 3, features: at('features-quick') });
    await using loaded = await loadModel(model);
    assert.equal(loaded.info.config.architecture.activation, 'quickgelu');
    const { config, tokenizer } = common as { config: string; tokenizer: string };
    const exported = await exportModel(checkpoint, at('quick.pt'), { config, tokenizer });
    assert.equal(exported.contentId, loaded.info.config.contentId);
  });

  test('goes on from a CLIPN and says so', async () => {
    const warnings: string[] = [];
    const clipn = at('whole', 'epoch_2.pt');
    const result = await teach(clipn, classes, at('onward'), {
      ...common,
      steps: 1,
      onWarning: (warning) => warnings.push(warning),
    });
    assert.match(warnings.join(), /is a CLIPN: training goes on from its no tower/);
    assert.ok(Math.abs(result.log[0]!.lossText - 1.99) > 1e-3, 'it began anew');
  });
});

describe('captions of images', () => {
  const shards = () => {
    mkdirSync(at('shards'), { recursive: true });
    const names = CAPTIONS.flatMap((_, i) => [`${i}.png`, `${i}.txt`]);
    create({ sync: true, file: at('shards', '0.tar'), cwd: at('pairs') }, names.slice(0, 12));
    create({ sync: true, file: at('shards', '1.tar'), cwd: at('pairs') }, names.slice(12));
  };

  test('train from shards, a folder and a table of the same pairs', async () => {
    shards();
    const result = await run('shards-run', {}, at('shards'));
    assert.equal(result.samples, 12);
    const rows = CAPTIONS.map((caption, i) => `${i}.png\t${caption}`);
    writeFileSync(at('pairs', 'table.tsv'), ['filepath\ttitle', ...rows].join('\n'));
    const table = await run('table-run', {}, at('pairs', 'table.tsv'));
    assert.equal((await run('files-run', {}, at('pairs'))).samples, 12);
    // Shards are encoded apart, so their last bits may differ.
    for (const [i, { total }] of result.log.entries()) {
      assert.ok(
        Math.abs(table.log[i]!.total - total) < 1e-3 * total,
        `step ${i + 1}: ${table.log[i]!.total}, ${total}`,
      );
    }
  });

  test('that cannot be used are left out, counted by reason, and told with an example', async () => {
    shards();
    writeFileSync(at('pairs', '0.png'), 'no image');
    writeFileSync(at('pairs', '1.txt'), '');
    writeFileSync(at('pairs', '2.txt'), 'a <end_of_text> dog');
    mkdirSync(at('bad-shards'));
    const names = CAPTIONS.flatMap((_, i) => [`${i}.png`, `${i}.txt`]);
    create({ sync: true, file: at('bad-shards', '0.tar'), cwd: at('pairs') }, names);
    writeFileSync(at('bad-shards', '1.tar'), readFileSync(at('shards', '1.tar')).subarray(0, 512 * 4 + 7));
    const warnings: string[] = [];
    const result = await run('bad-run', { onWarning: (warning) => warnings.push(warning) }, at('bad-shards'));
    assert.deepEqual(result.skipped, {
      'image cannot be decoded': 1,
      'no caption': 1,
      'caption with a special token': 1,
      'shard cut short or damaged': 1,
    });
    assert.match(warnings.join('\n'), /samples left out: .*1 × no caption.*for example .*0\.tar: /);
    assert.ok(result.samples >= 9);
  });

  test('of which none can be used end the run', async () => {
    mkdirSync(at('hopeless'));
    writeFileSync(at('hopeless', '0.tar'), 'no shard');
    const error = await rejection(run('hopeless-run', {}, at('hopeless')));
    assert.equal(error.code, 'ERR_CLIPN_TEACH_DATA');
    assert.match(
      error.message,
      /none of the samples can be used: 1 × shard cut short or damaged; for example .*0\.tar/,
    );
  });
});

describe('a run that cannot be is refused', () => {
  test('a batch of one, more than there are samples, and other numbers that are none', async () => {
    for (const [options, words] of [
      [{ batch: 1 }, /batch must be at least 2, not 1: an image is compared/],
      [{ batch: 2.5 }, /batch must be a whole number/],
      [{ batch: 13 }, /a batch of 13 needs as many samples; .* has 12/],
      [{ lr: 0 }, /lr must be a positive number, not 0/],
      [{ lr: Number.NaN }, /lr must be/],
      [{ steps: 0 }, /steps must be/],
      [{ steps: 1, epochs: 1 }, /either steps or epochs/],
      [{ seed: -1 }, /seed must be/],
      [{ negatives: 'some' as 'paper' }, /negatives must be one of distinct, paper/],
      [{ act: 'relu' as 'gelu' }, /act must be one of gelu, quickgelu/],
      [{ captionField: '' }, /captionField must be a text, not an empty one/],
      [{ delimiter: 5 as unknown as string }, /delimiter must be a text, not number/],
      [{ delimiter: '"' }, /delimiter must be neither a quote nor a line break/],
    ] satisfies [TeachOptions, RegExp][]) {
      const error = await rejection(run('never', options));
      assert.equal(error.code, 'ERR_CLIPN_INVALID_ARG');
      assert.match(error.message, words);
    }
  });

  test('a base that is no CLIP', async () => {
    const error = await rejection(teach(common.config!, classes, at('never'), common));
    assert.equal(error.code, 'ERR_CLIPN_CHECKPOINT_FORMAT');
    const model = await rejection(teach(at('whole', 'model.pt'), classes, at('never'), common));
    assert.equal(model.code, 'ERR_CLIPN_CHECKPOINT_FORMAT');
  });

  test('a folder that holds another run, naming what differs', async () => {
    const error = await rejection(run('whole', { lr: 5e-4, batch: 3 }));
    assert.equal(error.code, 'ERR_CLIPN_INVALID_ARG');
    assert.match(error.message, /holds another run: batch 4 there, 3 now; lr 0.001 there, 0.0005 now/);
    mkdirSync(at('foreign'));
    cpSync(at('whole', 'epoch_2.pt'), at('foreign', 'epoch_2.pt'));
    assert.match((await rejection(run('foreign'))).message, /checkpoints without the run\.json/);
  });
});

describe('when it goes wrong', () => {
  test('a loss that is not finite stops the run; the last good state is kept and can be a base', async () => {
    const error = await rejection(run('diverged', { lr: 1e30, steps: 50 }));
    assert.equal(error.code, 'ERR_CLIPN_TEACH_DIVERGED');
    assert.match(error.message, /step 2: a loss or a gradient is not finite .*are in .*state\.pt/);
    const { tensors } = await readCheckpoint(at('diverged', 'state.pt'));
    assert.ok(tensors.has('prompt_no'));
  });

  test('a full disk ends the run with ERR_CLIPN_IO; the state before it stays whole and is gone on from', async () => {
    const controller = new AbortController();
    const onStep = ({ step }: TeachStep) => step === 2 && controller.abort(new Error('enough'));
    await assert.rejects(run('full', { signal: controller.signal, onStep }), /enough/);
    const before = await hashFiles([at('full', 'state.pt')]);
    // A limit on the size of files stands for the disk's end: the write comes back short, then fails.
    const { code, err } = await finished(cli(flags('full', '--steps', '6'), { limitKilobytes: 100 }));
    assert.equal(code, 1, err);
    assert.match(err, /ERR_CLIPN_IO: cannot write .*epoch_1\.pt/);
    assert.equal(await hashFiles([at('full', 'state.pt')]), before);
    assert.deepEqual(
      readdirSync(at('full')).filter((name) => name.endsWith('.tmp')),
      [],
    );
    const { checkpoint } = await run('full');
    assert.equal(await hashOf(checkpoint), await hashOf(at('whole', 'epoch_2.pt')));
  });

  test('Ctrl-C saves the state and ends with 130, saying how to go on', async () => {
    const child = cli(flags('ctrl-c', '--epochs', '1000', '--json'));
    child.stdout!.once('data', () => child.kill('SIGINT'));
    const { code, err } = await finished(child);
    assert.equal(code, 130, err);
    assert.match(err, /the same command goes on/);
    assert.ok(readdirSync(at('ctrl-c')).some((name) => /^(state|epoch_\d+)\.pt$/.test(name)));
  });
});

describe('the command', () => {
  const told = (...args: string[]) => runCli(['teach', ...args]);

  test('ends with a chart of the losses; with --json prints one object a step and nothing else', async () => {
    const [human, machine] = await Promise.all([
      told(...flags('human', '--steps', '6')),
      told(...flags('machine', '--steps', '6', '--json', '--negatives', 'paper', '--device', 'cpu', '--seed', '3')),
    ]);
    assert.equal(human.code, 0, human.err);
    assert.match(
      human.out,
      /total loss by step\n[\s\S]*┤[\s\S]*steps +yes +no +text +total\n[\s\S]*epoch_2\.pt and .*model\.pt: 6 steps, 12 samples/,
    );
    const lines = machine.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as TeachStep);
    assert.deepEqual(
      lines.map(({ step }) => step),
      [1, 2, 3, 4, 5, 6],
    );
    assert.deepEqual(Object.keys(lines[0]!), ['step', 'lossYes', 'lossNo', 'lossText', 'total', 'lr']);
    assert.equal(lines[0]!.lr, 1e-3);
  });

  test('refuses wrong usage as such', async () => {
    for (const [args, words] of [
      [['--base', 'a', '--data', 'b'], /--out is missing/],
      [flags('never').with(9, '1'), /batch must be at least 2/],
      [flags('never', 'more'), /unexpected argument more/],
      [flags('never', '--negatives', 'all'), /--negatives must be one of distinct, paper/],
      [flags('never', '--step', '3'), /unknown flag --step\. Did you mean --steps\?/],
    ] satisfies [string[], RegExp][]) {
      const running = async () => await teachCommand.run(readArgs(teachCommand, args), new AbortController().signal);
      await assert.rejects(running, (error: unknown) => error instanceof UsageError && words.test(error.message));
    }
  });
});

test('the chart has the losses of every step in its means', async () => {
  const log = Array.from({ length: 1000 }, (_, i) => {
    const total = 2 - i / 1000;
    return { step: i + 1, lossYes: total, lossNo: total, lossText: total, total, lr: 1 };
  });
  const plot = await lossPlot(log);
  assert.match(plot, /1 … 100 +1\.9505 +1\.9505 +1\.9505 +1\.9505\n/);
  assert.match(plot, /901 … 1000 +1\.0505/);
  assert.ok(plot.split('\n').every((line) => line.length <= 90));
});
