/**
 * hub/: Snapshots of Hugging Face hub repositories: what they hold, their files on this disk.
 *
 * Which hub is asked, and as whom: the variables of the environment that huggingface_hub reads, read as it reads them.
 */
import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { homeDir } from '../base/cache-dir';
import { ClipnError } from '../base/errors';

export interface Hub {
  /** URL without a slash at its end; HF_ENDPOINT, else the hub itself. */
  endpoint: string;
  /** Header that says who asks; undefined without a token. */
  authorization: string | undefined;
  /** Where the token was found, for messages: HF_TOKEN or a file. */
  tokenFrom: string;
  /** HF_HUB_OFFLINE: no request is made. */
  offline: boolean;
  /** Where proxies are named. */
  env: NodeJS.ProcessEnv;
}

const ENDPOINT = 'https://huggingface.co';

/** @throws ERR_CLIPN_INVALID_ARG for a variable that cannot be used */
export function hubOf(env: NodeJS.ProcessEnv): Hub {
  const endpoint = (env['HF_ENDPOINT'] || ENDPOINT).replace(/\/+$/, '');
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `HF_ENDPOINT is '${endpoint}', which is no http or https URL`, {
      hint: `Set it to the URL of a hub, or unset it for ${ENDPOINT}.`,
    });
  }
  // It is shown in messages, and a hub asks for a token.
  if (url.username !== '' || url.password !== '') {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `HF_ENDPOINT holds a user name or password for ${url.host}`, {
      hint: 'Take them out of the URL, and set HF_TOKEN to a token.',
    });
  }
  const { token, from } = tokenOf(env);
  return {
    endpoint,
    authorization: token === '' ? undefined : `Bearer ${token}`,
    tokenFrom: from,
    offline: isOn(env['HF_HUB_OFFLINE']),
    env,
  };
}

/** HF_TOKEN, else the file where `hf auth login` leaves it; empty when there is none. */
function tokenOf(env: NodeJS.ProcessEnv): { token: string; from: string } {
  const own = env['HF_TOKEN']?.trim();
  const path = tokenPath(env);
  const from = own || path === null ? 'HF_TOKEN' : path;
  const token = own || (path === null ? '' : tokenFile(path, env).trim());
  if (/^[\x21-\x7e]*$/.test(token)) return { token, from };
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${from} holds no token: there are characters in it that none has`);
}

/** Null when the user has no home folder and nothing names another. */
function tokenPath(env: NodeJS.ProcessEnv): string | null {
  const xdg = env['XDG_CACHE_HOME'];
  const home = homeDir();
  const caches = xdg && isAbsolute(xdg) ? xdg : home && join(home, '.cache');
  const folder = env['HF_HOME'] || (caches && join(caches, 'huggingface'));
  return env['HF_TOKEN_PATH'] || (folder && join(folder, 'token'));
}

function tokenFile(path: string, env: NodeJS.ProcessEnv): string {
  if (isOn(env['HF_HUB_DISABLE_IMPLICIT_TOKEN'])) return '';
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code!)) return '';
    throw new ClipnError('ERR_CLIPN_IO', `cannot read the token in ${path}: ${(error as Error).message}`, {
      hint: 'Make the file readable, set HF_TOKEN, or set HF_HUB_DISABLE_IMPLICIT_TOKEN=1 to ask without a token.',
      cause: error,
    });
  }
}

function isOn(variable: string | undefined): boolean {
  return ['1', 'ON', 'YES', 'TRUE'].includes((variable ?? '').toUpperCase());
}
