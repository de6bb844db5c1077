/** The paper's training crop (spec 4.2): torchvision's RandomResizedCrop(scale 0.9 to 1, ratio 3/4 to 4/3), no flip. */
import type { Box } from '../images/crop';
import { below, DRAW, unit } from './draw';

const SCALE = [0.9, 1] as const;
const RATIO = [3 / 4, 4 / 3] as const;
const TRIES = 10;

/** The box that is resized to the square; `words` decide it. */
export function trainingCrop(width: number, height: number, words: readonly number[]): Box {
  for (let i = 0; i < TRIES; i++) {
    const draw = (what: number) => unit(DRAW.crop, ...words, i, what);
    const area = width * height * (SCALE[0] + (SCALE[1] - SCALE[0]) * draw(0));
    const logs = RATIO.map(Math.log) as [number, number];
    const ratio = Math.exp(logs[0] + (logs[1] - logs[0]) * draw(1));
    const w = Math.round(Math.sqrt(area * ratio));
    const h = Math.round(Math.sqrt(area / ratio));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const left = below(width - w + 1, DRAW.crop, ...words, i, 2);
    const top = below(height - h + 1, DRAW.crop, ...words, i, 3);
    return { left, top, width: w, height: h };
  }
  // The largest centred box of an allowed ratio.
  const w = Math.max(1, Math.min(width, Math.round(height * RATIO[1])));
  const h = Math.max(1, Math.min(height, Math.round(width / RATIO[0])));
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}
