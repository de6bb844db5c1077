/** `bench`: how fast a model runs on this machine. */
import { findImages } from '../../images/find';
import { type BenchResult, benchModel, type NoRate, type Rate } from '../../measure/bench';
import type { Times } from '../../measure/timing';
import type { LoadModelOptions } from '../../model/options';
import { smallModel } from '../../weights/small-model';
import { type Args, type Command, UsageError } from '../command';
import { MODEL_FLAGS } from '../model-flags';
import { Progress, say, sayJson, table } from '../terminal';

export const benchCommand: Command = {
  summary: 'Measure a model on this machine: image tower, JPEG files to verdicts, scores, load time, memory.',
  usage: '[--model M]',
  operands: 'none',
  flags: {
    ...MODEL_FLAGS,
    batch: { value: 'N', number: true, doc: 'images per call of the tower, default 8' },
    threads: { value: 'T', number: true, doc: "threads of the model's lane, default one per physical core" },
    seconds: { value: 'S', number: true, doc: 'time to measure for, default 10' },
    repeat: { value: 'R', number: true, doc: 'rounds, instead of --seconds' },
    images: { value: 'DIR', doc: 'photos for the end-to-end figure; the sample photos of the small model when absent' },
    json: { doc: 'one JSON object' },
  },
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  if (args.has('seconds') && args.has('repeat')) throw new UsageError('--seconds and --repeat exclude each other');
  const small = smallModel();
  const model = args.text('model') ?? small?.model;
  const photos = args.text('images') ?? small?.photos;
  if (model === undefined || photos === undefined) {
    const missing = model === undefined ? '--model' : '--images';
    throw new UsageError(`${missing} is missing, and clipn-native-model-small is not installed`);
  }
  const progress = new Progress();
  const result = await benchModel({
    model,
    images: await findImages([photos]),
    device: args.text('device') as LoadModelOptions['device'],
    precision: args.text('precision') as LoadModelOptions['precision'],
    libtorch: args.text('libtorch'),
    trustedSha256: args.text('trusted-sha256'),
    batch: args.number('batch'),
    threads: args.number('threads'),
    seconds: args.number('seconds'),
    repeat: args.number('repeat'),
    signal,
    onProgress: (text) => progress.show(text),
  });
  progress.done();
  if (args.on('json')) sayJson(result);
  else say(forPeople(result));
  return 0;
}

function forPeople(result: BenchResult): string {
  const { machine, versions, model, load, rss, overhead, gemmBound } = result;
  const number = (value: number) => value.toFixed(value < 100 ? 1 : 0);
  const spread = ({ median, p10, p90 }: Times) => [median, p10, p90].map(number);
  const ofBound = (rate: Rate) =>
    gemmBound.imagesPerSecond === null ? '' : (rate.imagesPerSecond / gemmBound.imagesPerSecond).toFixed(2);
  const row = (name: string, rate: Rate | NoRate, ratio = '') =>
    rate.imagesPerSecond === null
      ? [name, '-', '', '', '', '', rate.why]
      : [name, number(rate.imagesPerSecond), ...spread(rate.ms), ratio, rate.what];
  const rates = [
    row('tower', result.tower, ofBound(result.tower)),
    row('gemmBound', gemmBound),
    row('endToEnd', result.endToEnd, ofBound(result.endToEnd)),
    ...result.score.cases.map(({ n, c, d, imagesPerSecond, ms }) => {
      return row('score', { imagesPerSecond, ms, images: n, what: `N = ${n}, C = ${c}, D = ${d}` });
    }),
  ];
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  const isa = machine.isa.length > 0 ? `, ${machine.isa.join(' ')}` : '';
  return [
    `${machine.cpu ?? 'unknown CPU'}, ${machine.physicalCores} cores${isa}; kernels ${machine.cpuTarget}`,
    `clipn-native ${versions['clipn-native']}, Node ${versions.node}, libtorch ${versions.libtorch}`,
    `${model.path}: ${result.device}, ${result.precision}, batch ${result.batch}, ${result.threads} threads, ${result.rounds} rounds`,
    '',
    table(['', 'images/s', 'ms', 'p10', 'p90', 'of bound', 'one call'], rates, [1, 2, 3, 4, 5]),
    '',
    `load      libtorch and core ${number(load.engineMs)} ms, model ${number(load.modelMs)} ms`,
    `memory    ${megabytes(rss.loadedBytes)} after loading, ${megabytes(rss.peakBytes)} at most`,
    `calls     ${overhead.callMicroseconds.median.toFixed(1)} µs into the addon, ${overhead.taskMicroseconds.median.toFixed(1)} µs through the lane and back`,
  ].join('\n');
}
