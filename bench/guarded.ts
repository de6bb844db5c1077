/**
 * Images/s of `precision: 'guarded'` beside fp32 and the first precision alone, on photos and at a threshold that people would
 * have: one that keeps 95 % of these photos' fp32 scores, with margins of drawn images; or with --calibrate that of a
 * calibration on N other photos, and its margins. Decoded photos to verdicts; the detectors take turns, list by list.
 *
 *   npm run bench -- guarded FOLDER… --labels-file F [--model M | --vit] [--templates S] [--count 256] [--batch 32]
 *                            [--calibrate N]
 */
import { parseArgs } from 'node:util';
import { type CheckResult, calibrate, type Detector, type DetectorOptions, loadModel } from '../lib';
import { decodeImage } from '../lib/images/decode';
import { findImages } from '../lib/images/find';
import type { ImageInput } from '../lib/images/image-input';
import { loadLabelsFile } from '../lib/labels/labels-file';
import { timesOf } from '../lib/measure/timing';
import { PHOTO_FLAGS, photoInputs } from './prepare';

const KEPT = 0.95;

async function main(): Promise<void> {
  const { values, positionals: folders } = parseArgs({
    options: {
      ...PHOTO_FLAGS,
      count: { type: 'string', default: '256' },
      batch: { type: 'string', default: '32' },
      calibrate: { type: 'string', default: '0' },
    },
    allowPositionals: true,
  });
  const { model: file, labelsFile } = await photoInputs(values, folders);
  const [count, batch] = [Number(values.count), Number(values.batch)];
  const found = await findImages(folders);
  const measured = new Set(Array.from({ length: count }, (_, i) => Math.floor((i * found.length) / count)));
  const images: ImageInput[] = [];
  for (const i of measured) images.push(await decodeImage(found[i]!));
  const others = found.filter((_, i) => !measured.has(i));
  const fitting = Array.from(
    { length: Number(values.calibrate) },
    (_, k) => others[Math.floor((k * others.length) / Number(values.calibrate))]!,
  );
  const lists = Array.from({ length: Math.ceil(count / batch) }, (_, i) => images.slice(i * batch, (i + 1) * batch));

  const own = await loadModel(file, { device: 'cpu' });
  const labels = await loadLabelsFile(labelsFile);
  const bank = await own.createLabelBank(labels, { templates: values.templates });
  const answers = async (detector: Detector, list: readonly ImageInput[]) => {
    const all = await detector.check(list);
    return all.map((answer) => {
      if ('error' in answer) throw answer.error;
      return answer;
    });
  };
  const scores: number[] = [];
  const plain = await own.createDetector(bank);
  for (const list of lists) scores.push(...(await answers(plain, list)).map((answer) => answer.scores.atd!));
  const threshold = scores.sort((a, b) => a - b)[Math.floor((1 - KEPT) * count)]!;

  const guarded = await loadModel(file, { device: 'cpu', precision: 'guarded' });
  const first = guarded.info.first;
  if (first === undefined || first === null) throw new Error(`guarded is fp32 here: ${guarded.info.firstReason}`);
  const alone = await loadModel(file, { device: 'cpu', precision: first });
  // The calibration carries the margins; the others are given its threshold.
  const fitted = fitting.length > 0 ? await calibrate(guarded, bank, fitting, { target: KEPT }) : undefined;
  const at: DetectorOptions = { threshold: fitted?.calibration.in ?? threshold };
  const guardedAt = fitted === undefined ? at : { calibration: fitted.calibration };
  const runs = await Promise.all(
    Object.entries({ fp32: own, [first]: alone, guarded }).map(async ([name, model]) => ({
      name,
      detector: await model.createDetector(bank, model === guarded ? guardedAt : at),
      ms: [] as number[],
      given: [] as CheckResult[],
    })),
  );
  for (const { detector } of runs) await answers(detector, lists[0]!);
  const before = guarded.stats().again;
  for (const list of lists) {
    for (const run of runs) {
      const start = performance.now();
      run.given.push(...(await answers(run.detector, list)));
      run.ms.push((performance.now() - start) / list.length);
    }
  }
  const again = (guarded.stats().again - before) / count;
  const [exact] = runs;
  for (const { name, ms, given } of runs) {
    // Lists differ in how many of their images are encoded twice: of those the whole is the rate, and no list's.
    const total = (times: readonly number[]) => times.reduce((sum, each) => sum + each, 0);
    const rate = (1000 * ms.length) / total(ms);
    const times = total(exact!.ms) / total(ms);
    const median = timesOf(exact!.ms.map((own, i) => own / ms[i]!)).median;
    const differ = (key: 'verdict' | 'label') =>
      given.filter((answer, i) => answer[key] !== exact!.given[i]![key]).length;
    console.log(
      `${name.padEnd(8)} ${rate.toFixed(1)} images/s, ${times.toFixed(2)} × fp32 (median list ${median.toFixed(2)}); of ${count} verdicts ${differ('verdict')} ` +
        `and labels ${differ('label')} not fp32's${name === 'guarded' ? `; ${(100 * again).toFixed(1)} % encoded again` : ''}`,
    );
  }
  await Promise.all([own, alone, guarded].map((model) => model.close()));
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
