/** The verb that serves over HTTP, which is meant when none is named. Other verbs load none of the server. */
import { Command, Option } from 'commander';
import { type DetectorFlags, numberWithin, withDetectorFlags } from '../detector-flags';
import { ServeError } from '../errors';
import { KEYS_VARIABLE } from './api-keys';
import { DEFAULTS, type HttpOptions } from './options';

export type HttpFlags = DetectorFlags &
  Omit<HttpOptions, 'corsOrigins' | 'apiKeys' | 'allowHosts'> & {
    corsOrigin?: string[];
    allowHost?: string[];
    apiKeysFile?: string;
  };

/** A flag that may be given again for more. */
function several(flags: string, description: string): Option {
  const collect = (value: string, before: string[] = []) => [...before, value];
  return new Option(flags, `${description} (again for more)`).argParser(collect);
}

export function httpCommand(): Command {
  const command = withDetectorFlags(new Command('http')).description(
    'Serve verdicts over HTTP, with a page to look at (the verb that is meant when none is named).',
  );
  return command
    .option('--name <name>', 'what the model is called in /v2', nameOf, DEFAULTS.name)
    .option('--host <h>', 'interface to listen on; 0.0.0.0 for all of them', DEFAULTS.host)
    .option('--port <n>', 'port to listen on; 0: one that is free', numberWithin(0, 65535), DEFAULTS.port)
    .addOption(several('--allow-host <name>', 'on loopback: another name it may be asked by'))
    .option('--api-keys-file <file>', `keys, one a line, of which each request needs one; or ${KEYS_VARIABLE}`)
    .addOption(several('--cors-origin <origin>', 'another page that may ask'))
    .option(
      '--rate-limit <n>',
      'requests a minute of one client; 0: not counted',
      numberWithin(0, 1e9),
      DEFAULTS.rateLimit,
    )
    .option('--max-body <bytes>', 'largest body of a request', numberWithin(1, 2 ** 30), DEFAULTS.maxBody)
    .option('--max-images <n>', 'images of a request', numberWithin(1, 1000), DEFAULTS.maxImages)
    .option(
      '--max-waiting <n>',
      'images taken and not yet answered; more get 429',
      numberWithin(1, 1e6),
      DEFAULTS.maxWaiting,
    )
    .option('--max-held <bytes>', 'bodies in memory; more get 429', numberWithin(1, 2 ** 40), DEFAULTS.maxHeld)
    .option('--limit-pixels <n>', 'width × height of an image', numberWithin(1, 2 ** 31), DEFAULTS.limitPixels)
    .option(
      '--deadline <seconds>',
      'from a request to its answer; then 504',
      numberWithin(0.01, 3600, false),
      DEFAULTS.deadline,
    )
    .option(
      '--drain-delay <seconds>',
      'from SIGTERM until nothing new is heard',
      numberWithin(0, 3600, false),
      DEFAULTS.drainDelay,
    )
    .option('--no-live-labels', 'clients give no labels of their own')
    .option('--no-page', 'no page at /')
    .option('--log-level <level>', 'trace, debug, info, warn, error or silent', levelOf, DEFAULTS.logLevel)
    .action(async (flags: HttpFlags) => (await import('./run.js')).serve(flags));
}

function nameOf(name: string): string {
  if (/^[\w.-]{1,64}$/.test(name)) return name;
  throw new ServeError('ERR_SERVE_USAGE', 'a name has letters, digits and . _ - only, 64 at most');
}

function levelOf(level: string): string {
  if (['trace', 'debug', 'info', 'warn', 'error', 'silent'].includes(level)) return level;
  throw new ServeError('ERR_SERVE_USAGE', `there is no log level ${level}`);
}
