/** Requests and answers as JSON Schema: what requests are checked against, and what /openapi.json is made of. */
import type { FastifySchema } from 'fastify';
import { type HttpOptions, LIVE, TOP } from './options';
import { STATUS_OF } from './problem';

type Schema = Record<string, unknown>;

const object = (properties: Record<string, Schema>, optional: string[] = [], more: Schema = {}): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  additionalProperties: false,
  ...more,
});
const list = (items: Schema, more: Schema = {}): Schema => ({ type: 'array', items, ...more });
const text: Schema = { type: 'string' };
const number: Schema = { type: 'number' };
const count: Schema = { type: 'integer', minimum: 0 };
const flag: Schema = { type: 'boolean' };
/** JSON has no NaN: what a plain CLIP cannot tell is null. */
const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] });
const oneOf = (...values: string[]): Schema => ({ type: 'string', enum: values });
export const ref = (name: string): Schema => ({ $ref: `${name}#` });

const rectangle = (kind: Schema, least: Schema) => object({ x: kind, y: kind, width: least, height: least });
const pixel: Schema = { type: 'integer', minimum: 0 };
const side: Schema = { type: 'integer', minimum: 1 };

const VERDICT = oneOf('in', 'out', 'review');
const SCORES = ['ctw', 'atd', 'msp', 'maxLogit', 'energy', 'mcm', 'gap', 'logPOut', 'negLabel', 'ole'];
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

type Code = keyof typeof STATUS_OF;

/** The answers that are no success, by their status: each says which codes it may carry. */
function problems(codes: readonly Code[], schema = 'Problem'): Record<number, Schema> {
  const answers: Record<number, Schema> = {};
  for (const status of new Set(codes.map((code) => STATUS_OF[code]))) {
    const of = codes.filter((code) => STATUS_OF[code] === status);
    const headers =
      status === 429 || status === 503 ? { 'Retry-After': { type: 'integer', description: 'Seconds.' } } : {};
    answers[status] = {
      description: of.join(', '),
      headers,
      content: { 'application/problem+json': { schema: ref(schema) } },
    };
  }
  return answers;
}

/** What any request may meet before its route is asked. */
const ANY: readonly Code[] = ['ERR_SERVE_API_KEY', 'ERR_SERVE_HOST', 'ERR_SERVE_RATE_LIMIT', 'ERR_SERVE_INTERNAL'];
const BODY: readonly Code[] = [
  'ERR_SERVE_REQUEST',
  'ERR_SERVE_SLOW_BODY',
  'ERR_SERVE_TOO_LARGE',
  'ERR_SERVE_MEDIA_TYPE',
  'ERR_SERVE_BUSY',
  'ERR_SERVE_DEADLINE',
];
const IMAGES: readonly Code[] = [
  'ERR_CLIPN_INVALID_ARG',
  'ERR_CLIPN_IMAGE_TOO_LARGE',
  'ERR_CLIPN_IMAGE_DECODE',
  'ERR_CLIPN_QUEUE_FULL',
  'ERR_CLIPN_CLOSED',
  'ERR_CLIPN_IO',
  'ERR_CLIPN_OUT_OF_MEMORY',
  'ERR_CLIPN_DEVICE_LOST',
];

const json = (schema: Schema, description: string): Schema => ({
  description,
  content: { 'application/json': { schema } },
});

interface Route {
  summary: string;
  tag: string;
  answer: Schema;
  codes?: readonly Code[];
  problem?: 'Problem' | 'InferenceProblem';
  request?: Pick<FastifySchema, 'querystring' | 'body' | 'params'> & { consumes?: string[] };
}

/** A route as Fastify and /openapi.json take it. */
export function route({ summary, tag, answer, codes = [], problem = 'Problem', request }: Route): FastifySchema {
  return { summary, tags: [tag], ...request, response: { 200: answer, ...problems([...ANY, ...codes], problem) } };
}

/** Bytes, which no schema looks into: OpenAPI 3.1 writes them so. */
const FILE: Schema = {};

export function checkSchema({ maxImages }: HttpOptions): FastifySchema {
  return route({
    summary: 'Tells of each image which class it shows, or that it shows none.',
    tag: 'check',
    codes: [...BODY, ...IMAGES, 'ERR_SERVE_LABELS_UNKNOWN'],
    answer: json(object({ results: list({ anyOf: [ref('Answer'), ref('Failure')] }, { minItems: 1 }) }), 'In order.'),
    request: {
      querystring: object(
        {
          labels: {
            ...text,
            pattern: '^[0-9a-f]{16}$',
            description: "Id of POST /v1/labels; the server's own without.",
          },
          region: { ...text, maxLength: 80, description: 'x,y,width,height: only this part of each image.' },
          top: {
            type: 'integer',
            minimum: 1,
            maximum: TOP.most,
            description: `Entries of \`top\`; ${TOP.default} without.`,
          },
          why: { ...flag, description: 'Also why: a sentence, class by class, and where in the image.' },
          observe: { ...flag, description: 'Whether the drift monitor sees them; true without.' },
        },
        ['labels', 'region', 'top', 'why', 'observe'],
      ),
      body: {
        content: {
          'multipart/form-data': {
            schema: { properties: { images: list(FILE, { maxItems: maxImages }) } },
          },
          'image/*': { schema: FILE },
          'application/octet-stream': { schema: FILE },
          'application/json': {
            schema: object({
              images: list(
                object({ data: { ...text, contentEncoding: 'base64' }, name: text, region: ref('Region') }, [
                  'name',
                  'region',
                ]),
                { minItems: 1, maxItems: maxImages },
              ),
            }),
          },
        },
      },
    },
  });
}

export const labelsSchema = route({
  summary: 'The classes that images are held against.',
  tag: 'labels',
  answer: json(ref('Labels'), 'Labels, what to know of them, and what decides.'),
});

export const makeLabelsSchema = route({
  summary: 'Other classes: the id is for `labels` of /v1/check.',
  tag: 'labels',
  codes: [...BODY, 'ERR_SERVE_LABELS_OFF', 'ERR_CLIPN_LABELS', 'ERR_CLIPN_CLOSED', 'ERR_CLIPN_OUT_OF_MEMORY'],
  answer: json(ref('Labels'), 'The same for the same names.'),
  request: {
    body: {
      content: {
        'application/json': {
          schema: object({
            labels: list({ ...text, minLength: 1, maxLength: LIVE.characters }, { minItems: 1, maxItems: LIVE.labels }),
          }),
        },
      },
    },
  },
});

const limits = object({
  maxBody: number,
  maxImages: count,
  limitPixels: number,
  deadline: number,
  maxTop: count,
  maxLabels: count,
});

export const modelSchema = route({
  summary: 'What the model is, what decides, and what a request may hold.',
  tag: 'model',
  answer: json(
    object({
      name: text,
      contentId: text,
      device: oneOf('cpu', 'cuda'),
      precision: text,
      imageSize: count,
      embedDim: count,
      hasNo: flag,
      labels: count,
      decides: ref('Decides'),
      liveLabels: flag,
      drift: flag,
      limits,
      versions: object({ 'clipn-native-serve': text, node: text }),
    }),
    'The model.',
  ),
});

const standing = object({
  images: count,
  out: count,
  failures: count,
  logMartingale: number,
  villeThreshold: number,
  cusum: { type: 'null' },
  alarms: list(object({ by: text, images: count, image: text, value: number, threshold: number }, ['image'])),
});

export const driftSchema = route({
  summary: 'Whether the images still look like those of the calibration.',
  tag: 'drift',
  codes: ['ERR_SERVE_NOT_FOUND'],
  answer: json(
    object({
      standing,
      points: list(object({ images: count, logMartingale: number, out: count })),
    }),
    'Where the monitor stands, and its course.',
  ),
});

export const metricsSchema = route({
  summary: 'Metrics for Prometheus.',
  tag: 'operation',
  answer: { description: 'Text exposition format.', content: { 'text/plain': { schema: text } } },
});

// The Open Inference Protocol, version 2.

const tensor = (more: Record<string, Schema>, optional: string[]) =>
  object({ name: text, datatype: text, shape: list({ type: 'integer' }), ...more }, optional);
const parameters: Schema = { type: 'object' };

const inference = (of: Omit<Route, 'tag' | 'problem'>) =>
  route({ ...of, tag: 'inference', problem: 'InferenceProblem' });
const MODEL: readonly Code[] = ['ERR_SERVE_NOT_FOUND'];
const named = object({ model: text, version: text }, ['version']);

export const inferenceSchemas = {
  server: inference({
    summary: 'The server, and the extensions that it has.',
    answer: json(object({ name: text, version: text, extensions: list(text) }), 'Metadata.'),
  }),
  live: inference({
    summary: 'Whether the process answers.',
    answer: json(object({ live: flag }), 'It does.'),
  }),
  ready: inference({
    summary: 'Whether requests will be answered; not while the server ends.',
    codes: ['ERR_SERVE_DRAINING'],
    answer: json(object({ ready: flag }), 'They will.'),
  }),
  model: inference({
    summary: 'The tensors of the model.',
    codes: MODEL,
    answer: json(
      object({
        name: text,
        versions: list(text),
        platform: text,
        inputs: list(tensor({}, [])),
        outputs: list(tensor({}, [])),
      }),
      'Metadata.',
    ),
    request: { params: named },
  }),
  modelReady: inference({
    summary: 'Whether the model answers.',
    codes: [...MODEL, 'ERR_SERVE_DRAINING'],
    answer: json(object({ name: text, ready: flag }), 'It does.'),
    request: { params: named },
  }),
  infer: inference({
    summary: 'Images to verdicts, as tensors.',
    codes: [...MODEL, ...BODY, ...IMAGES, 'ERR_SERVE_TENSOR'],
    answer: {
      description: 'Tensors: as JSON, or as JSON with bytes behind it where outputs are asked for as binary data.',
      content: {
        'application/json': {
          schema: object(
            {
              model_name: text,
              model_version: text,
              id: text,
              outputs: list(tensor({ data: list({}), parameters }, ['data', 'parameters'])),
            },
            ['id'],
          ),
        },
        'application/octet-stream': { schema: FILE },
      },
    },
    request: { params: named },
  }),
};

/** Of a request to `infer`; it is checked by hand, for tensors may lie behind it. */
export const INFER_BODY = object(
  {
    id: text,
    parameters,
    inputs: list(tensor({ parameters, data: list({}) }, ['parameters', 'data']), { minItems: 1 }),
    outputs: list(object({ name: text, parameters }, ['parameters'])),
  },
  ['id', 'parameters', 'outputs'],
);
