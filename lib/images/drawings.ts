/** Images of nothing, drawn from a seed: what no class of photos is in, so that a detector should reject them. */
import { normal, uniformSource } from '../base/random';

export const DRAWING_KINDS = [
  'noise',
  'blocks',
  'flat',
  'gradient',
  'stripes',
  'checkerboard',
  'shapes',
  'strokes',
] as const;
/**
 * What `diagnoseDetector` draws.
 *
 * - `noise`: each pixel by itself, grey or in colour
 * - `blocks`: the same of squares of an eighth of the width
 * - `flat`: one colour
 * - `gradient`: from one colour to another, across or from the middle
 * - `stripes`, `checkerboard`: of two colours
 * - `shapes`: a few circles and rectangles on a ground
 * - `strokes`: rows of short dark lines on white, as text seen from afar
 */
export type DrawingKind = (typeof DRAWING_KINDS)[number];

/** Width and height in pixels: a square smaller than what most towers see, and a photo's shape larger than it. */
const SIZES = [
  [160, 160],
  [320, 240],
] as const;
const OF_EACH = 3;

export interface Drawing {
  kind: DrawingKind;
  width: number;
  height: number;
  channels: 3;
  /** RGB, rows without gaps. */
  data: Uint8Array;
}

type Colour = readonly [red: number, green: number, blue: number];
type Uniform = () => number;
/** The colour of the pixel in column x of row y. */
type Painter = (x: number, y: number) => Colour;

const colour = (uniform: Uniform): Colour => [256 * uniform(), 256 * uniform(), 256 * uniform()];
const WHITE: Colour = [255, 255, 255];

function mixed(from: Colour, to: Colour, share: number): Colour {
  return [0, 1, 2].map((c) => from[c]! + (to[c]! - from[c]!) * share) as unknown as Colour;
}

/** Two colours whose pattern can be seen: they differ by a quarter of the range in one channel. */
function twoColours(uniform: Uniform): [Colour, Colour] {
  while (true) {
    const [one, other] = [colour(uniform), colour(uniform)];
    if (one.some((value, c) => Math.abs(value - other[c]!) >= 64)) return [one, other];
  }
}

const PAINTERS: Record<DrawingKind, (uniform: Uniform, width: number, height: number) => Painter> = {
  noise: (uniform) => {
    const grey = uniform() < 0.5;
    const value = () => 128 + 64 * normal(uniform);
    return () => {
      const red = value();
      return grey ? [red, red, red] : [red, value(), value()];
    };
  },
  blocks: (uniform, width) => {
    const colours = Array.from({ length: 64 }, () => colour(uniform));
    const side = width / 8;
    return (x, y) => colours[(Math.floor(x / side) + 8 * Math.floor(y / side)) % 64]!;
  },
  flat: (uniform) => {
    const one = colour(uniform);
    return () => one;
  },
  gradient: (uniform, width, height) => {
    const [from, to] = twoColours(uniform);
    const angle = 2 * Math.PI * uniform();
    const radial = uniform() < 0.5;
    return (x, y) => {
      const [u, v] = [x / width - 0.5, y / height - 0.5];
      const across = u * Math.cos(angle) + v * Math.sin(angle) + 0.5;
      return mixed(from, to, Math.min(1, Math.max(0, radial ? 1.4 * Math.hypot(u, v) : across)));
    };
  },
  stripes: (uniform, width) => {
    const [one, other] = twoColours(uniform);
    const angle = Math.PI * uniform();
    const wide = (width / 40) * (1 + 5 * uniform());
    return (x, y) => (Math.floor((x * Math.cos(angle) + y * Math.sin(angle)) / wide) % 2 === 0 ? one : other);
  },
  checkerboard: (uniform, width) => {
    const [one, other] = twoColours(uniform);
    const side = Math.round((width / 40) * (1 + 5 * uniform()));
    return (x, y) => ((Math.floor(x / side) + Math.floor(y / side)) % 2 === 0 ? one : other);
  },
  shapes: (uniform, width, height) => {
    const ground = colour(uniform);
    const shapes = Array.from({ length: 1 + Math.floor(4 * uniform()) }, () => ({
      round: uniform() < 0.5,
      fill: colour(uniform),
      x: width * (0.2 + 0.6 * uniform()),
      y: height * (0.2 + 0.6 * uniform()),
      radius: height * (0.08 + 0.22 * uniform()),
    }));
    return (x, y) => {
      const on = shapes.findLast((shape) => {
        const [across, down] = [Math.abs(x - shape.x), Math.abs(y - shape.y)];
        return (shape.round ? Math.hypot(across, down) : Math.max(across, down)) <= shape.radius;
      });
      return on?.fill ?? ground;
    };
  },
  strokes: (uniform, width, height) => {
    const line = height / (8 + Math.floor(8 * uniform()));
    const ink = mixed([0, 0, 0], [90, 90, 90], uniform());
    const rows = Array.from({ length: Math.ceil(height / line) }, () => {
      const inked = new Uint8Array(width);
      const words = Math.floor(width / line);
      for (let word = 1; word < words - 1; word++) {
        const from = Math.floor(word * line);
        inked.fill(1, from, from + Math.floor(line * (0.3 + 0.6 * uniform())));
      }
      return inked;
    });
    return (x, y) => {
      const within = (y % line) / line;
      return within > 0.3 && within < 0.55 && rows[Math.floor(y / line)]![x] === 1 ? ink : WHITE;
    };
  },
};

function draw(kind: DrawingKind, width: number, height: number, uniform: Uniform): Drawing {
  const paint = PAINTERS[kind](uniform, width, height);
  const data = new Uint8ClampedArray(3 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [red, green, blue] = paint(x, y);
      const at = 3 * (y * width + x);
      data[at] = red;
      data[at + 1] = green;
      data[at + 2] = blue;
    }
  }
  return { kind, width, height, channels: 3, data: new Uint8Array(data.buffer) };
}

/** Three of each kind in each of two sizes; the same seed gives the same bytes. */
export function drawings(seed: number): Drawing[] {
  const uniform = uniformSource(seed);
  return SIZES.flatMap(([width, height]) =>
    DRAWING_KINDS.flatMap((kind) => Array.from({ length: OF_EACH }, () => draw(kind, width, height, uniform))),
  );
}
