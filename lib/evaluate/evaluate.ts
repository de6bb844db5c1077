/**
 * evaluate/: Folders of images to an EvalResult.
 *
 * `eval`: folders of images to the paper's evaluation (spec 4), and to what helps to see why.
 */
import { join } from 'node:path';
import { ClipnError } from '../base/errors';
import { assertCalibrationFits, type Calibration } from '../decide/calibration';
import { fittedFor } from '../decide/fitted-for';
import { hasClassFolders, readImageFolder, refusal } from '../images/folder';
import { thumbnail } from '../images/thumbnail';
import { type LabelBank, selectRows } from '../labels/bank';
import { type ClassLabels, isImagenet, matchClasses } from '../labels/class-names';
import { wilsonInterval } from '../metrics/intervals';
import { loadModel } from '../model/load';
import type { Model } from '../model/model';
import type { Precision } from '../native/target';
import { groupNegatives } from '../scores/negatives';
import { scoreOn } from '../scores/score';
import { builtInScorers, type Need, type Scorer } from '../scores/scorers';
import type { TemplateSet } from '../text/templates';
import { provenance } from './provenance';
import { publishedNumbers } from './published';
import type { EvalResult, Example } from './result';
import { type Scored, type ScorePass, scoreRows, usableScorers } from './score-pass';
import { type ImageSet, type Readable, setSummary, storedFeatures } from './sets';
import { acceptedShare, classResults, type Pick, recallThreshold, scoreResults, worstPicks } from './summary';

export interface EvalProgress {
  /** `labels`: sentences of labels and negatives; `features`: images not in the store; `scores`: images. */
  stage: 'labels' | 'features' | 'scores';
  done: number;
  total: number;
}

export interface EvalOptions {
  /** A loaded model, or the path of a model file, which is loaded in `precision` (default fp32) and closed again. */
  model: Model | string;
  precision?: Precision | 'auto' | undefined;
  /** In-distribution images: a folder of class folders, or of images alone (then there is no accuracy). */
  id: string;
  /** Name → folder of out-of-distribution images, at least one. */
  ood: Readonly<Record<string, string>>;
  /** Class names; those of the ID class folders when absent. */
  labels?: readonly string[] | undefined;
  /** Names of class folders, beyond the wnids of ImageNet-1k, which are known. */
  classNames?: ReadonlyMap<string, string> | undefined;
  templates?: string | TemplateSet | undefined;
  /** Folder of the feature store; by default one for the model in the cache folder. */
  store?: string | undefined;
  /** Score by which classes and examples are judged. Default the calibration's, else `atd`. */
  score?: string | undefined;
  /** Words for NegLabel. */
  negatives?: readonly string[] | undefined;
  /** Also GL-MCM: encodes the images with their patches, into a store that is bound to the labels. Default false. */
  patches?: boolean | undefined;
  /** λ of GL-MCM, default 1. */
  lambda?: number | undefined;
  calibration?: Calibration | undefined;
  /** Turn images as their EXIF orientation says. Default false, as in the paper's evaluation; `check` does. */
  exif?: boolean | undefined;
  /** Scores of your own, after the built-in ones. */
  scorers?: readonly Scorer[] | undefined;
  /** Images in a call of the tower, default 8. Another number may change the last bits of features. */
  batch?: number | undefined;
  /** Examples of each kind of mistake, default 12. */
  examples?: number | undefined;
  limitPixels?: number | undefined;
  /** @internal Images after which a part of the store is written. */
  shardRows?: number | undefined;
  /** For the result's provenance. */
  command?: string | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: EvalProgress) => void) | undefined;
}

/**
 * Evaluates as the paper does (spec 4): ID positive, each OOD set against all ID images, plain means over the sets,
 * EXIF orientation not applied unless asked for. Features come from the store where it has them. Unreadable images are listed in the
 * result and left out of every figure.
 *
 * @throws ERR_CLIPN_DATA_FOLDER (missing, empty, mixed or wholly unreadable folder), ERR_CLIPN_DATA_CLASSES (class folders
 *   that the labels lack), ERR_CLIPN_STORE_MISMATCH, ERR_CLIPN_STORE_FORMAT, ERR_CLIPN_SCORES (a score that is not a
 *   number), ERR_CLIPN_MODEL_CONTRACT (a deciding score or patches that the model does not offer), ERR_CLIPN_CALIBRATION,
 *   ERR_CLIPN_LABELS, ERR_CLIPN_INVALID_ARG, what `loadModel` throws, or `signal.reason`
 */
export async function evaluate(options: EvalOptions): Promise<EvalResult> {
  checkOptions(options);
  const sets: ImageSet[] = [{ name: 'id', ...(await readImageFolder(options.id)) }];
  for (const [name, folder] of Object.entries(options.ood)) {
    sets.push({ name, ...(await readImageFolder(folder)) });
  }
  const classes = classesOf(sets[0]!, options);
  if (typeof options.model !== 'string') return await evaluateOn(options.model, sets, classes, options);
  const { precision, signal } = options;
  await using model = await loadModel(options.model, {
    ...(precision && { precision }),
    ...(signal && { signal }),
  });
  return await evaluateOn(model, sets, classes, options);
}

const DEFAULT_BATCH = 8;
const DEFAULT_EXAMPLES = 12;

function checkOptions({ ood, batch = DEFAULT_BATCH, examples = DEFAULT_EXAMPLES, lambda = 1 }: EvalOptions): void {
  const invalid = (what: string) => new ClipnError('ERR_CLIPN_INVALID_ARG', what);
  if (Object.keys(ood).length === 0) {
    throw new ClipnError('ERR_CLIPN_DATA_FOLDER', 'there is no out-of-distribution folder', {
      hint: 'Name at least one: --ood NAME=DIR.',
    });
  }
  for (const name of Object.keys(ood)) {
    if (name === 'id' || name === 'average' || name === '') throw invalid(`an OOD set cannot be called "${name}"`);
  }
  if (!Number.isInteger(batch) || batch < 1) throw invalid(`batch must be a whole number of at least 1, not ${batch}`);
  if (!Number.isInteger(examples) || examples < 0) {
    throw invalid(`examples must be a whole number of at least 0, not ${examples}`);
  }
  if (!(lambda >= 0 && lambda < Number.POSITIVE_INFINITY)) throw invalid(`lambda must be at least 0, not ${lambda}`);
}

/** Labels, and the label of each ID class folder; without class folders the latter are unknown. */
function classesOf(id: ImageSet, { labels, classNames }: EvalOptions): ClassLabels & { labelled: boolean } {
  if (hasClassFolders(id)) return { ...matchClasses(id.classes, labels, classNames), labelled: true };
  if (labels !== undefined) return { labels: [...labels], labelOf: [], labelled: false };
  throw refusal(id.folder, 'has no class folders, and no labels are given', 'Give --labels or --labels-file.');
}

async function evaluateOn(
  model: Model,
  sets: readonly ImageSet[],
  classes: ClassLabels & { labelled: boolean },
  options: EvalOptions,
): Promise<EvalResult> {
  const { calibration, signal } = options;
  const bank = await labelBank(model, classes.labels, options, false);
  const deciding = options.score ?? calibration?.score ?? 'atd';
  const exif = options.exif ?? false;
  if (calibration) {
    assertCalibrationFits(calibration, fittedFor(model.info, bank, { exif }));
    if (calibration.score !== deciding) {
      throw new ClipnError(
        'ERR_CLIPN_CALIBRATION',
        `the calibration is for score ${calibration.score}, not ${deciding}`,
      );
    }
  }
  const words = options.negatives && groupNegatives(options.negatives, classes.labels);
  const { usable, skipped } = scorersFor(model, options);
  if (!usable.some(({ name }) => name === deciding)) throw cannotDecide(deciding, skipped, usable);
  const negatives = words ? await negativeBanks(model, words.groups, options) : null;

  const { store, readable } = await storedFeatures(model, bank, sets, {
    ...options,
    exif,
    batch: options.batch ?? DEFAULT_BATCH,
    onProgress: (done, total) => options.onProgress?.({ stage: 'features', done, total }),
  });
  const pass: ScorePass = {
    lane: model.lane,
    store,
    bank,
    scale: model.info.config.scale,
    scorers: usable,
    negatives,
    signal,
    onBlock: counter(
      options,
      'scores',
      readable.reduce((sum, { rows }) => sum + rows.length, 0),
    ),
  };
  const scored: Scored[] = [];
  for (const { set, kept, rows } of readable) {
    scored.push(await scoreRows(rows, (i) => join(set.folder, set.images[kept[i]!]!), pass));
  }

  const [id, ...ood] = readable as [Readable, ...Readable[]];
  const [idScored, ...oodScored] = scored as [Scored, ...Scored[]];
  const names = ood.map(({ set }) => set.name);
  const perSet = <T>(of: (i: number) => T) => Object.fromEntries(names.map((name, i) => [name, of(i)]));
  const valuesOf = (score: string) => perSet((i) => oodScored[i]!.scores[score]!);
  const decidingId = idScored.scores[deciding]!;
  const threshold = recallThreshold(decidingId);
  const truth = Int32Array.from(id.kept, (image) => classes.labelOf[id.set.classOf[image]!] ?? -1);
  const right = truth.reduce((sum, label, i) => sum + (label === idScored.top[i] ? 1 : 0), 0);
  const picks = worstPicks(decidingId, Object.values(valuesOf(deciding)), options.examples ?? DEFAULT_EXAMPLES);
  const examples = (of: Pick[]) => examplesOf(of, [id, ...ood], truth, pass);
  return {
    format: 'clipn-native eval 1',
    created: new Date(1000 * Number(process.env['SOURCE_DATE_EPOCH'] ?? Date.now() / 1000)).toISOString(),
    provenance: await provenance(model, bank, words, { exif, command: options.command ?? 'evaluate()' }),
    id: {
      ...setSummary(id),
      accuracy: classes.labelled ? right / truth.length : null,
      accuracyInterval: classes.labelled ? wilsonInterval(right, truth.length) : null,
    },
    ood: perSet((i) => setSummary(ood[i]!)),
    decidingScore: deciding,
    threshold,
    scores: Object.fromEntries(
      usable.map((scorer) => [scorer.name, scoreResults(scorer, idScored.scores[scorer.name]!, valuesOf(scorer.name))]),
    ),
    skipped,
    warnings: [...bank.warnings, ...classWarnings(classes)],
    classes: classResults(classes.labels, truth, idScored, oodScored, deciding, threshold),
    worst: {
      falseAccepts: await examples(picks.falseAccepts),
      falseRejects: await examples(picks.falseRejects),
    },
    calibration: calibration
      ? {
          target: calibration.formatVersion === 2 ? calibration.target : null,
          images: calibration.formatVersion === 2 ? calibration.images : null,
          score: calibration.score,
          threshold: calibration.in,
          idAccepted: acceptedShare(idScored.scores[calibration.score]!, calibration.in),
          oodAccepted: perSet((i) => acceptedShare(oodScored[i]!.scores[calibration.score]!, calibration.in)),
        }
      : null,
    published: publishedNumbers(isImagenet(classes.labels), {
      id: id.set.images.length,
      ood: perSet((i) => ood[i]!.set.images.length),
    }),
  };
}

async function labelBank(model: Model, labels: readonly string[], options: EvalOptions, yesOnly: boolean) {
  const { templates, signal, onProgress } = options;
  return await model.createLabelBank(labels, { templates, yesOnly, signal, onProgress });
}

/** One bank for all words, so that it is encoded and cached as one, cut into those of the groups. */
async function negativeBanks(model: Model, groups: readonly string[][], options: EvalOptions): Promise<LabelBank[]> {
  const all = await labelBank(model, groups.flat(), options, true);
  let first = 0;
  return groups.map(({ length }) => {
    const from = first;
    first += length;
    return selectRows(
      all,
      Array.from({ length }, (_, i) => from + i),
    );
  });
}

function scorersFor(model: Model, { scorers = [], lambda, negatives, patches }: EvalOptions) {
  const met: Record<Need, true | string> = {
    'no tower': model.info.hasNo || 'the model is a plain CLIP, without a no tower',
    patches: patches === true || 'it needs --patches, which encodes the images with their patches',
    negatives: negatives !== undefined || 'it needs a list of words: --negatives',
    logits: true,
  };
  if (patches && !model.info.hasPatches) {
    throw new ClipnError('ERR_CLIPN_MODEL_CONTRACT', `${model.info.path} has no method encode_image_patches`);
  }
  const all = [...builtInScorers(lambda), ...scorers];
  const twice = all.find(({ name }, i) => all.findIndex((each) => each.name === name) !== i);
  if (twice) throw new ClipnError('ERR_CLIPN_INVALID_ARG', `there are two scorers called ${twice.name}`);
  return usableScorers(all, met);
}

function cannotDecide(score: string, skipped: EvalResult['skipped'], usable: readonly Scorer[]): ClipnError {
  const names = usable.map(({ name }) => name).join(', ');
  const left = skipped.find((each) => each.score === score);
  return left
    ? new ClipnError('ERR_CLIPN_MODEL_CONTRACT', `${score} cannot decide: ${left.why}`, {
        hint: `Choose another score: ${names}.`,
      })
    : new ClipnError('ERR_CLIPN_INVALID_ARG', `there is no score ${score}; there are ${names}`);
}

function classWarnings({ labels, labelOf, labelled }: ClassLabels & { labelled: boolean }): string[] {
  const without = labels.length - new Set(labelOf).size;
  return labelled && without > 0 ? [`${without} of ${labels.length} labels have no class folder`] : [];
}

/** Adds up blocks to a progress of `total`. */
function counter({ onProgress }: EvalOptions, stage: EvalProgress['stage'], total: number) {
  let done = 0;
  return (count: number) => {
    done += count;
    onProgress?.({ stage, done, total });
  };
}

/** Labels in the top list of an example. */
const TOP = 3;

async function examplesOf(
  picks: readonly Pick[],
  [id, ...ood]: readonly [Readable, ...Readable[]],
  truth: Int32Array,
  { store, bank, lane, scale, signal }: ScorePass,
): Promise<Example[]> {
  if (picks.length === 0) return [];
  const readableOf = (pick: Pick) => (pick.set === -1 ? id : ood[pick.set]!);
  const rows = picks.map((pick) => readableOf(pick).rows[pick.i]!);
  const features = new Float32Array(picks.length * bank.dim);
  await store.read(rows, features, null);
  const topK = Math.min(TOP, bank.labels.length);
  const { topIndex, topP, topPYes } = await scoreOn(lane, features, bank, { topK, scale, signal });
  const top = (at: number) => ({
    label: bank.labels[topIndex[at]!]!,
    p: topP[at]!,
    pYes: bank.no === null ? null : topPYes[at]!,
  });
  const example = async (pick: Pick, k: number): Promise<Example> => {
    const { set, kept } = readableOf(pick);
    const image = set.images[kept[pick.i]!]!;
    return {
      set: set.name,
      image,
      truth: pick.set === -1 ? (bank.labels[truth[pick.i]!] ?? null) : null,
      score: pick.value,
      top: Array.from({ length: topK }, (_, j) => top(k * topK + j)),
      thumbnail: await thumbnail(join(set.folder, image)),
    };
  };
  return await Promise.all(picks.map(example));
}
