/** The HTTP server: what every request passes, and which routes there are. */
import cors from '@fastify/cors';
import multipart from '@fastify/multipart';
import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { ServeError } from '../errors';
import { keyChecker } from './api-keys';
import { keepOpen, linger } from './body';
import { checkRoute } from './check-route';
import { clientErrorHandler } from './client-errors';
import { hostChecker } from './hosts';
import type { Judge } from './judge';
import { createMetrics, metricsRoute } from './metrics';
import { modelRoutes } from './model-routes';
import { inferenceRoutes } from './oip/routes';
import type { HttpOptions } from './options';
import { pageFiles } from './page-files';
import { BACK_PRESSURE, PROBLEM_TYPE, type Problem, problemOf } from './problem';
import { SHARED } from './shared-schemas';
import { ClientLeft } from './visit';

/** Seconds that the head of a request may take, and between two requests of a connection. */
const HEAD_SECONDS = 10;
const KEEP_ALIVE_SECONDS = 72;
/** More are closed as they come. */
const CONNECTIONS = 2000;

/** Paths that are asked by the machine that watches the server, and hold no secret. */
const OPEN_TO_ALL: ReadonlySet<string> = new Set(['/v2/health/live', '/v2/health/ready']);

export async function createServer(judge: Judge, options: HttpOptions, version: string): Promise<FastifyInstance> {
  const app = fastify({
    logger: { level: options.logLevel },
    // One line a request instead of its two.
    logController: new LogController({ disableRequestLogging: true }),
    // Whatever a proxy or client says: two requests never share one.
    requestIdHeader: false,
    // Counted by `maxBody` instead, which lets the client hear the answer.
    bodyLimit: Number.MAX_SAFE_INTEGER,
    // The route's own deadline comes first; this one ends what no route waits for.
    requestTimeout: 1000 * (options.deadline + 5),
    keepAliveTimeout: 1000 * KEEP_ALIVE_SECONDS,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    clientErrorHandler,
    http: { headersTimeout: 1000 * HEAD_SECONDS, connectionsCheckingInterval: 1000 },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true, strictTypes: false } },
    routerOptions: { maxParamLength: 200 },
    // Of addresses that no route is looked up for.
    frameworkErrors: (error, request, reply) => answerProblem(error, request, reply, judge),
  });
  app.server.maxConnections = CONNECTIONS;
  // As it is: the answers are those of `check --json`, to the digit.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler((error: FastifyError, request, reply) => answerProblem(error, request, reply, judge));
  app.setNotFoundHandler((request, reply) => answerProblem(notFound(app, request, reply), request, reply, judge));
  app.addHook('onSend', async ({ raw }, reply) => keepOpen(raw, reply));
  app.addHook('onResponse', async (request, reply) => {
    linger(request.raw);
    logAnswer(request, reply);
  });
  const metrics = createMetrics(app, judge);
  // Before what refuses: a page of an allowed origin is to read why.
  if (options.corsOrigins.length > 0) await app.register(cors, { origin: options.corsOrigins });
  guard(app, judge, options);

  // Bodies are read by the routes, with a limit, a deadline and room for them.
  app.removeAllContentTypeParsers();
  await app.register(multipart);
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'clipn-native-serve',
        version,
        description: 'Tells whether images belong to one of your classes or to none.',
      },
      ...(options.apiKeys.length > 0 && {
        components: { securitySchemes: { key: { type: 'http' as const, scheme: 'bearer' } } },
        security: [{ key: [] }],
      }),
    },
    refResolver: { buildLocalReference: (json) => String(json['$id']) },
  });
  for (const schema of SHARED) app.addSchema(schema);
  await app.register(rateLimit, {
    // Routes with a limit of their own have it always.
    global: options.rateLimit > 0,
    max: options.rateLimit,
    timeWindow: 60_000,
    errorResponseBuilder: (_request, { max }) =>
      new ServeError('ERR_SERVE_RATE_LIMIT', `a client may ask ${max} times a minute`),
  });

  await app.register(async (routes) => {
    checkRoute(routes, judge, options);
    modelRoutes(routes, judge, options, version);
    inferenceRoutes(routes, judge, options, version);
    metricsRoute(routes, metrics);
    routes.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
    if (options.page) pageFiles(routes);
  });
  return app;
}

/** A line for each request; of what was asked no more than the route, for names of files are nobody's business. */
function logAnswer({ log, method, routeOptions, ip }: FastifyRequest, { statusCode, elapsedTime }: FastifyReply): void {
  log.info(
    { method, route: routeOptions.url ?? null, status: statusCode, ms: Math.round(elapsedTime), ip },
    'answered',
  );
}

/** What every request passes, whatever it asks for. */
function guard(app: FastifyInstance, judge: Judge, { host, allowHosts, apiKeys, page }: HttpOptions): void {
  const checkHost = hostChecker(host, allowHosts);
  const checkKey = apiKeys.length === 0 ? undefined : keyChecker(apiKeys);
  const isOpen = (url: string) => OPEN_TO_ALL.has(url) || (page && (url === '/' || url.startsWith('/page/')));
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-content-type-options', 'nosniff');
    // Whoever keeps his connection would lose the request that he sends as it is closed.
    if (judge.isDraining) reply.header('connection', 'close');
    checkHost?.(request);
    // A page of another origin asks first, without a key.
    if (request.method !== 'OPTIONS' && !isOpen(request.routeOptions.url ?? '')) checkKey?.(request);
  });
}

function notFound(app: FastifyInstance, { method, url }: FastifyRequest, reply: FastifyReply): ServeError {
  const path = url.split('?')[0]!;
  const methods = ['GET', 'POST'] as const;
  const allowed = methods.filter((each) => each !== method && app.findRoute({ method: each, url: path }) !== null);
  if (allowed.length === 0) return new ServeError('ERR_SERVE_NOT_FOUND', `there is nothing at ${path.slice(0, 200)}`);
  reply.header('allow', allowed.join(', '));
  return new ServeError('ERR_SERVE_METHOD', `${path.slice(0, 200)} takes ${allowed.join(', ')}, not ${method}`);
}

function answerProblem(
  error: Error,
  request: FastifyRequest,
  reply: FastifyReply,
  judge: Judge,
): FastifyReply | undefined {
  const known = ofFastify(error);
  if (known instanceof ClientLeft) {
    reply.hijack();
    return;
  }
  const problem = problemOf(known);
  const { status, code, detail } = problem;
  if (status === 500) request.log.error({ err: known }, 'a request failed');
  else request.log.info({ code, detail }, 'a request was refused');
  if (status === 401) reply.header('www-authenticate', 'Bearer realm="clipn-native-serve"');
  if (BACK_PRESSURE.has(code)) reply.header('retry-after', retryAfter(judge));
  const isInference = request.url.startsWith('/v2');
  const body: Problem & { error?: string } = isInference ? { ...problem, error: detail } : problem;
  return reply.code(status).type(PROBLEM_TYPE).serializer(JSON.stringify).send(body);
}

/** Errors of Fastify itself and of what checks requests against their schemas, as ours. */
function ofFastify(error: Error & Partial<FastifyError>): Error {
  if (error.validation !== undefined || error.statusCode === 400) {
    return new ServeError('ERR_SERVE_REQUEST', error.message, { cause: error });
  }
  if (error.statusCode === 414) {
    return new ServeError('ERR_SERVE_NOT_FOUND', 'there is nothing at an address with so long a part', {
      cause: error,
    });
  }
  if (error.statusCode === 415) {
    return new ServeError('ERR_SERVE_MEDIA_TYPE', 'a body of this Content-Type is not read', { cause: error });
  }
  return error;
}

/** In whole seconds: as long as half of the images wait now. */
function retryAfter({ model }: Judge): number {
  return Math.min(60, Math.max(1, Math.ceil((model.stats().latencyMs?.p50 ?? 0) / 1000)));
}
