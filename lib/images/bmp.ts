/**
 * BMP to RGB, with the bytes that Pillow gives: 1, 4, 8, 16, 24 and 32 bits, bit fields, run lengths, top-down.
 *
 * Our own, for libvips has no reader, and the packages for it give wrong pixels without a word on 4 bits, 16 bits or run
 * lengths (bmp-ts, fast-bmp, decode-bmp against Pillow, test/reference/make_bmp_golden.py).
 */
import type { NativeImage } from '../native/addon';

const FILE_HEADER = 14;
const CORE_HEADER = 12;
const [PLAIN, RLE8, RLE4, BIT_FIELDS, ALPHA_BIT_FIELDS] = [0, 1, 2, 3, 6];

interface Header {
  width: number;
  height: number;
  topDown: boolean;
  bits: number;
  compression: number;
  /** Where the samples begin. */
  data: number;
  /** Where the palette begins, bytes an entry, and how many entries. */
  palette: { at: number; step: number; count: number };
  /** Of bit fields: red, green, blue. */
  masks: [number, number, number];
}

export interface ImageSize {
  width: number;
  height: number;
}

/** @param assertSize called before the pixels take memory */
export function decodeBmp(file: Buffer, assertSize: (size: ImageSize) => void): NativeImage {
  const header = readHeader(file);
  assertSize(header);
  const { width, height, topDown } = header;
  const rgb = new Uint8Array(width * height * 3);
  const rows =
    header.compression === RLE8 || header.compression === RLE4 ? runLengthRows(file, header) : plainRows(file, header);
  const colourAt = header.bits <= 8 ? paletteColours(file, header) : undefined;
  rows((row, x, value) => {
    const y = topDown ? row : height - 1 - row;
    const to = (y * width + x) * 3;
    const colour = colourAt === undefined ? value : colourAt(value);
    rgb[to] = colour >>> 16;
    rgb[to + 1] = (colour >>> 8) & 255;
    rgb[to + 2] = colour & 255;
  });
  return { data: rgb, width, height, channels: 3 };
}

function readHeader(file: Buffer): Header {
  if (file.length < FILE_HEADER + CORE_HEADER) throw new Error('its header is cut short');
  const size = file.readUInt32LE(FILE_HEADER);
  const core = size === CORE_HEADER;
  if (!core && (size < 40 || size > 124)) throw new Error(`its header has ${size} bytes`);
  if (file.length < FILE_HEADER + size) throw new Error('its header is cut short');
  const at = FILE_HEADER + 4;
  const width = core ? file.readUInt16LE(at) : file.readInt32LE(at);
  const signedHeight = core ? file.readUInt16LE(at + 2) : file.readInt32LE(at + 4);
  const bits = file.readUInt16LE(at + (core ? 6 : 10));
  const compression = core ? PLAIN! : file.readUInt32LE(at + 12);
  if (width < 1 || signedHeight === 0) throw new Error(`it is ${width} × ${signedHeight}`);
  const known: Record<number, number[]> = {
    [PLAIN!]: [1, 4, 8, 16, 24, 32],
    [RLE8!]: [8],
    [RLE4!]: [4],
    [BIT_FIELDS!]: [16, 32],
    [ALPHA_BIT_FIELDS!]: [16, 32],
  };
  if (!known[compression]?.includes(bits)) throw new Error(`compression ${compression} of ${bits} bits is not read`);
  const fields = compression === BIT_FIELDS || compression === ALPHA_BIT_FIELDS;
  // Of the oldest header the masks stand behind it; a longer one has them at the same place.
  const behind = fields && size === 40 ? (compression === ALPHA_BIT_FIELDS ? 16 : 12) : 0;
  if (file.length < FILE_HEADER + size + behind) throw new Error('its masks are cut short');
  const maskAt = FILE_HEADER + 40;
  const told = core || bits > 8 ? 0 : file.readUInt32LE(at + 28);
  return {
    width,
    height: Math.abs(signedHeight),
    topDown: signedHeight < 0,
    bits,
    compression,
    data: file.readUInt32LE(10),
    palette: { at: FILE_HEADER + size + behind, step: core ? 3 : 4, count: told === 0 ? 2 ** bits : told },
    masks: fields
      ? [file.readUInt32LE(maskAt), file.readUInt32LE(maskAt + 4), file.readUInt32LE(maskAt + 8)]
      : [0x7c00, 0x03e0, 0x001f],
  };
}

/** Index to 0xRRGGBB; indices beyond the palette are black. */
function paletteColours(file: Buffer, { palette: { at, step, count }, bits }: Header): (index: number) => number {
  const colours = new Uint32Array(2 ** bits);
  for (let i = 0; i < Math.min(count, colours.length); i++) {
    const from = at + i * step;
    if (from + 3 > file.length) throw new Error('its palette is cut short');
    colours[i] = (file[from + 2]! << 16) | (file[from + 1]! << 8) | file[from]!;
  }
  return (index) => colours[index]!;
}

/** Calls back with every pixel: row as stored, column, palette index or 0xRRGGBB. */
type Rows = (pixel: (row: number, x: number, value: number) => void) => void;

function plainRows(file: Buffer, header: Header): Rows {
  const { width, height, bits, data } = header;
  const stride = Math.ceil((width * bits) / 32) * 4;
  if (data + stride * height > file.length) throw new Error('it is cut short');
  const valueAt = reader(file, header);
  return (pixel) => {
    for (let row = 0; row < height; row++) {
      for (let x = 0; x < width; x++) pixel(row, x, valueAt(data + row * stride, x));
    }
  };
}

/** The value of a row's x-th pixel. */
function reader(file: Buffer, { bits, compression, masks }: Header): (row: number, x: number) => number {
  if (bits === 24) return (row, x) => file.readUIntLE(row + 3 * x, 3);
  if (bits === 32 && compression === PLAIN) return (row, x) => file.readUIntLE(row + 4 * x, 3);
  if (bits > 8) {
    const field = (mask: number) => {
      if (mask === 0) throw new Error('a colour has no mask');
      const shift = Math.clz32(mask & -mask) ^ 31;
      const most = mask >>> shift;
      return (word: number) => Math.floor((((word & mask) >>> shift) * 255) / most);
    };
    const [red, green, blue] = masks.map(field) as [
      ReturnType<typeof field>,
      ReturnType<typeof field>,
      ReturnType<typeof field>,
    ];
    const bytes = bits / 8;
    return (row, x) => {
      const word = file.readUIntLE(row + bytes * x, bytes);
      return (red(word) << 16) | (green(word) << 8) | blue(word);
    };
  }
  const most = 2 ** bits - 1;
  return (row, x) => {
    const bit = x * bits;
    return (file[row + (bit >> 3)]! >> (8 - bits - (bit & 7))) & most;
  };
}

/** Runs (count, value), and after a 0: end of line, end of file, a step right and down, or so many single values. */
function runLengthRows(file: Buffer, { width, height, compression, data }: Header): Rows {
  const nibbles = compression === RLE4;
  return (pixel) => {
    let [at, x, row] = [data, 0, 0];
    const next = () => {
      if (at >= file.length) throw new Error('it is cut short');
      return file[at++]!;
    };
    const put = (value: number) => {
      if (x < width && row < height) pixel(row, x, value);
      x++;
    };
    // What no run covers is index 0.
    for (let y = 0; y < height; y++) for (let i = 0; i < width; i++) pixel(y, i, 0);
    while (row < height) {
      const [count, value] = [next(), next()];
      if (count > 0) {
        for (let i = 0; i < count; i++) put(nibbles ? (i % 2 === 0 ? value >> 4 : value & 15) : value);
      } else if (value === 0) {
        [x, row] = [0, row + 1];
      } else if (value === 1) {
        return;
      } else if (value === 2) {
        [x, row] = [x + next(), row + next()];
      } else {
        const start = at;
        for (let i = 0; i < value; i++) {
          if (!nibbles) put(next());
          else put(i % 2 === 0 ? next() >> 4 : file[at - 1]! & 15);
        }
        if ((at - start) % 2 === 1) at++; // to a whole number of words
      }
    }
  };
}
