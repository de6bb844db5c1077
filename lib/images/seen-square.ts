/** Which part of an image the tower sees: the square that resize and centre crop leave. */
import type { Box } from './crop';

/**
 * In pixels of the image, with fractions: what the tower's square of `side` pixels was resized from (spec 4.2). Of a square
 * that patches do not fill, the part that they cover.
 */
export function seenSquare({ width, height }: { width: number; height: number }, side: number, covered = side): Box {
  const shorter = Math.min(width, height);
  const along = (length: number) => {
    const resized = Math.floor((side * length) / shorter);
    const scale = length / resized;
    return { start: cropOffset(resized, side) * scale, length: covered * scale };
  };
  const [x, y] = [along(width), along(height)];
  return { left: x.start, top: y.start, width: x.length, height: y.length };
}

/** (length − side) / 2, halves to even. */
function cropOffset(length: number, side: number): number {
  const half = Math.floor((length - side) / 2);
  return (length - side) % 2 === 1 && half % 2 === 1 ? half + 1 : half;
}
