/** A folder of images with a caption beside each, as img2dataset writes them: `KEY.jpg` and `KEY.txt`. */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import {
  type BrokenSample,
  type DataImage,
  type DataPart,
  type Dataset,
  fingerprintOf,
  IMAGES_PER_PART,
  noData,
  pieces,
} from './dataset';
import { captionsOf, isTextField } from './fields';

/** An image and the files of its name that may hold its caption; relative to the folder. */
export interface CaptionedFile {
  image: string;
  captions: string[];
}

const fieldOf = (file: string) => extname(file).slice(1).toLowerCase();
const stemOf = (file: string) => file.slice(0, file.length - extname(file).length);

/**
 * Each image with what lies beside it: texts, or the field that was asked for.
 *
 * @param images relative to the folder
 */
export async function withCaptions(
  folder: string,
  images: readonly string[],
  captionField: string | undefined,
): Promise<CaptionedFile[]> {
  const asked = captionField && `${captionField.toLowerCase()}.`;
  const captionsOfStem = new Map<string, string[]>();
  for (const below of new Set(images.map((image) => dirname(image)))) {
    for (const name of (await readdir(join(folder, below))).sort()) {
      if (asked ? !asked.startsWith(`${fieldOf(name)}.`) : !isTextField(fieldOf(name))) continue;
      const file = join(below, name);
      captionsOfStem.set(stemOf(file), [...(captionsOfStem.get(stemOf(file)) ?? []), file]);
    }
  }
  return images.map((image) => ({ image, captions: captionsOfStem.get(stemOf(join(image))) ?? [] }));
}

/** Whether folders cannot be meant as classes: the images lie in none, or in those that img2dataset made. */
export async function namesNoClasses(folder: string, images: readonly string[]): Promise<boolean> {
  const beside = new Set(await readdir(folder));
  const folders = new Set(images.map((image) => dirname(image)));
  return [...folders].every((below) => below === '.' || beside.has(`${below}_stats.json`));
}

/** @throws ClipnError ERR_CLIPN_TEACH_DATA */
export async function openCaptionedFiles(
  folder: string,
  files: readonly CaptionedFile[],
  captionField: string | undefined,
): Promise<Dataset> {
  if (files.every(({ captions }) => captions.length === 0)) {
    throw noData(`${folder} has no image with a file of its name for --caption-field ${captionField}`);
  }
  const parts: DataPart[] = [];
  for (const piece of pieces(files, IMAGES_PER_PART)) {
    const named = piece.flatMap(({ image, captions }) => [image, ...captions]);
    const lines = await Promise.all(named.map((file) => fingerprintOf(join(folder, file), file)));
    const first = parts.length * IMAGES_PER_PART + 1;
    parts.push({
      name: `${folder}, images ${first} to ${first + piece.length - 1}`,
      images: piece.length,
      samples: piece.length,
      fingerprint: `${lines.join('')}${captionField ?? ''}`,
      async *read(): AsyncGenerator<DataImage | BrokenSample> {
        for (const file of piece) yield await read(folder, file, captionField);
      },
    });
  }
  return { kind: 'captioned files', parts, warnings: [] };
}

async function read(
  folder: string,
  { image, captions: files }: CaptionedFile,
  captionField: string | undefined,
): Promise<DataImage | BrokenSample> {
  const name = join(folder, image);
  const fields = new Map<string, Buffer>();
  for (const file of files) {
    const bytes = await readFile(join(folder, file)).catch(() => undefined);
    if (!bytes) return { name, broken: 'caption cannot be read' };
    fields.set(fieldOf(file), bytes);
  }
  const captions = captionsOf(fields, { captionField });
  return 'broken' in captions ? { name, broken: captions.broken } : { name, image: name, captions };
}
