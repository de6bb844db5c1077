/** Which column of a table, or key of a JSON object, holds images and which captions, and what stands in one. */
import { decodeText } from '../../base/text-encoding';
import { suggestion } from '../../base/wording';
import { type DatasetOptions, noData } from './dataset';

const IMAGE_NAMES = 'filepath file_path path image_path image img filename file_name file image_bytes jpg png webp';
const CAPTION_NAMES = 'title caption captions text txt sentence';

export type ColumnOptions = Pick<DatasetOptions, 'imageColumn' | 'captionColumn'>;

/** Positions in the names of the columns. */
export interface Columns {
  image: number;
  caption: number;
}

const KINDS = {
  image: { usual: IMAGE_NAMES.split(' '), what: 'image paths', flag: '--image-column' },
  caption: { usual: CAPTION_NAMES.split(' '), what: 'captions', flag: '--caption-column' },
} as const;

/** The names that are usual for captions, as they are written. */
export function captionNamesIn(names: readonly string[]): string[] {
  return names.filter((name) => KINDS.caption.usual.includes(name.trim().toLowerCase()));
}

/** Where the columns that were asked for are, or those with usual names; case and spaces around do not count. */
function placesOf(names: readonly string[], kind: keyof typeof KINDS, asked: string | undefined): number[] {
  const wanted = asked === undefined ? KINDS[kind].usual : [asked.trim().toLowerCase()];
  return [...names.keys()].filter((at) => wanted.includes(names[at]!.trim().toLowerCase()));
}

/** Whether both columns are among these names. */
export function namesBoth(names: readonly string[], { imageColumn, captionColumn }: ColumnOptions): boolean {
  return placesOf(names, 'image', imageColumn).length > 0 && placesOf(names, 'caption', captionColumn).length > 0;
}

/** Whether a row is one of names. */
export function isHeader(image: string, caption: string): boolean {
  return placesOf([image], 'image', undefined).length > 0 && placesOf([caption], 'caption', undefined).length > 0;
}

/**
 * @param more said after the refusal
 * @throws ClipnError ERR_CLIPN_TEACH_DATA when there is none or several, saying which flag names one
 */
export function chooseColumns(names: readonly string[], options: ColumnOptions, file: string, more = ''): Columns {
  return {
    image: columnOf(names, 'image', options.imageColumn, file, more),
    caption: columnOf(names, 'caption', options.captionColumn, file, more),
  };
}

function columnOf(
  names: readonly string[],
  kind: keyof typeof KINDS,
  asked: string | undefined,
  file: string,
  more: string,
): number {
  const { usual, what, flag } = KINDS[kind];
  const places = placesOf(names, kind, asked);
  if (places.length === 1) return places[0]!;
  if (places.length > 1) {
    const found = places.map((at) => names[at]!.trim()).join(', ');
    const which = asked === undefined ? `${flag} names one` : 'their names must differ';
    throw noData(`${file} has several columns that could hold ${what}: ${found} (${which})`);
  }
  const wanted = asked === undefined ? `none of ${usual.join(', ')}` : `no ${asked}.${suggestion(asked, names)}`;
  const addresses = kind === 'image' && placesOf(names, kind, 'url').length > 0;
  throw noData(
    `${file} has no column of ${what}: ${wanted}; its columns are ${names.join(', ')} (${flag} names one)${more}`,
    addresses ? { hint: ADDRESSES_HINT } : {},
  );
}

/** For a list of images to be fetched, and for what img2dataset writes beside the images that it fetched. */
export const ADDRESSES_HINT =
  'teach fetches no images. Fetch them with img2dataset and give teach the folder that it wrote, not the list.';

/** The captions in a value: a text, or a list of texts; bytes may be one. */
export function captionsIn(value: unknown): string[] {
  const values: unknown[] = Array.isArray(value) ? value : [value];
  return values
    .map((each) => (each instanceof Uint8Array ? textIn(each) : each))
    .filter((each) => typeof each === 'string')
    .map((each) => each.trim())
    .filter((each) => each !== '');
}

/** Undefined when it is no text. */
export function textIn(bytes: Uint8Array): string | undefined {
  try {
    return decodeText(bytes);
  } catch {
    return undefined;
  }
}
