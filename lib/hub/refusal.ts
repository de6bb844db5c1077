/** What a hub means by the status of its answer. */
import { ClipnError } from '../base/errors';
import type { Refusal } from '../download/request';
import type { Hub } from './hub';
import type { HubName } from './name';

/**
 * The hub does not tell a name that is not there from one that may not be seen: without a token it answers 401 to both.
 *
 * @param what was asked for, in the words of the message
 */
export function refusedBy(hub: Hub, target: HubName, refusal: Refusal, what: string): ClipnError {
  const { endpoint, authorization, tokenFrom } = hub;
  const details = { status: refusal.status };
  const said = refusal.headers.get('x-error-code');
  const { name, revision } = target;
  const denied = refusal.status === 401 || refusal.status === 403;
  if (said === 'RevisionNotFound') {
    const message = `${name} on ${endpoint} has no revision ${revision}`;
    const hint = 'Check --revision: a branch, a tag or a commit of the repository.';
    return new ClipnError('ERR_CLIPN_HUB_NOT_FOUND', message, { hint, details, cause: refusal });
  }
  if (said === 'GatedRepo' || (denied && authorization !== undefined && said !== 'RepoNotFound')) {
    const refused =
      said === 'GatedRepo' ? `${name} is gated: its owner asks who takes it` : `${endpoint} refused ${what}`;
    const page = `${endpoint}/${name}`;
    const [why, hint] =
      authorization === undefined
        ? ['no token was sent', `Ask for access at ${page}, then set HF_TOKEN to a token of that account.`]
        : [
            `the token of ${tokenFrom} has no access`,
            `Ask for access at ${page} with the account of that token, or set HF_TOKEN to another; it may have expired.`,
          ];
    return new ClipnError('ERR_CLIPN_HUB_ACCESS', `${refused}, and ${why}`, { hint, details, cause: refusal });
  }
  if (denied || refusal.status === 404) {
    const message = `${what} is not on ${endpoint}, or is not shown to you`;
    const hint = `Check the name; a private model needs HF_TOKEN${authorization === undefined ? '' : ', and the token sent may not see it'}.`;
    return new ClipnError('ERR_CLIPN_HUB_NOT_FOUND', message, { hint, details, cause: refusal });
  }
  const message = `${endpoint} did not give ${what}: ${refusal.message}`;
  const hint =
    refusal.status === 429
      ? 'It has had too many requests from this address: wait some minutes, or set HF_TOKEN, which is allowed more.'
      : AGAIN;
  return new ClipnError('ERR_CLIPN_FETCH', message, { hint, details, cause: refusal });
}

export const AGAIN =
  'Check the network, the proxy (HTTPS_PROXY, NO_PROXY) and HF_ENDPOINT, and run the same command again: it goes on.';
