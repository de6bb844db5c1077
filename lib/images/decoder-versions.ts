/** Versions of sharp and its libvips, or why it cannot be loaded. */
export async function decoderVersions(): Promise<{ sharp: string; vips: string } | { error: string }> {
  try {
    const { versions } = (await import('sharp')).default;
    return { sharp: versions.sharp ?? 'unknown', vips: versions.vips };
  } catch (error) {
    return { error: (error as Error).message };
  }
}
