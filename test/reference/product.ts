/**
 * The product's side of the comparisons with Python: one JSON document on stdin, one on stdout.
 *
 *   node --import tsx test/reference/product.ts pixels|ids|stages|verdicts|metrics|evaluations|checkpoint|weights
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import {
  type CheckFailure,
  type CheckResult,
  type EvalOptions,
  type ExportOptions,
  evaluate,
  exportModel,
  loadModel,
  type Model,
} from '../../lib';
import { decodeImage } from '../../lib/images/decode';
import { wilsonInterval } from '../../lib/metrics/intervals';
import { oodMetrics, setMetrics } from '../../lib/metrics/metrics';
import { createTokenizer } from '../../lib/text/tokenizer';
import { cachedCheckpoint, writeCheckpoint } from '../support/checkpoint-writer';
import { encodeImages, encodeText, withModel } from '../support/model-file';
import { clipTokenizer } from '../support/paths';
import type { NETWORKS } from '../support/seeded-weights';

/** A model for the S × S pixels that it is given: what its tower makes of them is of no interest. */
async function modelOfSide(folder: string, side: number): Promise<Model> {
  const checkpoint = path.join(folder, `${side}.checkpoint`);
  const vision = { embedDim: 8, imageSize: side, patchSize: side / 7, visionWidth: 64, visionLayers: 1 };
  const texts = { contextLength: 12, vocabSize: 40, textWidth: 64, textLayers: 1 };
  await writeCheckpoint(checkpoint, { ...vision, ...texts });
  await exportModel(checkpoint, path.join(folder, `${side}.pt`), { imageOnly: true });
  return await loadModel(path.join(folder, `${side}.pt`), { threads: 1 });
}

interface PixelsInput {
  side: number;
  files: { path: string; exif: boolean }[];
}

/** SHA-256 of the S × S × 3 bytes that the tower sees, or the error's code, for each file. */
async function pixels({ side, files }: PixelsInput): Promise<string[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'clipn-pixels-'));
  try {
    await using model = await modelOfSide(folder, side);
    const hashes: string[] = [];
    for (const { path: file, exif } of files) {
      const hash = async () => {
        const seen = await model.encodePixels([await decodeImage(file, { exif })], true, undefined);
        return createHash('sha256').update(seen.pixels!).digest('hex');
      };
      hashes.push(await hash().catch((error) => `${error.code}: ${error.message}`));
    }
    return hashes;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function ids(texts: string[]): number[][] {
  const file = clipTokenizer;
  const tokenizer = createTokenizer(readFileSync(file, 'utf8'), 77);
  return texts.map((each) => tokenizer.encode(each).ids);
}

interface StagesInput {
  model: string;
  labels: string[];
  templates: string;
  images: string[];
}

function answered(results: (CheckResult | CheckFailure)[]): CheckResult[] {
  return results.map((result) => {
    if ('error' in result) throw result.error;
    return result;
  });
}

/** Text features (of one template, so that each is one forward pass) and everything `trace` tells of each image. */
async function stages({ model: file, labels, templates, images }: StagesInput) {
  await using model = await loadModel(file);
  const bank = await model.createLabelBank(labels, { templates, cache: false });
  const detector = await model.createDetector(bank, { trace: true });
  return { yes: [...bank.yes], no: [...bank.no!], results: answered(await detector.check(images)) };
}

/** The answers for the same images one by one, as a list, and streamed from a slow source. */
async function verdicts({ model: file, labels, templates, images }: StagesInput) {
  await using model = await loadModel(file);
  const detector = await model.createDetector(labels, { labelBank: { templates, cache: false } });
  const single: CheckResult[] = [];
  for (const image of images) single.push(await detector.check(image));
  const batched = answered(await detector.check(images));
  async function* source() {
    for (const [i, image] of images.entries()) {
      // Pauses now and then, so that batches of every size come about.
      if (i % 13 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
      yield image;
    }
  }
  const streamed: CheckResult[] = [];
  for await (const result of detector.stream(source())) streamed.push(...answered([result]));
  return { single, batched, streamed };
}

/** Path of a network's seeded checkpoint; the ViT-B/16 is the one that the TypeScript tests use. */
async function checkpoint(name: keyof typeof NETWORKS): Promise<string> {
  return await cachedCheckpoint(name, { optimizer: name === 'ViT-B-16' });
}

interface MetricsInput {
  cases: { id: number[]; ood: number[]; intervals: boolean }[];
  shares: [successes: number, total: number][];
}

/** Metrics of each case, `fprAtIdTpr95` also by the other rules, intervals where asked for; Wilson's interval of each share. */
function metrics({ cases, shares }: MetricsInput) {
  return {
    cases: cases.map(({ id, ood, intervals }) => ({
      ...(intervals ? setMetrics : oodMetrics)(id, ood),
      reached: oodMetrics(id, ood, { rule: 'reached' }).fprAtIdTpr95,
      nearest: oodMetrics(id, ood, { rule: 'nearest' }).fprAtIdTpr95,
    })),
    shares: shares.map(([successes, total]) => wilsonInterval(successes, total)),
  };
}

/** One evaluation with each deciding score, which lists every image with its score among the worst examples. */
async function evaluations({ scores, ...options }: Omit<EvalOptions, 'model'> & { model: string; scores: string[] }) {
  await using model = await loadModel(options.model);
  const results = [];
  for (const score of scores) results.push(await evaluate({ ...options, model, score, examples: 100_000 }));
  return results;
}

interface WeightsInput {
  /** Exported in turn: what is given to `exportModel`, its options, and how many formula images and which texts to encode. */
  cases: { from: string; options: ExportOptions; images: number; texts: string[] }[];
}

/** Of each: token ids as the tower takes them, and the features of images and texts; or the error's code. */
async function weights({ cases }: WeightsInput) {
  const folder = await mkdtemp(path.join(tmpdir(), 'clipn-weights-'));
  const file = path.join(folder, 'model.pt');
  try {
    const answers = [];
    for (const { from, options, images, texts } of cases) {
      const answer = async () => {
        await exportModel(from, file, options);
        return await withModel(file, async (model) => {
          const tokenizer = createTokenizer(model.tokenizerJson, model.config.contextLength!);
          const rows = texts.map((each) => tokenizer.encode(each).ids);
          const padded = rows.map((row) => [...row, ...Array(model.config.contextLength! - row.length).fill(0)]);
          return { ids: rows, image: await encodeImages(model, images), text: await encodeText(model, 'yes', padded) };
        });
      };
      answers.push(await answer().catch((error) => ({ error: `${error.code}: ${error.message}` })));
    }
    return answers;
  } finally {
    await rm(folder, { recursive: true });
  }
}

const MODES = { pixels, ids, stages, verdicts, metrics, evaluations, checkpoint, weights };

async function main(): Promise<void> {
  const mode = MODES[process.argv[2] as keyof typeof MODES] as (input: unknown) => unknown;
  process.stdout.write(JSON.stringify(await mode(JSON.parse(await text(process.stdin)))));
}

main();
