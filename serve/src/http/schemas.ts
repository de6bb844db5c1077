/** Requests and answers of /v1 and /metrics: what requests are checked against, and what /openapi.json is made of. */
import type { FastifySchema } from 'fastify';
import { type HttpOptions, LIVE, TOP } from './options';
import { BODY, count, FILE, flag, IMAGES, json, list, number, object, oneOf, ref, route, text } from './schema';

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
