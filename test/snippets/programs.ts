/** How each snippet of a program is run: the files and names it takes for granted, and what its text says comes out. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Folder } from './folders';
import { photo, plainClip, SMALL, WORDS } from './folders';
import type { Given } from './given';

/** What a snippet left behind. */
export interface Ran {
  /** Its variables that are named in `gives`. */
  given: Record<string, unknown>;
  /** What it printed, a line each. */
  said: string[];
}

export interface Program {
  /** Names out of `Given` that it takes for granted; `here as there`, where it uses another name for one. */
  given?: readonly (keyof Given | `${keyof Given} as ${string}`)[];
  files?: Folder | (() => Promise<Folder>);
  /** Its variables that `check` looks at. */
  gives?: readonly string[];
  /** What its text, or the document, says of the outcome. */
  check?: (ran: Ran) => void;
  /** It is refused with this code, which is what it shows. */
  refused?: string;
  /** Classes of `bank`, instead of those of the sample photos. */
  classes?: readonly string[];
  /** With the plain CLIP, which needs negative words, instead of the small model. */
  plain?: boolean;
}

const isVerdict = (verdict: unknown) => assert.ok(verdict === 'in' || verdict === 'out', String(verdict));
const PHOTO = photo('boats.jpg');

/** By the snippet's name. */
export const PROGRAMS: Record<string, Program> = {
  'README.md js 1': {
    given: ['path', 'buffer', 'url', 'box', 'camera', 'signal'],
    files: async () => ({ 'photo.jpg': PHOTO, 'laion/CLIP-ViT-B-16-laion2B-s34B-b88K': await plainClip() }),
    gives: ['verdict', 'label', 'nearestWord'],
    check: ({ given: { verdict, label, nearestWord }, said }) => {
      isVerdict(verdict);
      assert.ok(['cat', 'dog', 'coffee', 'bus'].includes(String(label)));
      assert.ok(WORDS.includes(String(nearestWord)));
      assert.equal(said.length, 4);
      said.forEach(isVerdict);
    },
  },
  'docs/calibration.md js 1': {
    given: ['model', 'bank', 'images', 'otherImages'],
    files: { 'new.jpg': PHOTO },
    gives: ['calibration', 'ood', 'verdict', 'pValue'],
    check: ({ given: { calibration, ood, verdict, pValue } }) => {
      assert.deepEqual(Object.entries(calibration as object).slice(0, 2), [
        ['formatVersion', 3],
        ['score', 'atd'],
      ]);
      assert.ok(ood !== undefined);
      isVerdict(verdict);
      assert.ok(Number(pValue) > 0 && Number(pValue) <= 1);
    },
  },
  'docs/calibration.md js 2': {
    given: ['detector', 'images'],
    gives: ['flagged'],
    check: ({ given: { flagged } }) => assert.ok(Array.isArray(flagged)),
  },
  'docs/drift.md js 1': {
    given: ['calibration', 'detector', 'images'],
    gives: ['json'],
    check: ({ given: { json } }) => assert.equal(JSON.parse(String(json)).formatVersion, 1),
  },
  'docs/electron.md js 1': {
    given: ['modelPath', 'nodePath as path'],
    gives: ['model'],
  },
  'docs/errors.md js 1': {
    given: ['detector'],
    files: { 'photo.jpg': 'no image' },
    check: ({ said }) => assert.match(said.join('\n'), /photo\.jpg.* - .*replace it/),
  },
  'docs/evaluation.md js 1': {
    files: { 'vit-b16-clipn.pt': SMALL, 'photos/mine/ferry/': 6, 'photos/mine/cat/': 6, 'photos/other/': 6 },
    gives: ['result'],
    check: ({ said }) => {
      assert.equal(said.length, 1);
      assert.ok(Number(said[0]) >= 0 && Number(said[0]) <= 1);
    },
  },
  'docs/evaluation.md js 2': {
    given: ['model', 'id', 'ood'],
    files: { 'mine/ferry/': 6, 'mine/cat/': 6, 'other/': 6 },
  },
  'docs/label-lint.md js 1': {
    given: ['model', 'labels', 'negatives', 'detector'],
    gives: ['findings', 'skipped', 'standing', 'finding', 'next'],
    check: ({ given: { findings, skipped, standing, finding, next } }) => {
      assert.ok(Array.isArray(findings) && Array.isArray(skipped));
      assert.match(String(standing), /^(passes|doubtful|fails)$/);
      assert.ok(String(finding).endsWith('.') && String(next).length > 10);
    },
  },
  'docs/metrics.md js 1': {
    given: ['idScores as id', 'sun', 'places'],
    gives: ['auroc', 'average'],
    check: ({ given: { auroc } }) => assert.equal(Number(auroc).toFixed(4), '0.8333'),
  },
  'docs/migrating.md js 1': {
    files: async () => ({ 'photo.jpg': PHOTO, 'openai/clip-vit-base-patch16': await plainClip() }),
    check: ({ said: [answer = ''] }) => {
      const [, word = ''] = /^none of them; nearest word: (.*)$/.exec(answer) ?? [];
      assert.ok(['cat', 'dog', 'coffee', 'bus'].includes(answer) || WORDS.includes(word), answer);
    },
  },
  'docs/migrating.md js 2': {
    files: async () => ({ 'photo.jpg': PHOTO, 'openai/clip-vit-base-patch16': await plainClip() }),
    gives: ['verdict', 'top'],
    check: ({ given: { verdict, top } }) => {
      isVerdict(verdict);
      const shares = (top as { p: number }[]).map(({ p }) => p);
      assert.equal(shares.length, 4);
      assert.ok(Math.abs(shares.reduce((sum, p) => sum + p) - 1) < 1e-5);
    },
  },
  'docs/models.md js 1': {
    gives: ['model'],
    check: ({ said }) => assert.match(said.join('\n'), /MB to download/),
  },
  'docs/pixels.md js 1': {
    given: ['detector'],
    files: { 'street.jpg': PHOTO },
    gives: ['result'],
    check: ({ given: { result } }) =>
      assert.deepEqual((result as { region: unknown }).region, { x: 40, y: 12, width: 220, height: 180 }),
  },
  'docs/precision.md js 1': {
    files: { 'model.pt': SMALL, 'photo.jpg': PHOTO },
    // Without a first tower nothing says in which precision.
    check: ({ said }) => {
      assert.match(said[0]!, /^(in|out) (dog|cat|car) (int8|bf16|fp32)?$/);
      assert.equal(said.length, 2);
    },
  },
  'docs/reasons.md js 1': {
    given: ['detector', 'writeFile'],
    files: { 'photo.jpg': PHOTO },
    gives: ['sentence', 'labels', 'otherLabels'],
    check: ({ given: { sentence, labels, otherLabels } }) => {
      assert.match(String(sentence), /^Looks most like “ferry”/);
      assert.ok((labels as unknown[]).length === 5 && Number(otherLabels) >= 0);
      assert.equal(readFileSync('why.png').toString('latin1', 1, 4), 'PNG');
    },
  },
  'docs/runtimes.md js 1': {
    given: ['module'],
    gives: ['module'],
    check: ({ given }) => {
      const { exports } = given['module'] as { exports: unknown };
      assert.deepEqual(exports, { target: 'node', externals: { 'clipn-native': 'commonjs clipn-native' } });
    },
  },
  'docs/scores.md js 1': {
    given: ['model'],
    plain: true,
    files: { 'photo.jpg': PHOTO },
    gives: ['verdict', 'label', 'nearestWord'],
    check: ({ given: { verdict, label, nearestWord } }) => {
      isVerdict(verdict);
      assert.ok(['cat', 'dog', 'bus'].includes(String(label)));
      assert.ok(WORDS.includes(String(nearestWord)));
    },
  },
  'docs/scores.md js 2': {
    given: ['model'],
    files: { 'cat1.jpg': photo('cat.jpg'), 'cat2.jpg': photo('cat.jpg'), 'dog1.jpg': photo('cat.jpg') },
    gives: ['mined'],
    check: ({ given: { mined } }) => assert.equal((mined as { formatVersion: number }).formatVersion, 1),
  },
  'docs/scores.md js 3': {
    given: ['model', 'bank', 'images as catPhotos', 'otherImages as dogPhotos'],
    classes: ['cat', 'dog'],
    files: { 'street.jpg': PHOTO },
    gives: ['present', 'found'],
    check: ({ given: { present, found } }) => {
      assert.deepEqual(Object.keys(present as object), ['cat', 'dog']);
      assert.ok(Array.isArray(found));
    },
  },
  'docs/security.md js 1': {
    files: { 'vit-b16-clipn.pt': SMALL },
    refused: 'ERR_CLIPN_MODEL_UNTRUSTED',
  },
  'docs/throughput.md js 1': {
    given: ['modelPath as path'],
    gives: ['model'],
  },
  'docs/triton.md js 1': {
    given: ['detector'],
    gives: ['input', 'outputs', 'labels'],
    check: ({ given: { input, outputs, labels } }) => {
      assert.deepEqual(input, { name: 'pixels', dtype: 'uint8', shape: [64, 64, 3] });
      assert.ok(Array.isArray(outputs) && Array.isArray(labels));
      assert.equal(readFileSync('forward.pt').toString('latin1', 0, 2), 'PK');
    },
  },
};
