/** How a download is shown: its size and licence as a line that stays, the rest as the progress line. */
import type { FetchProgress } from '../download/progress';
import { note, type Progress } from './terminal';

export function showFetch(progress: Progress): (fetched: FetchProgress) => void {
  return ({ phase, message, done, total }) => {
    if (phase === 'size') note(message);
    else progress.show(done && total ? `${message} ${Math.floor((100 * done) / total)} %` : message);
  };
}
