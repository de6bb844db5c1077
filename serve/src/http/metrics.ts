/** Metrics in the format of Prometheus: requests, verdicts, the model's queue, drift. */
import type { FastifyInstance } from 'fastify';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Judge } from './judge';
import { metricsSchema } from './schemas';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** What is counted from now on: of every request of the server. */
export function createMetrics(app: FastifyInstance, judge: Judge): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  requestMetrics(app, registry);
  verdictMetrics(judge, registry);
  stateMetrics(judge, registry);
  return registry;
}

export function metricsRoute(app: FastifyInstance, registry: Registry): void {
  app.get('/metrics', { schema: metricsSchema }, async (_request, reply) => {
    reply.type(registry.contentType);
    return await registry.metrics();
  });
}

function requestMetrics(app: FastifyInstance, registry: Registry): void {
  const registers = [registry];
  const duration = new Histogram({
    name: 'clipn_http_request_duration_seconds',
    help: 'From the head of a request to the end of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: SECONDS,
    registers,
  });
  const left = new Counter({
    name: 'clipn_http_requests_left_total',
    help: 'Requests whose client hung up before the answer.',
    registers,
  });
  app.addHook('onResponse', async ({ method, routeOptions }, { statusCode, elapsedTime }) => {
    // Never the path as it came: each would be a series of its own.
    duration.observe({ method, route: routeOptions.url ?? 'none', status: statusCode }, elapsedTime / 1000);
  });
  app.addHook('onRequestAbort', async (_request) => left.inc());
}

function verdictMetrics(judge: Judge, registry: Registry): void {
  const registers = [registry];
  const images = new Counter({
    name: 'clipn_images_total',
    help: "Images answered, by verdict (in, out, review, error) and labels (the server's own, or a client's).",
    labelNames: ['verdict', 'labels'],
    registers,
  });
  judge.onAnswer((answer, set) => {
    images.inc({
      verdict: 'error' in answer ? 'error' : answer.verdict,
      labels: set === judge.labels.own ? 'own' : 'client',
    });
  });
}

/** Read from where they are kept, when they are asked for. */
function stateMetrics(judge: Judge, registry: Registry): void {
  const { admission, drift, model } = judge;
  const gauge = (name: string, help: string, value: () => number | undefined) => {
    const collect = () => made.set(value() ?? Number.NaN);
    const made: Gauge = new Gauge({ name, help, registers: [registry], collect });
  };
  gauge('clipn_admitted_images', 'Images taken and not yet answered.', () => admission.images);
  gauge('clipn_admitted_bytes', 'Bytes of request bodies in memory.', () => admission.bytes);
  gauge('clipn_queue_waiting_images', 'Images taken and in no batch yet.', () => model.stats().waiting);
  gauge('clipn_queue_running_images', 'Images being computed or scored.', () => model.stats().running);
  gauge('clipn_batch_mean_images', 'Images of a batch, on average.', () => model.stats().meanBatch ?? undefined);
  gauge('clipn_draining', '1 while the server ends.', () => Number(judge.isDraining));
  const counted = (name: string, help: string, value: () => number) => {
    const made: Counter = new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        made.reset();
        made.inc(value());
      },
    });
  };
  counted('clipn_refused_total', 'Requests refused because the server was full.', () => admission.refused);
  counted('clipn_batches_total', 'Batches begun.', () => model.stats().batches);
  counted(
    'clipn_aborted_images_total',
    'Images dropped by a deadline or because their client left.',
    () => model.stats().aborted,
  );
  if (drift === undefined) return;
  gauge(
    'clipn_drift_log_martingale',
    'Natural logarithm of the drift martingale.',
    () => drift.standing().logMartingale,
  );
  gauge('clipn_drift_images', 'Images that the drift monitor observed.', () => drift.standing().images);
  gauge('clipn_drift_alarms', 'Alarms of the drift monitor so far.', () => drift.standing().alarms.length);
}
