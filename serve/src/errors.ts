/** Every code of this package's own errors; those of clipn-native pass through as they are. */

/** Code → the remedy that goes with it unless the place that throws knows a better one. */
export const SERVE_HINTS = {
  ERR_SERVE_USAGE: 'See `npx clipn-native-serve --help`.',
  ERR_SERVE_TRITON_EXISTS: 'Give the next --model-version, another --name, or another --out.',
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
