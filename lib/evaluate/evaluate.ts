/**
 * evaluate/: Folders of images to an EvalResult.
 *
 * `eval`: folders of images to the paper's evaluation (spec 4), and to what helps to see why.
 */

import { join } from 'node:path';
import { assertArguments, assertOptionNames, shown } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { assertCalibrationFits, type Calibration } from '../decide/calibration';
import { type FittedFor, fittedFor } from '../decide/fitted-for';
import { defaultScore } from '../decide/rule';
import { hasClassFolders, readImageFolder, refusal } from '../images/folder';
import { matchClasses } from '../labels/class-names';
import { comparedWarnings } from '../model/bank-warnings';
import { loadModel } from '../model/load';
import type { Model } from '../model/model';
import { labelTemplates, readWords } from '../model/negatives';
import { needsNegatives } from '../scores/names';
import { examplesOf, worstImages } from './examples';
import { figuresOf, type KnownClasses, trueLabels } from './figures';
import {
  assertOptions,
  DEFAULT_BATCH,
  DEFAULT_EXAMPLES,
  EVAL_OPTIONS,
  type EvalOptions,
  type EvalProgress,
} from './options';
import { createdAt, provenance } from './provenance';
import { EVAL_FORMAT, type EvalResult } from './result';
import { type Scored, type ScorePass, scoreRows } from './score-pass';
import { type IdAndOod, type ReadableSet, type ScannedSet, storedFeatures } from './sets';
import { cannotDecide, scorersFor } from './usable';

/**
 * Evaluates as the paper does (spec 4): ID positive, each OOD set against all ID images, plain means over the sets,
 * EXIF orientation not applied unless asked for. Features come from the store where it has them. Unreadable images are listed in the
 * result and left out of every figure.
 *
 * @throws ERR_CLIPN_DATA_FOLDER (missing, empty, mixed or wholly unreadable folder), ERR_CLIPN_DATA_CLASSES (class folders
 *   that the labels lack), ERR_CLIPN_STORE_MISMATCH, ERR_CLIPN_STORE_FORMAT, ERR_CLIPN_SCORES (a score that is not a
 *   number), ERR_CLIPN_MODEL_CONTRACT (a deciding score or patches that the model does not offer), ERR_CLIPN_CALIBRATION,
 *   ERR_CLIPN_LABELS, ERR_CLIPN_WORDNET, ERR_CLIPN_INVALID_ARG, what `loadModel` throws, or `signal.reason`
 */
export async function evaluate(options: EvalOptions): Promise<EvalResult> {
  assertArguments({ options: ['record', options] });
  assertArguments({ id: ['text', options.id], ood: ['record', options.ood], options: ['options', options] });
  assertOptionNames('evaluate', options, EVAL_OPTIONS);
  assertModelOptions(options);
  assertOptions(options);
  const sets: [ScannedSet, ...ScannedSet[]] = [{ name: 'id', ...(await readImageFolder(options.id)) }];
  for (const [name, folder] of Object.entries(options.ood)) {
    sets.push({ name, ...(await readImageFolder(folder)) });
  }
  const classes = classesOf(sets[0], options);
  if (typeof options.model !== 'string') return await evaluateOn(options.model, sets, classes, options);
  const { precision, trustedSha256, signal } = options;
  await using model = await loadModel(options.model, {
    ...(precision && { precision }),
    ...(trustedSha256 !== undefined && { trustedSha256 }),
    ...(signal && { signal }),
  });
  return await evaluateOn(model, sets, classes, options);
}

function assertModelOptions({ model, precision, trustedSha256, classNames }: EvalOptions): void {
  if (typeof model !== 'string') {
    assertArguments({ model: ['model', model] });
    const ofLoading = Object.entries({ precision, trustedSha256 }).find(([, value]) => value !== undefined);
    if (ofLoading !== undefined) {
      throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${ofLoading[0]} is of loading, and the model is loaded`, {
        hint: 'Give it to `loadModel`, or give the path of the model.',
      });
    }
  }
  if (classNames !== undefined && !(classNames instanceof Map)) {
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `classNames must be a Map of folders to names, not ${shown(classNames)}`,
    );
  }
}

/** Labels, and the label of each ID class folder; without class folders the latter are unknown. */
function classesOf(id: ScannedSet, { labels, classNames }: EvalOptions): KnownClasses {
  if (hasClassFolders(id)) return { ...matchClasses(id.classes, labels, classNames), labelled: true };
  if (labels !== undefined) return { labels: [...labels], labelOf: [], labelled: false };
  const hint = 'Give `labels`, on the command line --labels or --labels-file.';
  throw refusal(id.folder, 'has no class folders, and no labels are given', hint);
}

async function evaluateOn(
  model: Model,
  sets: IdAndOod<ScannedSet>,
  classes: KnownClasses,
  options: EvalOptions,
): Promise<EvalResult> {
  const { exif = false, truncated, command = 'evaluate()', examples = DEFAULT_EXAMPLES } = options;
  const created = createdAt();
  const { bank, negatives, deciding, scorers, readable, pass } = await prepare(model, sets, classes, options);
  const scored = await scoreAll(readable, pass);
  const truth = trueLabels(readable[0], classes);
  const { calibration } = options;
  const figures = figuresOf({ classes, truth, deciding, calibration, scorers, readable, scored });
  const worst = worstImages(
    scored[0].scores[deciding]!,
    scored.slice(1).map(({ scores }) => scores[deciding]!),
    examples,
  );
  return {
    format: EVAL_FORMAT,
    created,
    provenance: await provenance(model, bank, negatives, { exif, truncated, command }),
    ...figures,
    warnings: [...comparedWarnings(model.info, bank, negatives, deciding), ...figures.warnings],
    worst: {
      falseAccepts: await examplesOf(worst.falseAccepts, readable, truth, pass),
      falseRejects: await examplesOf(worst.falseRejects, readable, truth, pass),
    },
  };
}

/** All that is needed before an image is scored; what can be refused is refused before an image is encoded. */
async function prepare(model: Model, sets: IdAndOod<ScannedSet>, classes: KnownClasses, options: EvalOptions) {
  const { calibration, exif = false, batch = DEFAULT_BATCH, signal } = options;
  const words = options.negatives === undefined ? undefined : await readWords(options.negatives);
  const scorers = scorersFor(model.info, options);
  const deciding =
    options.score ?? calibration?.score ?? defaultScore({ no: model.info.hasNo, words: words === undefined ? 0 : 1 });
  if (!scorers.usable.some(({ name }) => name === deciding)) throw cannotDecide(deciding, scorers);
  const bank = await model.createLabelBank(classes.labels, {
    templates: options.templates ?? labelTemplates(model.info, words),
    signal,
    onProgress: options.onProgress,
  });
  const { onProgress: told } = options;
  const negatives =
    words === undefined ? undefined : await model.createNegatives(bank, words, { signal, onProgress: told });
  if (calibration) {
    const compared = needsNegatives(calibration.score) ? negatives : undefined;
    assertCalibrationDecides(
      calibration,
      deciding,
      fittedFor(model.info, bank, { exif }, compared),
      bank.labels.length,
    );
  }

  const onProgress = (done: number, total: number) => options.onProgress?.({ stage: 'features', done, total });
  const { store, readable } = await storedFeatures(model, bank, sets, { ...options, exif, batch, onProgress });
  const images = readable.reduce((sum, { rows }) => sum + rows.length, 0);
  const pass: ScorePass = {
    lane: model.lane,
    store,
    bank,
    scale: model.info.config.scale,
    scorers: scorers.usable,
    negatives,
    signal,
    onBlock: counter(options, 'scores', images),
  };
  return { bank, negatives, deciding, scorers, readable, pass };
}

function assertCalibrationDecides(calibration: Calibration, deciding: string, used: FittedFor, labels: number): void {
  assertCalibrationFits(calibration, used, labels);
  if (calibration.score === deciding) return;
  throw new ClipnError('ERR_CLIPN_CALIBRATION', `the calibration is for score ${calibration.score}, not ${deciding}`);
}

/** Every score of every readable image, the ID set first. */
async function scoreAll(readable: IdAndOod<ReadableSet>, pass: ScorePass): Promise<IdAndOod<Scored>> {
  const score = ({ set, kept, rows }: ReadableSet) =>
    scoreRows(rows, (row) => join(set.folder, set.images[kept[row]!]!), pass);
  const [id, ...ood] = readable;
  const scored: [Scored, ...Scored[]] = [await score(id)];
  for (const set of ood) scored.push(await score(set));
  return scored;
}

/** Adds up blocks to a progress of `total`. */
function counter({ onProgress }: EvalOptions, stage: EvalProgress['stage'], total: number) {
  let done = 0;
  return (count: number) => {
    done += count;
    onProgress?.({ stage, done, total });
  };
}
