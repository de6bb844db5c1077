/** What went wrong, as HTTP tells it: a status, and a body of RFC 9457 (application/problem+json). */
import { STATUS_CODES } from 'node:http';
import { ClipnError, type ClipnErrorCode } from 'clipn-native';
import { SERVE_HINTS, ServeError, type ServeErrorCode } from '../errors';

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** Status of every code that an answer can carry; docs/serve-errors.md has the same table. */
export const STATUS_OF = {
  ERR_SERVE_REQUEST: 400,
  ERR_SERVE_TENSOR: 400,
  ERR_SERVE_API_KEY: 401,
  ERR_SERVE_LABELS_OFF: 403,
  ERR_SERVE_NOT_FOUND: 404,
  ERR_SERVE_LABELS_UNKNOWN: 404,
  ERR_SERVE_METHOD: 405,
  ERR_SERVE_SLOW_BODY: 408,
  ERR_SERVE_TOO_LARGE: 413,
  ERR_SERVE_MEDIA_TYPE: 415,
  ERR_SERVE_HOST: 421,
  ERR_SERVE_BUSY: 429,
  ERR_SERVE_RATE_LIMIT: 429,
  ERR_SERVE_INTERNAL: 500,
  ERR_SERVE_DRAINING: 503,
  ERR_SERVE_DEADLINE: 504,
  ERR_CLIPN_INVALID_ARG: 400,
  ERR_CLIPN_IMAGE_TOO_LARGE: 413,
  ERR_CLIPN_IMAGE_DECODE: 422,
  ERR_CLIPN_LABELS: 422,
  ERR_CLIPN_QUEUE_FULL: 429,
  ERR_CLIPN_CLOSED: 503,
  ERR_CLIPN_IO: 503,
  ERR_CLIPN_OUT_OF_MEMORY: 503,
  ERR_CLIPN_DEVICE_LOST: 503,
} as const satisfies Partial<Record<ServeErrorCode | ClipnErrorCode, number>>;

export type ProblemCode = keyof typeof STATUS_OF;

/** Where the library's own remedy is an option that a client has not. */
const HINTS: Partial<Record<ProblemCode, string>> = {
  ERR_CLIPN_IMAGE_DECODE: 'Send a whole file of a kind that is read: JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP.',
  ERR_CLIPN_IMAGE_TOO_LARGE: 'Send a smaller image.',
};

/** The body of an answer that is no success. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ProblemCode;
  hint: string;
}

/**
 * Any error as a problem. What nobody foresaw is ERR_SERVE_INTERNAL, of which the client learns no more than that: the log
 * has the rest.
 */
export function problemOf(error: unknown): Problem {
  if ((error instanceof ServeError || error instanceof ClipnError) && Object.hasOwn(STATUS_OF, error.code)) {
    const code = error.code as ProblemCode;
    return problem(code, error.message, HINTS[code] ?? error.hint);
  }
  return problem('ERR_SERVE_INTERNAL', 'something went wrong in the server', SERVE_HINTS.ERR_SERVE_INTERNAL);
}

function problem(code: ProblemCode, detail: string, hint: string): Problem {
  const status = STATUS_OF[code];
  return { type: `urn:clipn-native:${code}`, title: STATUS_CODES[status] ?? '', status, detail, code, hint };
}

/** Each with the status of its code. */
export const BACK_PRESSURE: ReadonlySet<ProblemCode> = new Set<ProblemCode>([
  'ERR_SERVE_BUSY',
  'ERR_CLIPN_QUEUE_FULL',
  'ERR_SERVE_DRAINING',
]);
