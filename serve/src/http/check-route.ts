/** `POST /v1/check`: images to verdicts, each as a line of `clipn-native check --json`. */
import type { CheckFailure, CheckResult, ImageInput } from 'clipn-native';
import type { FastifyInstance } from 'fastify';
import { type AskedImage, askedImages, isJson, readJson, regionFrom } from './asked';
import { expectBody } from './body';
import type { Judge } from './judge';
import type { HttpOptions } from './options';
import { checkSchema } from './schemas';
import { visitOf } from './visit';

interface CheckQuery {
  labels?: string;
  region?: string;
  top?: number;
  why?: boolean;
  observe?: boolean;
}

/** A line of `check --json`. */
export type Line = CheckResult | { image?: string | undefined; error: { code: string; message: string } };

export function checkRoute(app: FastifyInstance, judge: Judge, options: HttpOptions): void {
  const { maxBody } = options;
  app.post<{ Querystring: CheckQuery }>('/v1/check', {
    schema: checkSchema(options),
    onRequest: async (request, reply) => expectBody(judge.admission, options, request, reply),
    preValidation: async (request) => {
      if (isJson(request)) request.body = await readJson(request, maxBody);
    },
    handler: async (request): Promise<{ results: Line[] }> => {
      const { labels, region, top, why, observe } = request.query;
      const set = judge.labels.find(labels);
      const images = await askedImages(request, regionFrom(region), options);
      const answers = await judge.check(images.map(inputOf), { set, top, why, observe, visit: visitOf(request) });
      const [only] = answers;
      if (answers.length === 1 && only !== undefined && 'error' in only) throw only.error;
      return { results: answers.map((answer, i) => lineOf(answer, images[i]?.name)) };
    },
  });
}

const inputOf = ({ bytes, region }: AskedImage): ImageInput => (region ? { image: bytes, region } : bytes);

function lineOf(answer: CheckResult | CheckFailure, image: string | undefined): Line {
  if (!('error' in answer)) return image === undefined ? answer : { image, ...answer };
  const { code, message } = answer.error;
  return { ...(image !== undefined && { image }), error: { code, message } };
}
