/** Asks a detector about images of nothing: whether it can work at all for its labels. docs/label-lint.md */
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import type { Rule } from '../decide/rule';
import { DRAWING_KINDS, type Drawing, type DrawingKind, drawings } from '../images/drawings';
import type { LabelBank } from '../labels/bank';
import { lintNames } from '../labels/lint-names';
import type { CheckResult, Detector } from '../model/detector';
import { hardlyApart } from '../model/lint-labels';
import type { Model } from '../model/model';

/** Shares of drawings accepted, or of labels unsound, from which on a detector is doubtful, and fails. docs/label-lint.md */
const DOUBTFUL = 0.25;
const FAILS = 0.5;
/** Share of those accepted that makes one label the cause. */
const CAUSE = 0.5;
const SEED = 1;

/**
 * - `fails`: half of the drawings or more are accepted, or half of the labels are unsound
 * - `doubtful`: a quarter of one of them
 * - `passes`: fewer. That does not prove that the detector works
 */
export type Standing = 'fails' | 'doubtful' | 'passes';

/** What `diagnoseDetector` found. */
export interface DetectorDiagnosis {
  /** The worst that was found. */
  standing: Standing;
  /** Drawings asked about. */
  asked: number;
  /** How many of them were `in`. */
  accepted: number;
  /** How many were `review`. */
  review: number;
  /** What the detector decides by. */
  rule: Rule;
  /** The same by kind of drawing. */
  byKind: { kind: DrawingKind; asked: number; accepted: number }[];
  /** What accepted ones were taken for, by falling number. */
  byLabel: { label: string; accepted: number }[];
  /** Labels that the model can hardly tell from another, and those that are no names of things. */
  unsound: string[];
  /** What was found, in a sentence. */
  finding: string;
  /** One thing to do. */
  next: string;
}

/** Options of `diagnoseDetector`. */
export interface DiagnoseDetectorOptions {
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal | undefined;
}

const OPTIONS: OptionNames<DiagnoseDetectorOptions> = { signal: true };

/**
 * Whether a detector can work at all for its labels: it is asked about 48 drawings of nothing (noise, flat colours,
 * gradients, stripes, shapes, strokes), always the same, and its labels are looked at. One that accepts many of them does
 * not work; one that rejects them may still accept photos of other things, or reject those of its own labels.
 *
 * @param model of the detector; without a text tower the labels' distances are not looked at
 * @throws what `detector.check` and `model.createLabelBank` throw, or `signal.reason`
 */
export async function diagnoseDetector(
  model: Model,
  detector: Detector,
  options: DiagnoseDetectorOptions = {},
): Promise<DetectorDiagnosis> {
  assertArguments({ model: ['model', model], detector: ['detector', detector], options: ['options', options] });
  assertOptionNames('diagnoseDetector', options, OPTIONS);
  return await diagnoseOn(model, detector, drawings(SEED), options.signal);
}

/** @internal The same with drawings of another seed. */
export async function diagnoseOn(
  model: Model,
  detector: Detector,
  images: readonly Drawing[],
  signal?: AbortSignal,
): Promise<DetectorDiagnosis> {
  const answers: CheckResult[] = [];
  for await (const answer of detector.stream(images, { signal })) {
    if ('error' in answer) throw answer.error;
    answers.push(answer);
  }
  const isIn = answers.map(({ verdict }) => verdict === 'in');
  const byKind = DRAWING_KINDS.map((kind) => {
    const own = isIn.filter((_, i) => images[i]!.kind === kind);
    return { kind, asked: own.length, accepted: own.filter(Boolean).length };
  });
  const taken = new Map<string, number>();
  for (const { label, verdict } of answers) if (verdict === 'in') taken.set(label, (taken.get(label) ?? 0) + 1);
  const byLabel = [...taken].map(([label, accepted]) => ({ label, accepted })).sort((a, b) => b.accepted - a.accepted);
  const counts = {
    asked: answers.length,
    accepted: isIn.filter(Boolean).length,
    review: answers.filter(({ verdict }) => verdict === 'review').length,
    rule: answers[0]!.rule,
    byKind,
    byLabel,
  };
  const { bank } = detector;
  const unsound = await unsoundLabels(model, bank, signal);
  const standing = standingOf(Math.max(counts.accepted / counts.asked, unsound.length / bank.labels.length));
  const found = { standing, ...counts, unsound };
  return { ...found, finding: findingOf(found, bank.labels.length), next: nextOf(found, bank.labels.length) };
}

async function unsoundLabels(model: Model, bank: LabelBank, signal: AbortSignal | undefined): Promise<string[]> {
  const near = model.towers === undefined ? [] : await hardlyApart(model, bank, { signal });
  const named = lintNames(bank.labels).filter(({ kind }) => kind === 'sentence' || kind === 'photo');
  const unsound = new Set([...near, ...named].flatMap(({ labels }) => labels));
  return bank.labels.filter((label) => unsound.has(label));
}

function standingOf(share: number): Standing {
  if (share >= FAILS) return 'fails';
  return share >= DOUBTFUL ? 'doubtful' : 'passes';
}

type Found = Omit<DetectorDiagnosis, 'finding' | 'next'>;

const MEANING: Record<Standing, string> = {
  fails: 'the detector does not work for these labels',
  doubtful: 'the detector is doubtful for these labels',
  passes: 'nothing here speaks against the detector, and nothing proves that it works',
};

function findingOf({ standing, asked, accepted, byLabel, unsound }: Found, labels: number): string {
  const [most] = byLabel;
  const share = most === undefined ? 0 : most.accepted / accepted;
  const taken = share > 1 / 2 ? `, ${share === 1 ? 'all' : 'most'} as ${quoted(most!.label)}` : '';
  const names =
    unsound.length === 0 ? '' : `, and ${unsound.length} of ${labels} labels are near others or no names of things`;
  return `${accepted} of ${asked} drawings of nothing are accepted${taken}${names}: ${MEANING[standing]}.`;
}

const quoted = (label: string) => JSON.stringify(label);

/** One thing to do, by what is most likely the cause. */
function nextOf({ standing, asked, accepted, rule, byLabel, unsound }: Found, labels: number): string {
  if (standing === 'passes') {
    return 'Measure it on photos of other things: `clipn-native calibrate --ood DIR`, or `eval` (docs/calibration.md).';
  }
  if (unsound.length / labels >= accepted / asked) {
    return 'Put other names in the place of those that `clipn-native labels --lint` tells of, and ask again.';
  }
  const [most] = byLabel;
  if (labels > 2 && most!.accepted >= CAUSE * accepted) {
    return `Take ${quoted(most!.label)} out, or put a narrower name in its place, and ask again.`;
  }
  switch (rule) {
    case 'ctw':
    case 'atd':
      return 'Let words compete with the labels, `--negatives wordnet --score maxLogit`, and ask again.';
    case 'threshold':
      return 'Fit the threshold on photos of your classes with `clipn-native calibrate`, and ask again.';
    case 'nearest':
    case 'calibrated':
      return 'Name what the photos show more narrowly, or take a stronger model, and ask again.';
  }
}
