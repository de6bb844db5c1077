/** The end of a server: ready goes 503, and what was asked is answered. */
import { Server } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Judge } from './judge';

/** How the process is told to end; Ctrl-C does not wait for a balancer to look elsewhere. */
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** Resolves when the server is told to end. A second signal, of either kind, ends the process at once, as the system has it. */
export function toldToEnd(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const told = (signal: NodeJS.Signals) => {
      for (const each of SIGNALS) process.off(each, told);
      resolve(signal);
    };
    for (const signal of SIGNALS) process.on(signal, told);
  });
}

/** In which the request of a connection that was just accepted is heard: as idle it would be closed. */
const LAST_CALL_MS = 200;

/** How long a connection is kept whose last answer did not end it: nothing new is heard on it. */
const KEEP_ALIVE_MS = 1000;

/**
 * While the delay lasts everything is still answered, but `health/ready` says 503 and each answer ends its connection, unless
 * its client still sends: so whoever keeps his connection goes elsewhere between two requests. Then the rest is answered, and
 * nothing new is heard.
 */
export async function drain(app: FastifyInstance, judge: Judge, delaySeconds: number): Promise<void> {
  judge.isDraining = true;
  app.log.info({ admitted: judge.admission.images }, 'draining');
  await wait(1000 * delaySeconds);
  // Of net, for that of http closes idle connections in the same moment.
  Server.prototype.close.call(app.server);
  await wait(LAST_CALL_MS);
  app.server.keepAliveTimeout = KEEP_ALIVE_MS;
  await app.close();
}
