/** Versions of sharp and its libvips, or why it cannot be loaded. */
import type Sharp from 'sharp';

export async function decoderVersions(): Promise<{ sharp: string; vips: string } | { error: string }> {
  try {
    const { versions } = require('sharp') as typeof Sharp;
    return { sharp: versions.sharp ?? 'unknown', vips: versions.vips };
  } catch (error) {
    return { error: (error as Error).message };
  }
}
