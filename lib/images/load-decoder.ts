/**
 * sharp, loaded beside the first model, else on first need. By `require`, as every package that has a CommonJS build: Jest
 * and Yarn's Plug'n'Play know nothing of an `import()` in our files.
 */
import type Sharp from 'sharp';
import { ClipnError } from '../base/errors';

/** @throws ERR_CLIPN_IO: that says nothing of an image, and is so for every image until the cause is gone */
export async function loadSharp(): Promise<typeof Sharp> {
  try {
    return require('sharp') as typeof Sharp;
  } catch (cause) {
    // What follows is advice for any program, and where Node looked.
    const [said] = (cause as Error).message.split(/\n(?:Possible solutions|Require stack):/, 1);
    const message = said!.split('\n').join('; ');
    throw new ClipnError('ERR_CLIPN_IO', `sharp, which decodes images, cannot be loaded: ${message}`, {
      cause,
      hint: 'Install it again: `npm install --include=optional sharp`; `npx clipn-native doctor` says more. The next image tries again.',
    });
  }
}

/** For a caller who waits for a thread: it takes a tenth of a second. A failure is told to the first image that needs it. */
export function loadSharpAhead(): void {
  loadSharp().catch(() => undefined);
}
