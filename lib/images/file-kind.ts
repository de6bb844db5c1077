/** What a file is, by its first bytes: images that are read, and what people take for one. */
import { open } from 'node:fs/promises';

/** Enough for every mark below. */
const HEAD_BYTES = 64;

type Mark = readonly [kind: string, matches: (head: Buffer) => boolean];

const at = (offset: number, ...texts: string[]) => {
  return (head: Buffer) => texts.some((text) => head.subarray(offset).toString('latin1').startsWith(text));
};
const both = (one: Mark[1], other: Mark[1]) => (head: Buffer) => one(head) && other(head);

/** Files that are decoded. */
const READ: readonly Mark[] = [
  ['JPEG', at(0, '\xff\xd8\xff')],
  ['PNG', at(0, '\x89PNG\r\n\x1a\n')],
  ['GIF', at(0, 'GIF87a', 'GIF89a')],
  ['WebP', both(at(0, 'RIFF'), at(8, 'WEBP'))],
  ['TIFF', at(0, 'II*\0', 'MM\0*', 'II+\0', 'MM\0+')],
  ['AVIF', both(at(4, 'ftyp'), at(8, 'avif', 'avis'))],
  [
    'BMP',
    both(at(0, 'BM'), (head) => head.length >= 18 && head.readUInt32LE(14) <= 124 && head.readUInt32LE(14) >= 12),
  ],
];

/** Files that are named in the refusal. */
const NAMED: readonly Mark[] = [
  ['a HEIC image', both(at(4, 'ftyp'), at(8, 'heic', 'heix', 'hevc', 'heim', 'heis', 'mif1', 'msf1'))],
  ['a video', at(4, 'ftyp')],
  ['a JPEG 2000 image', at(0, '\0\0\0\x0cjP  ', '\xff\x4f\xff\x51')],
  ['a JPEG XL image', at(0, '\xff\x0a', '\0\0\0\x0cJXL ')],
  ['a Windows icon (ICO)', at(0, '\0\0\x01\0', '\0\0\x02\0')],
  ['a PNM image', (head) => /^P[1-7]\s/.test(head.toString('latin1'))],
  ['a Photoshop file', at(0, '8BPS')],
  ['an OpenEXR image', at(0, 'v/1\x01')],
  ['a Radiance HDR image', at(0, '#?RADIANCE', '#?RGBE')],
  ['a PDF', at(0, '%PDF')],
  ['a zip archive', at(0, 'PK\x03\x04')],
  ['a gzip archive', at(0, '\x1f\x8b')],
  ['a pointer of Git LFS, not the file itself', at(0, 'version https://git-lfs')],
  ['an HTML page', (head) => /^\s*<(!doctype html|html)/i.test(head.toString('latin1'))],
  ['an SVG drawing', (head) => /^\s*<(\?xml|svg)/i.test(head.toString('latin1'))],
  ['JSON', (head) => /^\s*[{[]\s*["{[]/.test(head.toString('latin1'))],
];

const kindIn = (marks: readonly Mark[], head: Buffer) => marks.find(([, matches]) => matches(head))?.[0];

/** Whether the file can be an image that is read. */
export const isImageHead = (head: Buffer): boolean => kindIn(READ, head) !== undefined;
export const isBmp = (head: Buffer): boolean => kindIn(READ, head) === 'BMP';

/** What else it is, in words with an article; undefined when nothing tells. */
export function otherKind(head: Buffer): string | undefined {
  return isImageHead(head) ? undefined : kindIn(NAMED, head);
}

/** The first bytes of a file. */
export async function headOf(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    const { bytesRead } = await file.read(head, 0, HEAD_BYTES, 0);
    return head.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
