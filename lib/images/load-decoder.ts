/** sharp, loaded on first need. */
import type Sharp from 'sharp';
import { ClipnError } from '../base/errors';

/** @throws ERR_CLIPN_IO: that says nothing of an image, and is so for every image until the process is started again */
export async function loadSharp(): Promise<typeof Sharp> {
  try {
    return (await import('sharp')).default;
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_IO', `sharp, which decodes images, cannot be loaded: ${(cause as Error).message}`, {
      cause,
      hint: 'Look at `npx clipn-native doctor`. Node does not try again: start the process anew when the cause is gone.',
    });
  }
}
