/** One request that wants work done: its room, its deadline, and whether its client is still there. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ServeError } from '../errors';
import type { Admission, Lease } from './admission';

/** Why a visit ended when its client hung up: nobody hears the answer. */
export class ClientLeft extends Error {
  override readonly name = 'ClientLeft';
}

export class Visit {
  readonly #abort = new AbortController();
  #bodyRead = false;

  constructor(
    readonly lease: Lease,
    readonly deadline: number,
  ) {}

  /** Aborted by the deadline, or because the client left. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  bodyIsRead(): void {
    this.#bodyRead = true;
  }

  abort(reason: Error): void {
    this.#abort.abort(reason);
  }

  late(): ServeError {
    return this.#bodyRead
      ? new ServeError('ERR_SERVE_DEADLINE', `the answer was not ready after ${this.deadline} seconds`)
      : new ServeError('ERR_SERVE_SLOW_BODY', `the body did not come within ${this.deadline} seconds`);
  }

  /** The work's outcome, or what ended the visit before it. */
  async within<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    let leave = () => {};
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(signal.reason as Error);
      if (signal.aborted) leave();
      else signal.addEventListener('abort', leave, { once: true });
    });
    work.catch(() => {});
    try {
      return await Promise.race([work, left]);
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }
}

const visits = new WeakMap<FastifyRequest, Visit>();

/** Takes the request in, until its answer is sent or its connection is gone. @throws ERR_SERVE_BUSY */
export function openVisit(admission: Admission, deadline: number, request: FastifyRequest, reply: FastifyReply): Visit {
  const visit = new Visit(admission.admit(Number(request.headers['content-length'] ?? 0)), deadline);
  visits.set(request, visit);
  const timer = setTimeout(() => visit.abort(visit.late()), 1000 * deadline);
  reply.raw.once('close', () => {
    clearTimeout(timer);
    if (!reply.raw.writableFinished) visit.abort(new ClientLeft('the client left'));
    visit.lease.release();
  });
  return visit;
}

export function visitOf(request: FastifyRequest): Visit {
  const visit = visits.get(request);
  if (visit === undefined) throw new Error('the route opens no visit');
  return visit;
}
