/** The Open Inference Protocol, version 2: what clients of KServe and Triton ask. */
import { type CheckResult, ClipnError } from 'clipn-native';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ServeError } from '../../errors';
import { expectBody, readBody } from '../body';
import type { Answer, Judge } from '../judge';
import type { HttpOptions } from '../options';
import { visitOf } from '../visit';
import { inferenceAnswer, OUTPUTS, wantedOutputs } from './answer';
import { INPUTS, imagesOf } from './images';
import { parseInference } from './request';
import { INFER_BODY, inferenceSchemas as schemas } from './schemas';

/** The one that there is. */
const VERSION = '1';
const HEAD_LENGTH = 'inference-header-content-length';

type Named = { Params: { model: string; version?: string } };

export function inferenceRoutes(app: FastifyInstance, judge: Judge, options: HttpOptions, version: string): void {
  const { name, maxBody, maxImages } = options;
  const { own } = judge.labels;

  app.get('/v2', { schema: schemas.server }, async () => ({
    name: 'clipn-native-serve',
    version,
    extensions: ['binary_tensor_data'],
  }));
  // Whoever watches the server asks often, and all alike.
  const config = { rateLimit: false as const };
  app.get('/v2/health/live', { schema: schemas.live, config }, async () => ({ live: true }));
  app.get('/v2/health/ready', { schema: schemas.ready, config }, async () => {
    assertReady(judge);
    return { ready: true };
  });

  const assertNamed = ({ params }: FastifyRequest<Named>) => {
    const { model, version: wanted = VERSION } = params;
    if (model === name && wanted === VERSION) return;
    const what = model === name ? `the model has version ${VERSION} only` : `the model here is ${JSON.stringify(name)}`;
    throw new ServeError('ERR_SERVE_NOT_FOUND', what);
  };
  for (const path of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
    app.get<Named>(path, { schema: schemas.model, onRequest: async (request) => assertNamed(request) }, async () => ({
      name,
      versions: [VERSION],
      platform: 'clipn-native',
      inputs: INPUTS,
      outputs: OUTPUTS.map(({ name: output, datatype }) => ({ name: output, datatype, shape: [-1] })),
    }));
    app.get<Named>(
      `${path}/ready`,
      { schema: schemas.modelReady, onRequest: async (request) => assertNamed(request) },
      async () => {
        assertReady(judge);
        return { name, ready: true };
      },
    );
    app.post<Named>(`${path}/infer`, {
      schema: schemas.infer,
      onRequest: async (request, reply) => {
        assertNamed(request);
        expectBody(judge.admission, options, request, reply);
      },
      handler: async (request, reply) => {
        const body = await readBody(request, maxBody);
        const validate = request.compileValidationSchema(INFER_BODY);
        const asked = parseInference(body, headerOf(request), (head) => {
          if (!validate(head)) throw new ServeError('ERR_SERVE_REQUEST', `the request ${describe(validate.errors)}`);
        });
        const wanted = wantedOutputs(asked);
        const images = imagesOf(asked.inputs, maxImages);
        const visit = visitOf(request);
        visit.lease.hold(images.length);
        const answers = allOf(await judge.check(images, { set: own, visit }));
        const named = { model_name: name, model_version: VERSION, ...(asked.id !== undefined && { id: asked.id }) };
        const { head, behind } = inferenceAnswer(answers, wanted, own.decides, named);
        if (behind === undefined) return head;
        const json = Buffer.from(JSON.stringify(head));
        reply.header('Inference-Header-Content-Length', json.length).type('application/octet-stream');
        return Buffer.concat([json, behind]);
      },
    });
  }
}

function assertReady({ isDraining }: Judge): void {
  if (isDraining) throw new ServeError('ERR_SERVE_DRAINING', 'the server ends');
}

function headerOf({ headers }: FastifyRequest): string | undefined {
  const value = headers[HEAD_LENGTH];
  return Array.isArray(value) ? value[0] : value;
}

function describe(errors: readonly { instancePath?: string; message?: string }[] | null | undefined): string {
  const [first] = errors ?? [];
  return `${first?.instancePath ?? ''} ${first?.message ?? 'is malformed'}`.trim();
}

/** A tensor has no place for one image's error: the first of them is that of the request. */
function allOf(answers: readonly Answer[]): CheckResult[] {
  return answers.map((answer, i) => {
    if (!('error' in answer)) return answer;
    const { code, message, hint } = answer.error;
    throw answers.length === 1 ? answer.error : new ClipnError(code, `image ${i}: ${message}`, { hint });
  });
}
