/** What schemas of requests and answers are made of, and how a route is described: Fastify and /openapi.json take the same. */
import type { FastifySchema } from 'fastify';
import { STATUS_OF } from './problem';

export type Schema = Record<string, unknown>;

export const object = (properties: Record<string, Schema>, optional: string[] = [], more: Schema = {}): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  additionalProperties: false,
  ...more,
});
export const list = (items: Schema, more: Schema = {}): Schema => ({ type: 'array', items, ...more });
export const text: Schema = { type: 'string' };
export const number: Schema = { type: 'number' };
export const count: Schema = { type: 'integer', minimum: 0 };
export const flag: Schema = { type: 'boolean' };
/** JSON has no NaN: what a plain CLIP cannot tell is null. */
export const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] });
export const oneOf = (...values: string[]): Schema => ({ type: 'string', enum: values });
export const ref = (name: string): Schema => ({ $ref: `${name}#` });

export const rectangle = (kind: Schema, least: Schema) => object({ x: kind, y: kind, width: least, height: least });
export const pixel: Schema = { type: 'integer', minimum: 0 };
export const side: Schema = { type: 'integer', minimum: 1 };

export type Code = keyof typeof STATUS_OF;

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
export const BODY: readonly Code[] = [
  'ERR_SERVE_REQUEST',
  'ERR_SERVE_SLOW_BODY',
  'ERR_SERVE_TOO_LARGE',
  'ERR_SERVE_MEDIA_TYPE',
  'ERR_SERVE_BUSY',
  'ERR_SERVE_DEADLINE',
];
export const IMAGES: readonly Code[] = [
  'ERR_CLIPN_INVALID_ARG',
  'ERR_CLIPN_IMAGE_TOO_LARGE',
  'ERR_CLIPN_IMAGE_DECODE',
  'ERR_CLIPN_QUEUE_FULL',
  'ERR_CLIPN_CLOSED',
  'ERR_CLIPN_IO',
  'ERR_CLIPN_OUT_OF_MEMORY',
  'ERR_CLIPN_DEVICE_LOST',
];

export const json = (schema: Schema, description: string): Schema => ({
  description,
  content: { 'application/json': { schema } },
});

export interface Route {
  summary: string;
  tag: string;
  answer: Schema;
  codes?: readonly Code[];
  problem?: 'Problem' | 'InferenceProblem';
  request?: Pick<FastifySchema, 'querystring' | 'body' | 'params'>;
}

/** A route as Fastify and /openapi.json take it. */
export function route({ summary, tag, answer, codes = [], problem = 'Problem', request }: Route): FastifySchema {
  return { summary, tags: [tag], ...request, response: { 200: answer, ...problems([...ANY, ...codes], problem) } };
}

/** Bytes, which no schema looks into: OpenAPI 3.1 writes them so. */
export const FILE: Schema = {};
