/**
 * What a check costs more when it is asked why, patch map and all: checks with and without take turns in one process, with
 * 1 and with 8 images a call, on the small model and on a ViT-B/16 with seeded weights, whose values do not change the
 * work. Images are decoded already, so that nothing hides the difference; the sample photos as JPEG files stand beside.
 * ViT-B/16 takes a twentieth of the rounds. One thread; the ratio is of processor time, which other work on the computer hardly changes.
 *
 *   npm run bench -- why [--rounds 200] [--model small|vit] [--json]
 */
import { parseArgs } from 'node:util';
import { loadModel } from '../lib';
import { table } from '../lib/cli/terminal';
import { findImages } from '../lib/images/find';
import type { ImageInput } from '../lib/images/image-input';
import { noisePixels, syntheticBank } from '../lib/measure/synthetic';
import { smallModel } from '../lib/weights/small-model';
import { PHOTOS, vitB16 } from './prepare';

const CLASSES = 1000;
/** Before V8 has compiled what runs often, the small model would measure its interpreter. */
const WARM_UPS = 20;

interface Row {
  model: string;
  images: string;
  /** Wall time of a call. */
  plainMs: number;
  whyMs: number;
  /** Of the medians of the processor time of a call. */
  ratio: number;
}

/** In ms. */
interface Time {
  wall: number;
  cpu: number;
}

const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;

async function measure(name: string, file: string, rounds: number): Promise<Row[]> {
  const model = await loadModel(file, { device: 'cpu', precision: 'fp32', threads: 1 });
  const detector = await model.createDetector(syntheticBank(CLASSES, model.info.embedDim, model.info));
  const jpegs = (await findImages([PHOTOS])).slice(0, 8);
  const pixels = noisePixels(8, model.info.imageSize);
  const cases: [string, readonly ImageInput[]][] = [
    ['1 decoded', pixels.slice(0, 1)],
    ['8 decoded', pixels],
    ['1 JPEG', jpegs.slice(0, 1)],
    ['8 JPEG', jpegs],
  ];
  const timed = async (images: readonly ImageInput[], why: boolean): Promise<Time> => {
    const [start, cpu] = [performance.now(), process.cpuUsage()];
    await detector.check(images, { why });
    const { user, system } = process.cpuUsage(cpu);
    return { wall: performance.now() - start, cpu: (user + system) / 1000 };
  };
  const rows: Row[] = [];
  for (const [images, input] of cases) {
    const times: { plain: Time; why: Time }[] = [];
    for (let round = -WARM_UPS; round < rounds; round++) {
      // Who comes first changes each round.
      const first = await timed(input, round % 2 === 0);
      const second = await timed(input, round % 2 !== 0);
      if (round >= 0) times.push(round % 2 === 0 ? { plain: second, why: first } : { plain: first, why: second });
    }
    rows.push({
      model: name,
      images,
      plainMs: median(times.map(({ plain }) => plain.wall)),
      whyMs: median(times.map(({ why }) => why.wall)),
      ratio: median(times.map(({ why }) => why.cpu)) / median(times.map(({ plain }) => plain.cpu)),
    });
  }
  await model.close();
  return rows;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '200' }, model: { type: 'string' }, json: { type: 'boolean' } },
  });
  const models = { small: async () => smallModel()!.model, vit: async () => (await vitB16()).model };
  const rows: Row[] = [];
  for (const [name, file] of Object.entries(models)) {
    if (values.model !== undefined && values.model !== name) continue;
    rows.push(...(await measure(name, await file(), Math.ceil(Number(values.rounds) / (name === 'vit' ? 20 : 1)))));
  }
  if (values.json) console.log(JSON.stringify({ benchmark: 'why', rows }));
  else {
    const cells = rows.map(({ model, images, plainMs, whyMs, ratio }) => [
      model,
      images,
      ...[plainMs, whyMs].map((ms) => ms.toFixed(2)),
      ratio.toFixed(3),
    ]);
    console.log(table(['model', 'images', 'plain ms', 'why ms', 'ratio'], cells, [2, 3, 4]));
  }
}

main();
