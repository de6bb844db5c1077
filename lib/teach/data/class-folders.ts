/** A folder of folders of images: the folder's name is the class, a template makes it a caption. */
import { join } from 'node:path';
import { firstFew } from '../../base/wording';
import { listImages, listing } from '../../images/find';
import { foldersBelow } from '../../images/folder';
import { ClassList, readNames } from './class-names';
import {
  type DataImage,
  type Dataset,
  type DatasetOptions,
  fingerprintOf,
  IMAGES_PER_PART,
  noData,
  pieces,
} from './dataset';

export async function openClassFolders(
  folder: string,
  { templates, names }: Pick<DatasetOptions, 'templates' | 'names'>,
): Promise<Dataset> {
  const folders = await listing(folder, () => foldersBelow(folder));
  const named = names === undefined ? undefined : await readNames(names);
  const kept = folders.filter((name) => !named || named.has(name));
  const missing = [...(named?.keys() ?? [])].filter((name) => !folders.includes(name));
  if (missing.length > 0) throw noData(`${names} names folders that ${folder} lacks: ${firstFew(missing)}`);
  const list = await ClassList.of(templates);
  const { classes } = list;
  const images: { file: string; class: number }[] = [];
  const empty: string[] = [];
  for (const name of kept) {
    const { images: files } = await listImages(join(folder, name));
    if (files.length === 0) {
      empty.push(name);
      continue;
    }
    const index = list.add(named?.get(name) ?? [name.replaceAll('_', ' ')]);
    for (const file of files) images.push({ file: join(name, file), class: index });
  }
  if (images.length === 0) {
    throw noData(
      `${folder} holds no captions: no .tar or .parquet files, no .txt beside an image, no folders named after classes`,
    );
  }
  if (classes.length < 2) {
    throw noData(`${folder} has one class, ${classes[0]!.name}: to learn "no", images of at least two are needed`);
  }
  const parts = [];
  for (const piece of pieces(images, IMAGES_PER_PART)) {
    const lines = await Promise.all(piece.map(({ file }) => fingerprintOf(join(folder, file), file)));
    parts.push({
      name: `${folder}, images ${parts.length * IMAGES_PER_PART + 1} to ${parts.length * IMAGES_PER_PART + piece.length}`,
      images: piece.length,
      samples: piece.length,
      // The classes' order is in it, so that a class's number stays what it was when the part was encoded.
      fingerprint: `${lines.join('')}${piece.map((image) => image.class).join()}`,
      async *read(): AsyncGenerator<DataImage> {
        for (const { file, class: index } of piece) {
          yield { name: join(folder, file), image: join(folder, file), captions: [], class: index };
        }
      },
    });
  }
  const warnings: string[] = [];
  if (empty.length > 0) warnings.push(`folders without images: ${firstFew(empty)}`);
  const unnamed = folders.length - kept.length;
  if (unnamed > 0) warnings.push(`${unnamed} of ${folders.length} folders are not in ${names} and are left out`);
  return { kind: 'class folders', parts, classes, warnings };
}
