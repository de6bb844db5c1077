/** What the server may do and how much of it: every limit in one place. */

export interface HttpOptions {
  /** What the model is called in /v2. */
  name: string;
  host: string;
  port: number;
  /** Names, beside its own, under which a server on the loopback interface may be asked for. */
  allowHosts: string[];
  /** Largest body of a request, in bytes. */
  maxBody: number;
  /** Images of one request. */
  maxImages: number;
  /** Images taken and not yet answered, of all requests. */
  maxWaiting: number;
  /** Bytes of bodies in memory, of all requests. */
  maxHeld: number;
  /** Width × height of an image. */
  limitPixels: number;
  /** From a request's first byte to its answer, in seconds. */
  deadline: number;
  /** Between SIGTERM and the end of listening, in seconds. */
  drainDelay: number;
  /** Requests a minute of one client; 0: not counted. */
  rateLimit: number;
  /** Whether clients may give labels of their own. */
  liveLabels: boolean;
  page: boolean;
  /** Origins of other pages that may ask. */
  corsOrigins: string[];
  /** Empty: everybody may ask. */
  apiKeys: string[];
  logLevel: string;
}

export const DEFAULTS = {
  name: 'clipn',
  host: '127.0.0.1',
  port: 8080,
  maxBody: 20e6,
  maxImages: 16,
  maxWaiting: 512,
  maxHeld: 512e6,
  limitPixels: 50e6,
  deadline: 30,
  drainDelay: 1,
  rateLimit: 0,
  logLevel: 'info',
} as const;

/** Entries of the top list: the default, and the most that may be asked for. */
export const TOP = { default: 5, most: 100 } as const;

/** Labels of a client's own. */
export const LIVE = {
  /** In a list. */
  labels: 200,
  /** Characters of one. */
  characters: 200,
  /** Lists kept; the one that was not used for longest goes. */
  lists: 8,
  /** Lists that one client may give in a minute. */
  aMinute: 60,
} as const;
