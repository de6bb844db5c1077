/** What becomes of an image before the tower sees it, in words and as a hash. */
import { jsonHash } from '../base/json-hash';
import type { ModelConfig, Triple } from './model-config';

export type Preprocessing = Pick<ModelConfig, 'resize' | 'imageSize' | 'mean' | 'std'>;

/** OpenAI's constants (spec 4.2), which most CLIPs have. */
export const MEAN: Triple = [0.48145466, 0.4578275, 0.40821073];
export const STD: Triple = [0.26862954, 0.26130258, 0.27577711];

/** In words: for reports, and to know stored features by. A change in decoding must change the number of `pixels`. */
export function preprocessingText(
  { resize, imageSize, mean, std }: Preprocessing,
  { exif, truncated = 'refuse' }: { exif: boolean; truncated?: 'refuse' | 'accept' | undefined },
): string {
  const values = `mean ${mean.join(' ')}, std ${std.join(' ')}`;
  const cut = truncated === 'accept' ? ', cut images accepted' : '';
  return `${resize}, ${imageSize} px, ${values}, EXIF ${exif ? 'applied' : 'not applied'}${cut}, pixels 1`;
}

/** As a hash: for calibrations, which hold EXIF by itself. */
export function preprocessingHash({ resize, imageSize, mean, std }: Preprocessing): string {
  return jsonHash({ resize, imageSize, mean, std });
}
