/** GIF's transparent colour (GIF89a 23), which libvips draws black and CLIP's loader, Pillow, in the palette's colour. */

const EXTENSION = 0x21;
const GRAPHIC_CONTROL = 0xf9;
/** Bytes after a screen's or image's flags byte that are a colour table: 3 × 2^(n + 1) when there is one. */
const colourTable = (flags: number): number => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);

/** A copy of a GIF whose first frame has no transparent colour. What is not laid out as a GIF is left to the decoder. */
export function opaqueGif(file: Uint8Array): Uint8Array {
  const copy = new Uint8Array(file);
  let at = 13 + colourTable(copy[10] ?? 0);
  while (copy[at] === EXTENSION) {
    // A graphic control block: label, length 4, flags (bit 0: there is a transparent colour), delay, its index, 0.
    if (copy[at + 1] === GRAPHIC_CONTROL && at + 3 < copy.length) copy[at + 3]! &= ~1;
    at += 2;
    while (at < copy.length && copy[at] !== 0) at += copy[at]! + 1;
    at += 1;
  }
  return copy;
}
