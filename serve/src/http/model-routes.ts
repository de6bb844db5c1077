/** What the server is: its model, its labels, those of a client's own, its drift monitor. */
import type { FastifyInstance } from 'fastify';
import { ServeError } from '../errors';
import { expectJson, readJson } from './asked';
import { expectBody } from './body';
import type { Judge } from './judge';
import type { LabelSet } from './label-sets';
import { type HttpOptions, LIVE, TOP } from './options';
import { driftSchema, labelsSchema, makeLabelsSchema, modelSchema } from './schemas';
import { visitOf } from './visit';

export function modelRoutes(app: FastifyInstance, judge: Judge, options: HttpOptions, version: string): void {
  const { name, maxBody, maxImages, limitPixels, deadline } = options;
  const { labels, model, drift, admission } = judge;

  app.get('/v1/model', { schema: modelSchema }, async () => {
    const { contentId, device, precision, imageSize, embedDim, hasNo } = model.info;
    return {
      ...{ name, contentId, device, precision, imageSize, embedDim, hasNo },
      labels: labels.own.bank.labels.length,
      decides: labels.own.decides,
      liveLabels: labels.closed === undefined,
      drift: drift !== undefined,
      limits: { maxBody, maxImages, limitPixels, deadline, maxTop: TOP.most, maxLabels: LIVE.labels },
      versions: { 'clipn-native-serve': version, node: process.version },
    };
  });

  app.get('/v1/labels', { schema: labelsSchema }, async () => describe(labels.own));

  app.post<{ Body: { labels: string[] } }>('/v1/labels', {
    schema: makeLabelsSchema,
    config: { rateLimit: { max: LIVE.aMinute, timeWindow: 60_000 } },
    onRequest: async (request, reply) => {
      if (labels.closed !== undefined) throw new ServeError('ERR_SERVE_LABELS_OFF', labels.closed);
      expectJson(request);
      expectBody(admission, options, request, reply);
    },
    preValidation: async (request) => {
      request.body = (await readJson(request, LIVE.labels * LIVE.characters * 12)) as { labels: string[] };
    },
    handler: async (request) => {
      const visit = visitOf(request);
      return describe(await visit.within(labels.make(request.body.labels, visit.signal)));
    },
  });

  app.get('/v1/drift', { schema: driftSchema }, async () => {
    if (drift === undefined) {
      throw new ServeError('ERR_SERVE_NOT_FOUND', 'there is no drift monitor', {
        hint: 'Start the server with a --calibration of `clipn-native calibrate` that has one threshold for all classes.',
      });
    }
    return { standing: drift.standing(), points: drift.points() };
  });
}

function describe(set: LabelSet) {
  const { labels, templates } = set.bank;
  const { name, count } = templates;
  return { id: set.id, labels, warnings: set.detector.warnings, templates: { name, count }, decides: set.decides };
}
