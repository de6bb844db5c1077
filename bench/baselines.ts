/**
 * docs/baselines.md: every score of `eval` on the default model, with 100 classes of Tiny-ImageNet as ID.
 *
 *   npm run bench -- baselines --tin DIR --textures DIR --plants DIR --omniglot DIR [--model M]
 *
 * DIR of --tin is tiny-imagenet-200, whose validation images are used; the others are folders of images of any depth. All
 * images take one path to 64 pixels first (Tiny-ImageNet has no more), for sharpness alone would tell the sets apart. Copies,
 * features and the report stay in build/baselines.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { type EvalResult, evaluate, loadModel, writeReport } from '../lib';
import { Progress } from '../lib/cli/terminal';
import names from '../lib/data/imagenet-classnames.json';
import wnids from '../lib/data/imagenet-wnids.json';
import { findImages } from '../lib/images/find';
import { smallModel } from '../lib/weights/small-model';
import splits from './tin200-splits.json';

const root = path.join(__dirname, '..');
const build = path.join(root, 'build', 'baselines');
const SIDE = 64;
const NO_TOWER = ['ctw', 'atd', 'gap'];

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

const percent = (share: number) => (100 * share).toFixed(1);

function document(result: EvalResult, model: string): string {
  const { id, ood, scores, provenance } = result;
  const sets = Object.keys(ood);
  const cell = ({ auroc, fprAtIdTpr95 }: { auroc: number; fprAtIdTpr95: number }) =>
    `${percent(auroc)} / ${percent(fprAtIdTpr95)}`;
  const rows = Object.entries(scores).map(
    ([name, { sets: of, average }]) =>
      `| \`${name}\` | ${sets.map((set) => cell(of[set]!)).join(' | ')} | ${cell(average)} |`,
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
- \`negLabel\`: ${provenance.negatives!.count} of ImageNet's class names, those of Tiny-ImageNet left out, in ${provenance.negatives!.groups} groups. They include "daisy", one of the
  five kinds of flowers. \`glMcm\`: λ = 1, patches as the model gives them. Formulas: [evaluation.md](evaluation.md#scores).
`;
}

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
  ]);
  const file = values.model ?? smallModel()!.model;
  await using model = await loadModel(file);
  const progress = new Progress();
  const result = await evaluate({
    model,
    id: at('id'),
    ood: Object.fromEntries(['near', 'Textures', 'plants', 'Omniglot'].map((name) => [name, at(name)])),
    negatives: negativeWords(given.tin),
    patches: true,
    store: path.join(build, 'features', model.info.contentId.slice(0, 16)),
    command: 'npm run bench -- baselines',
    onProgress: ({ stage, done, total }) => progress.show(`${stage}: ${done} of ${total}`),
  });
  progress.done();
  const [report] = await writeReport(result, path.join(build, 'report.html'));
  const name = values.model === undefined ? 'the default model (`clipn-native-model-small`)' : path.basename(file);
  const text = document(result, name);
  writeFileSync(path.join(root, 'docs', 'baselines.md'), text);
  console.log(text);
  console.log(`written: docs/baselines.md, ${report}`);
}

main();
