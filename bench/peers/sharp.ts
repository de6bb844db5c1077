/** sharp's own resize and crop of decoded pixels, on one thread as Pillow and the core are. */
import sharp from 'sharp';
import { noisePixels } from '../../lib/measure/synthetic';
import { cropped } from './pixels';
import { type Call, type Case, serve } from './serve';

sharp.concurrency(1);
serve(
  { versions: { sharp: sharp.versions.sharp ?? '', vips: sharp.versions.vips } },
  async (wanted: Case): Promise<Call> => {
    if (wanted.kind !== 'pixels') throw new Error(`no ${wanted.kind} here`);
    const [image] = noisePixels(1, wanted.width, wanted.height);
    const { data, ...raw } = image!;
    return async () => {
      await cropped(sharp(data, { raw }));
      return undefined;
    };
  },
);
