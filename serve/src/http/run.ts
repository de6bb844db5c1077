/** The server as a process: opened, told where it listens, and ended. */
import { ServeError } from '../errors';
import { ownVersion } from '../versions';
import { KEYS_VARIABLE, readApiKeys } from './api-keys';
import type { HttpFlags } from './command';
import { drain, toldToEnd } from './drain';
import { isLoopback } from './hosts';
import { openJudge } from './open';
import type { HttpOptions } from './options';
import { createServer } from './server';

/** From flags to the end of the server: resolves when it was told to end and has answered what it took. */
export async function serve({ corsOrigin = [], allowHost = [], apiKeysFile, ...flags }: HttpFlags): Promise<void> {
  const apiKeys = await readApiKeys(apiKeysFile, process.env[KEYS_VARIABLE]);
  const options: HttpOptions = { ...flags, corsOrigins: corsOrigin, allowHosts: allowHost, apiKeys };
  let warn = (_facts: object, _message: string) => {};
  const judge = await openJudge(flags, options, (alarm) => warn({ alarm }, 'the images have drifted'));
  try {
    const app = await createServer(judge, options, ownVersion());
    warn = (facts, message) => app.log.warn(facts, message);
    const { firstReason } = judge.model.info;
    if (firstReason !== null) warn({}, `guarded is plain fp32 here: ${firstReason}`);
    for (const warning of judge.labels.own.detector.warnings) warn({}, warning);
    if (!isLoopback(options.host) && apiKeys.length === 0)
      warn({}, 'everybody who reaches this host may ask: no API keys');
    const ended = toldToEnd();
    const url = await app
      .listen({ host: options.host, port: options.port, listenTextResolver: (at) => `listening at ${at}` })
      .catch((cause: Error) => {
        throw new ServeError('ERR_SERVE_LISTEN', `cannot listen on ${options.host}:${options.port}: ${cause.message}`, {
          cause,
        });
      });
    if (process.stderr.isTTY && options.page) process.stderr.write(`Open ${url}\n`);
    const signal = await ended;
    await drain(app, judge, signal === 'SIGTERM' ? options.drainDelay : 0);
  } finally {
    await judge.model.close();
  }
}
