/** The patch map over its picture: orange speaks for the class, blue against it, the strongest patch the strongest. */

/** @import { PatchMap } from './types' */

const YES = [230, 159, 0];
const NO = [0, 114, 178];
const MOST_OPAQUE = 0.75;

/**
 * @param {HTMLCanvasElement} canvas over the picture, which it shares its corner with
 * @param {PatchMap} map
 * @param {{ width: number, height: number }} picture in pixels of the image
 */
export function drawMap(canvas, { width, height, values, covers }, picture) {
  canvas.width = width;
  canvas.height = height;
  const most = Math.max(...values.map(Math.abs)) || 1;
  const pixels = new ImageData(width, height);
  values.forEach((value, i) => {
    pixels.data.set([...(value > 0 ? YES : NO), (255 * MOST_OPAQUE * Math.abs(value)) / most], 4 * i);
  });
  canvas.getContext('2d')?.putImageData(pixels, 0, 0);
  const { style } = canvas;
  style.left = `${(100 * covers.x) / picture.width}%`;
  style.top = `${(100 * covers.y) / picture.height}%`;
  style.width = `${(100 * covers.width) / picture.width}%`;
  style.height = `${(100 * covers.height) / picture.height}%`;
}
