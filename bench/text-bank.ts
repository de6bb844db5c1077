/**
 * Text banks of ViT-B/16, 128 templates, both towers, in fp32 as always: seconds for some labels, for one label more, and for the
 * plain loop (the model file run by PyTorch's interpreter, 77 tokens, fp32) on one label of the same; and so for 1000.
 *
 *   npm run bench -- text-bank [--labels 20] [--json]
 */
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { loadModel } from '../lib';
import { table } from '../lib/cli/terminal';
import imagenet from '../lib/data/imagenet-classnames.json';
import { findPython, vitB16WithText } from './prepare';

const TEMPLATES = 'clipn';

/** Seconds of the plain loop for one label: 128 sentences through each text tower, whatever they say. */
const PLAIN_LOOP = `
import sys, time, torch
torch.set_num_threads(int(sys.argv[2]))
model = torch.jit.load(sys.argv[1])
ids = torch.randint(1, 49405, (128, 77)); ids[:, 0] = 49406; ids[:, 12:] = 0; ids[:, 12] = 49407
with torch.inference_mode():
    start = time.monotonic()
    model.encode_text_yes(ids); model.encode_text_no(ids)
print(time.monotonic() - start)
`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { labels: { type: 'string', default: '20' }, json: { type: 'boolean' } } });
  const count = Number(values.labels);
  const { model: file } = await vitB16WithText();
  const names = [...new Set(imagenet)];
  const rows: { what: string; labels: number; seconds: number; secondsFor1000: number }[] = [];
  const row = (what: string, labels: number, seconds: number) =>
    rows.push({ what, labels, seconds, secondsFor1000: (1000 * seconds) / labels });
  const model = await loadModel(file);
  // The first call grows the buffers.
  await model.createLabelBank(names.slice(-1), { templates: TEMPLATES, cache: false });
  let start = performance.now();
  const bank = await model.createLabelBank(names.slice(0, count), { templates: TEMPLATES, cache: false });
  row('clipn-native', count, (performance.now() - start) / 1000);
  start = performance.now();
  await model.addLabels(bank, [names[count]!]);
  row('clipn-native, one more', 1, (performance.now() - start) / 1000);
  await model.close();
  const python = findPython('torch');
  if (python === null) process.stderr.write('SKIPPED: the plain loop, for there is no Python with torch\n');
  else {
    const { status, stdout, stderr } = spawnSync(python, ['-c', PLAIN_LOOP, file, String(cpus().length)], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
    row('plain loop fp32', 1, Number(stdout));
  }
  if (values.json) {
    const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
    console.log(JSON.stringify({ benchmark: 'text-bank', machine, rows }));
    return;
  }
  const cells = rows.map(({ what, labels, seconds, secondsFor1000 }) => [
    what,
    String(labels),
    seconds.toFixed(2),
    secondsFor1000.toFixed(0),
  ]);
  console.log(table(['', 'labels', 's', 's for 1000'], cells, [1, 2, 3]));
}

main();
