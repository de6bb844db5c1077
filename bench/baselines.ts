/**
 * docs/baselines.md: every score of `eval` on the default model, with 100 classes of Tiny-ImageNet as ID.
 *
 *   npm run bench -- baselines --tin DIR --textures DIR --plants DIR --omniglot DIR [--model M]
 *
 * DIR of --tin is tiny-imagenet-200, whose validation images are used, and ten training images of each ID class to choose
 * words with; the others are folders of images of any depth. All images take one path to 64 pixels first (Tiny-ImageNet has no more), for sharpness alone would tell the sets apart. Copies,
 * features and the report stay in build/baselines.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import {
  type EvalOptions,
  type EvalResult,
  evaluate,
  loadModel,
  mineNegatives,
  type Scorer,
  writeReport,
} from '../lib';
import { Progress } from '../lib/cli/terminal';
import names from '../lib/data/imagenet-classnames.json';
import wnids from '../lib/data/imagenet-wnids.json';
import { findImages } from '../lib/images/find';
import { smallModel } from '../lib/weights/small-model';
import splits from './tin200-splits.json';

const root = path.join(__dirname, '..');
const build = path.join(root, 'build', 'baselines');
const SIDE = 64;
const NO_TOWER = ['ctw', 'atd', 'gap', 'ole'];
/** Training images of each ID class that words are chosen with. */
const PHOTOS = 10;

type Copy = [source: string, target: string];

/** Validation images of some classes, in a folder per wnid. */
function tinyImagenet(tin: string, wanted: readonly string[], target: string): Copy[] {
  const lines = readFileSync(path.join(tin, 'val', 'val_annotations.txt'), 'utf8')
    .trim()
    .split('\n');
  return lines.flatMap((line): Copy[] => {
    const [image, wnid] = line.split('\t') as [string, string];
    const source = path.join(tin, 'val', 'images', image);
    return wanted.includes(wnid) ? [[source, path.join(target, wnid, image.replace('.JPEG', '.png'))]] : [];
  });
}

/** The first training images of each ID class, in a folder per wnid. */
function trainingPhotos(tin: string, target: string): Copy[] {
  return splits.id.flatMap((wnid) => {
    const source = path.join(tin, 'train', wnid, 'images');
    const images = readdirSync(source).sort().slice(0, PHOTOS);
    return images.map(
      (name): Copy => [path.join(source, name), path.join(target, wnid, name.replace('.JPEG', '.png'))],
    );
  });
}

async function folder(source: string, target: string): Promise<Copy[]> {
  return (await findImages([source]))
    .filter((image) => !path.basename(image).startsWith('aug_'))
    .map((image): Copy => {
      const name = path.relative(source, image).replaceAll(path.sep, '-');
      return [image, path.join(target, `${name}.png`)];
    });
}

/** Shorter side to 64 pixels, bicubic, centre crop, RGB, PNG. */
async function copyAll(copies: readonly Copy[]): Promise<void> {
  const progress = new Progress();
  for (const [i, [source, target]] of copies.entries()) {
    progress.show(`copying at ${SIDE} pixels: ${i} of ${copies.length}`);
    if (existsSync(target)) continue;
    mkdirSync(path.dirname(target), { recursive: true });
    const image = sharp(source, { ignoreIcc: true }).removeAlpha().toColourspace('srgb');
    const bytes = await image.resize(SIDE, SIDE, { fit: 'cover', kernel: 'cubic' }).png().toBuffer();
    writeFileSync(target, bytes);
  }
  progress.done();
}

/** ImageNet's class names but those of Tiny-ImageNet: a word list that knows neither the ID nor the near-OOD classes. */
function negativeWords(tin: string): string[] {
  const own = new Set(readFileSync(path.join(tin, 'wnids.txt'), 'utf8').trim().split('\n'));
  return [...new Set(names.filter((_, index) => !own.has(wnids[index]!)))];
}

/** The rule `nearest` as a score: how far the nearest label is ahead of the nearest word. */
const nearest: Scorer = {
  name: 'nearest',
  formula: 'maxLogit − wordMax',
  source: 'the rule nearest, at 0',
  needs: ['negatives'],
  read: ({ core }) => core.maxLogit.map((value, i) => value - core.wordMax[i]!),
};

/** One choice of words: what it is called, and what an evaluation with it found. */
interface Words {
  name: string;
  templates: string;
  result: EvalResult;
}

const percent = (share: number) => (100 * share).toFixed(1);

function document(result: EvalResult, choices: readonly Words[], model: string): string {
  const { id, ood, scores, provenance } = result;
  const sets = Object.keys(ood);
  const cell = ({ auroc, fprAtIdTpr95 }: { auroc: number; fprAtIdTpr95: number }) =>
    `${percent(auroc)} / ${percent(fprAtIdTpr95)}`;
  const rows = Object.entries(scores).map(
    ([name, { sets: of, average }]) =>
      `| \`${name}\` | ${sets.map((set) => cell(of[set]!)).join(' | ')} | ${cell(average)} |`,
  );
  const compared = choices.flatMap(({ name: words, templates, result: found }) =>
    ['negLabel', 'ole', 'nearest'].map((score) => {
      const { sets: of, average } = found.scores[score]!;
      const cells = [...sets.map((set) => of[set]!), average].map(({ auroc }) => percent(auroc));
      return `| ${words}, ${count(found)} | ${templates} | \`${score}\` | ${cells.join(' | ')} |`;
    }),
  );
  const intervals = sets.map((set) => {
    const { auroc, fprAtIdTpr95 } = scores['atd']!.sets[set]!.intervals;
    const range = ({ low, high }: typeof auroc) => `${percent(low)} to ${percent(high)}`;
    return `| ${set} | ${ood[set]!.images} | ${range(auroc)} | ${range(fprAtIdTpr95)} |`;
  });
  const best = (wanted: (name: string) => boolean) =>
    Object.entries(scores)
      .filter(([name]) => wanted(name))
      .sort(([, a], [, b]) => b.average.auroc - a.average.auroc)[0]!;
  const [withNo, withNoScore] = best((name) => NO_TOWER.includes(name));
  const [without, withoutScore] = best((name) => !NO_TOWER.includes(name));
  const gain = 100 * (withNoScore.average.auroc - withoutScore.average.auroc);
  return `# Baselines: every score on the default model

Made by \`npm run bench -- baselines\`; \`bench/baselines.ts\` says with which folders. **Not comparable with the paper's numbers**: another
model, other ID classes, other and smaller OOD sets, 64-pixel images. It says how the scores compare on one small model, no more.

AUROC / FPR95 in %, ID positive (FPR95: share of OOD images accepted where 95 % of ID images are; lower is better).

| score | ${sets.join(' | ')} | average |
|---|${sets.map(() => '---|').join('')}---|
${rows.join('\n')}

Best average AUROC with the no tower: \`${withNo}\`, ${percent(withNoScore.average.auroc)} %. Best without it: \`${without}\`, ${percent(withoutScore.average.auroc)} %.
The no tower ${gain > 0 ? 'gains' : 'loses'} ${Math.abs(gain).toFixed(1)} points.

## Which words

\`negLabel\` and \`ole\` depend on the words that the classes compete with, and on whether both go through the same
sentence; \`nearest\` is how far the nearest class is ahead of the nearest word, by whose sign the rule of that name
decides. AUROC in %:

| words | class templates | score | ${sets.join(' | ')} | average |
|---|---|---|${sets.map(() => '---|').join('')}---|
${compared.join('\n')}

## How far to trust it

95 % intervals of \`atd\`, for the size of what can be told apart:

| set | images | AUROC, % | FPR95, % |
|---|---|---|---|
${intervals.join('\n')}

- **Model**: ${model}, content \`${provenance.model.contentId.slice(0, 16)}\`, ${provenance.model.precision}; ID accuracy ${percent(id.accuracy!)} % among ${provenance.labels.count} names
  (${id.images} images; 95 % interval ${percent(id.accuracyInterval!.low)} to ${percent(id.accuracyInterval!.high)}); templates \`${provenance.templates.name}\`.
- **ID**: validation images of 100 Tiny-ImageNet classes (\`bench/tin200-splits.json\`), which the model was trained on (training images).
- **near**: 53 other Tiny-ImageNet classes. **Textures**: DTD, 10 of its 47 classes. **plants**: flower photos of five kinds, in place of
  iNaturalist. **Omniglot**: handwritten characters.
- All images take one path: shorter side to 64 pixels, bicubic, centre crop, PNG; then the model's own preprocessing. Tiny-ImageNet's
  JPEG artefacts remain and may help any score.
- \`negLabel\` and \`ole\` in the first table: WordNet's words mined for the 100 names, as \`negatives: 'wordnet'\` does. The model
  learnt few of these words.
- "ImageNet's other names": those of ImageNet's class names that are not in Tiny-ImageNet. They include "daisy", one of the five
  kinds of flowers. "WordNet, by photos": chosen with ${PHOTOS} training images of each class.
- \`glMcm\`: λ = 1, patches as the model gives them. Formulas: [evaluation.md](evaluation.md#scores).
- **When not to use \`ole\`**: on crops of objects. Published for the classes of VOC against COCO, its AUROC is about 43 %.
`;
}

const count = ({ provenance: { negatives } }: EvalResult) => `${negatives!.count} in ${negatives!.groups} groups`;

async function main(): Promise<void> {
  const folders = ['tin', 'textures', 'plants', 'omniglot'] as const;
  const { values } = parseArgs({
    options: {
      model: { type: 'string' },
      ...Object.fromEntries(folders.map((name) => [name, { type: 'string' as const }])),
    },
  }) as { values: Partial<Record<(typeof folders)[number] | 'model', string>> };
  const missing = folders.filter((name) => values[name] === undefined);
  if (missing.length > 0) throw new Error(`give --${missing.join(' DIR --')} DIR`);
  const given = values as Record<(typeof folders)[number], string>;
  // Another choice of folders gets copies of its own.
  const data = path.join(build, createHash('sha256').update(JSON.stringify(given)).digest('hex').slice(0, 8));
  const at = (name: string) => path.join(data, name);
  await copyAll([
    ...tinyImagenet(given.tin, splits.id, at('id')),
    ...tinyImagenet(given.tin, splits.near, at('near')),
    ...(await folder(given.textures, at('Textures'))),
    ...(await folder(given.plants, at('plants'))),
    ...(await folder(given.omniglot, at('Omniglot'))),
    ...trainingPhotos(given.tin, at('photos')),
  ]);
  const file = values.model ?? smallModel()!.model;
  await using model = await loadModel(file);
  const progress = new Progress();
  const run = (store: string, options: Partial<EvalOptions>) =>
    evaluate({
      model,
      id: at('id'),
      ood: Object.fromEntries(['near', 'Textures', 'plants', 'Omniglot'].map((name) => [name, at(name)])),
      store: path.join(build, 'features', model.info.contentId.slice(0, 16) + store),
      command: 'npm run bench -- baselines',
      onProgress: ({ stage, done, total }) => progress.show(`${stage}: ${done} of ${total}`),
      ...options,
    });
  const result = await run('', { negatives: 'wordnet', patches: true });
  const photos = splits.id.map((wnid): [string, string[]] => {
    const images = readdirSync(at(`photos/${wnid}`)).sort();
    return [names[wnids.indexOf(wnid)]!, images.map((name) => path.join(at('photos'), wnid, name))];
  });
  const mined = await mineNegatives(model, { photos: Object.fromEntries(photos), exif: false });
  const choices: Words[] = [];
  for (const [name, negatives, templates] of [
    ['WordNet', 'wordnet', 'clipn'],
    ['WordNet', 'wordnet', 'nice'],
    ['WordNet, by photos', mined, 'nice'],
    ["ImageNet's other names", negativeWords(given.tin), 'clipn'],
  ] as const) {
    choices.push({ name, templates, result: await run('-plain', { negatives, templates, scorers: [nearest] }) });
  }
  progress.done();
  const [report] = await writeReport(result, path.join(build, 'report.html'));
  const name = values.model === undefined ? 'the default model (`clipn-native-model-small`)' : path.basename(file);
  const text = document(result, choices, name);
  writeFileSync(path.join(root, 'docs', 'baselines.md'), text);
  console.log(text);
  console.log(`written: docs/baselines.md, ${report}`);
}

main();
