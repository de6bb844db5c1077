/** Schemas that several routes name, in /openapi.json as components. */
import { SCORES } from '../scores';
import { STATUS_OF } from './problem';
import { count, list, number, object, oneOf, orNull, pixel, rectangle, ref, type Schema, side, text } from './schema';

const VERDICT = oneOf('in', 'out', 'review');
const NEGATIVE = ['negLabel', 'ole'];

/** Schemas that several routes name. */
export const SHARED: readonly Schema[] = [
  {
    ...object({
      type: text,
      title: text,
      status: count,
      detail: text,
      code: oneOf(...Object.keys(STATUS_OF)),
      hint: text,
    }),
    $id: 'Problem',
    description: 'What went wrong (RFC 9457): `detail` says what, `hint` what to do, `code` is for programs.',
  },
  {
    ...object({
      type: text,
      title: text,
      status: count,
      detail: text,
      code: oneOf(...Object.keys(STATUS_OF)),
      hint: text,
      error: text,
    }),
    $id: 'InferenceProblem',
    description: 'As Problem; `error`, the same as `detail`, is what clients of the Open Inference Protocol look for.',
  },
  { ...rectangle(pixel, side), $id: 'Region', description: 'Pixels of the image, turned as its EXIF says.' },
  {
    ...object(
      {
        label: text,
        verdict: VERDICT,
        rule: oneOf('ctw', 'atd', 'nearest', 'threshold', 'calibrated'),
        scores: object(Object.fromEntries(SCORES.map((name) => [name, orNull(number)])), NEGATIVE),
        top: list(object({ label: text, p: number, pYes: orNull(number) })),
        image: text,
        region: ref('Region'),
        quality: oneOf('tiny', 'transparent', 'flat', 'nearlyFlat'),
        nearestWord: text,
        pValue: number,
        precision: oneOf('fp32', 'int8', 'bf16'),
        why: ref('Why'),
      },
      ['image', 'region', 'quality', 'nearestWord', 'pValue', 'precision', 'why'],
    ),
    $id: 'Answer',
    description: 'A line of `clipn-native check --json`.',
  },
  {
    ...object({ image: text, error: object({ code: text, message: text }) }, ['image']),
    $id: 'Failure',
    description: 'An image among several that could not be read.',
  },
  {
    ...object(
      {
        sentence: text,
        labels: list(
          object({ label: text, p: number, pYes: number, gap: number, share: number }, ['pYes', 'gap', 'share']),
        ),
        otherLabels: number,
        margin: object(
          {
            score: text,
            value: number,
            threshold: number,
            by: number,
            outBelow: number,
            rank: object({ images: count, lower: count, higher: count }),
          },
          ['outBelow', 'rank'],
        ),
        nearestWord: object({ word: text, by: number }),
        map: object({
          label: text,
          width: count,
          height: count,
          values: list(number),
          rest: number,
          covers: rectangle(number, number),
        }),
        mapAbsent: text,
      },
      ['otherLabels', 'margin', 'nearestWord', 'map', 'mapAbsent'],
    ),
    $id: 'Why',
    description: 'What the verdict rests on: docs/reasons.md of clipn-native.',
  },
  {
    ...object({
      rule: oneOf('atd', 'nearest', 'threshold', 'calibrated'),
      score: text,
      threshold: orNull(number),
      outBelow: orNull(number),
    }),
    $id: 'Decides',
    description: 'The score that decides and its thresholds: below `outBelow` out, from `threshold` on in.',
  },
  {
    ...object({
      id: text,
      labels: list(text),
      warnings: list(text),
      templates: object({ name: text, count }),
      decides: ref('Decides'),
    }),
    $id: 'Labels',
  },
];
