/** A patch map laid over its image, as a PNG. */
import { assertArguments, assertOptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { assertDecoding, DECODE_OPTIONS, type DecodeOptions, decodeRegion } from './decode';
import { collectImage, type ImageInput, splitRegion } from './image-input';
import { loadSharp } from './load-decoder';

/** Numbers of an image's patches, and where they lie. */
export interface PatchMap {
  /** Patches in a row. */
  width: number;
  /** Patches in a column. */
  height: number;
  /** Row by row from the top left. Above 0: the patch speaks for the label. Below: against it. */
  values: number[];
  /** The rectangle of the image that the patches cover, in pixels of the decoded image, with fractions. */
  covers: { x: number; y: number; width: number; height: number };
}

/** The longer side of an overlay, at most. */
const LONGEST = 1024;
/** Orange for yes, blue for no: people who confuse red and green tell them apart (Okabe and Ito's palette). */
const YES = [230, 159, 0] as const;
const NO = [0, 114, 178] as const;
const MOST_OPAQUE = 0.75;
const OUTSIDE = 0.45;
/** Of the frame, in pixels: a white line with a black one around it. */
const LINE = 2;

/**
 * The image in grey with its patches in colour: orange speaks for the label, blue against it, and the more of it there is
 * the stronger. The strongest patch of the image has the strongest colour, however little it says. What the model did not
 * see is dark, outside of a frame.
 *
 * @param image the one that was checked; of a region of an image, the whole of it is drawn
 * @param options how the detector decodes: with another `exif` the map would lie elsewhere
 * @returns PNG, of the image's size, or smaller with a longer side of 1024 pixels
 * @throws ERR_CLIPN_INVALID_ARG for no map, or one that reaches outside the image; what decoding throws
 */
export async function overlay(image: ImageInput, map: PatchMap, options: DecodeOptions = {}): Promise<Buffer> {
  assertArguments({ map: ['record', map], options: ['options', options] });
  assertOptionNames('overlay', options, DECODE_OPTIONS);
  assertDecoding(options);
  const { whole } = splitRegion(image);
  const decoded = await decodeRegion(await collectImage(whole, options), undefined, options);
  assertFits(map, decoded);
  const sharp = await loadSharp();
  const { channels } = decoded;
  const raw = { width: decoded.width, height: decoded.height, channels };
  const { data, info } = await sharp(decoded.data, { raw })
    .removeAlpha()
    .resize(LONGEST, LONGEST, { fit: 'inside', withoutEnlargement: true })
    .greyscale()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  const painted = paint(
    data,
    info.channels,
    width,
    height,
    scaled(map, width / decoded.width, height / decoded.height),
  );
  return await sharp(painted, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

function scaled(map: PatchMap, byX: number, byY: number): PatchMap {
  const { x, y, width, height } = map.covers;
  return { ...map, covers: { x: x * byX, y: y * byY, width: width * byX, height: height * byY } };
}

function paint(grey: Uint8Array, channels: number, width: number, height: number, map: PatchMap): Uint8Array {
  const { covers, values } = map;
  const most = Math.max(...values.map(Math.abs));
  const [right, bottom] = [covers.x + covers.width, covers.y + covers.height];
  const out = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5 - covers.y) / covers.height) * map.height);
    for (let x = 0; x < width; x++) {
      const column = Math.floor(((x + 0.5 - covers.x) / covers.width) * map.width);
      const at = y * width + x;
      const inside = row >= 0 && row < map.height && column >= 0 && column < map.width;
      const light = grey[at * channels]! * (inside ? 1 : OUTSIDE);
      const value = inside && most > 0 ? values[row * map.width + column]! / most : 0;
      const opacity = MOST_OPAQUE * Math.abs(value);
      const colour = value > 0 ? YES : NO;
      // How far within the square, from its nearest edge.
      const depth = Math.min(x + 0.5 - covers.x, right - x - 0.5, y + 0.5 - covers.y, bottom - y - 0.5);
      const line = depth < 0 || depth > 2 * LINE ? undefined : depth < LINE ? 0 : 255;
      for (let c = 0; c < 3; c++) {
        out[at * 3 + c] = line ?? Math.round((1 - opacity) * light + opacity * colour[c]!);
      }
    }
  }
  return out;
}

function assertFits({ width, height, values, covers }: PatchMap, image: { width: number; height: number }): void {
  const invalid = (what: string) => new ClipnError('ERR_CLIPN_INVALID_ARG', `map: ${what}`);
  const sides = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!sides || !Array.isArray(values) || values.length !== width * height || !values.every(Number.isFinite)) {
    throw invalid('values must be width × height numbers, as `why.map` of a check has them');
  }
  const { x, y, width: across, height: down } = covers ?? {};
  const numbers = [x, y, across, down].every(Number.isFinite);
  // A pixel of tolerance: the rectangle is a quotient.
  if (!numbers || x < -1 || y < -1 || x + across > image.width + 1 || y + down > image.height + 1) {
    throw invalid(`it covers what lies outside the image of ${image.width} × ${image.height}: is it another image's?`);
  }
}
