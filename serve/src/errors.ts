/** Every code of this package's own errors; those of clipn-native pass through as they are. */

/** Code → the remedy that goes with it unless the place that throws knows a better one. */
export const SERVE_HINTS = {
  ERR_SERVE_USAGE: 'See `npx clipn-native-serve VERB --help`; of the server VERB is http.',
  ERR_SERVE_LISTEN: 'Choose another --port or --host, or end the program that has this one.',
  ERR_SERVE_REQUEST: 'Send what the message asks for; /openapi.json describes every request.',
  ERR_SERVE_TENSOR: 'Send tensors as GET /v2/models/NAME describes them.',
  ERR_SERVE_API_KEY: 'Send a key of this server as `Authorization: Bearer KEY`.',
  ERR_SERVE_LABELS_OFF: 'Use the labels that the server was started with: leave `labels` out.',
  ERR_SERVE_NOT_FOUND: 'See /openapi.json for the paths, and GET /v1/model for the name of the model.',
  ERR_SERVE_LABELS_UNKNOWN: 'POST the labels to /v1/labels again: the server keeps the last few lists only.',
  ERR_SERVE_METHOD: 'Use a method that the header `Allow` names.',
  ERR_SERVE_SLOW_BODY: 'Send the body faster, or make the image smaller.',
  ERR_SERVE_TOO_LARGE: 'Send fewer or smaller images in one request.',
  ERR_SERVE_MEDIA_TYPE: 'Send an image file, multipart/form-data, or application/json, without Content-Encoding.',
  ERR_SERVE_HOST: 'Ask for it by the name it was started for, or start the server with `--allow-host NAME`.',
  ERR_SERVE_BUSY: 'Ask again after the seconds in `Retry-After`.',
  ERR_SERVE_RATE_LIMIT: 'Ask again after the seconds in `Retry-After`.',
  ERR_SERVE_DRAINING: 'Ask again: another server, or this one when it is back.',
  ERR_SERVE_DEADLINE: 'Ask again later, send fewer images at once, or start the server with a longer --deadline.',
  ERR_SERVE_INTERNAL: "This is a defect: please report it with the server's log of this request.",
  ERR_SERVE_TRITON_EXISTS: 'Give the next --model-version, another --name, or another --out.',
  ERR_SERVE_BATCH_EXISTS:
    'Name another folder for a new list; without a list `enqueue` puts what is not done into the queue.',
  ERR_SERVE_BATCH_FORMAT: 'Check the address of the batch; `enqueue` makes one.',
  ERR_SERVE_BATCH_INCOMPLETE: 'See `status`; `enqueue BATCH` without a list puts failed shards back into the queue.',
  ERR_SERVE_BATCH_LIST: 'A list has an address a line, or a column of them in a .csv file (docs/batch.md).',
  ERR_SERVE_KILLED_WORKER: 'Look at the image by itself: `npx clipn-native check IMAGE`.',
  ERR_SERVE_MODEL_MISMATCH:
    'Give the model file that the batch was enqueued for, or enqueue the list again for this one.',
  ERR_SERVE_OBJECT_DENIED: 'Give the keys, or this user, the right to read it.',
  ERR_SERVE_OBJECT_NOT_FOUND: 'Check the address, and that this machine sees the disk or bucket.',
  ERR_SERVE_OBJECT_TOO_LARGE: 'Make the image smaller, or leave it out of the list.',
  ERR_SERVE_OBJECT_UNAVAILABLE: 'Look whether the store answers, and enqueue the image again.',
  ERR_SERVE_REDIS: 'Start Redis, or name it with --redis or REDIS_URL.',
  ERR_SERVE_S3_ACCESS: 'Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, beside Amazon, AWS_ENDPOINT_URL_S3.',
  ERR_SERVE_STORAGE: 'Check that the batch folder or bucket is there, is writable and has room.',
} as const;

export type ServeErrorCode = keyof typeof SERVE_HINTS;

/** As clipn-native's `ClipnError`: match on `code`; `message` says what was wrong, `hint` what to do. */
export class ServeError extends Error {
  readonly code: ServeErrorCode;
  readonly hint: string;

  constructor(code: ServeErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'ServeError';
    this.code = code;
    this.hint = options.hint ?? SERVE_HINTS[code];
  }
}
