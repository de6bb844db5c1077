/** Folders of images by class, for benchmarks that draw classes or images. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { smallModel } from '../lib/weights/small-model';

export interface Images {
  /** Feature rows of each label's images; those of strangers under ''. */
  rows: Map<string, number[]>;
  paths: string[];
}

function findClasses(folder: string, classes: string, list: string | undefined): Images {
  const { labels, strangers } = JSON.parse(readFileSync(classes, 'utf8'));
  const wanted = list === undefined ? undefined : new Set(readFileSync(list, 'utf8').split(/\r?\n/));
  const rows = new Map<string, number[]>();
  const paths: string[] = [];
  for (const [name, label] of [...Object.entries<string>(labels), ...strangers.map((each: string) => [each, ''])]) {
    const own = rows.get(label) ?? [];
    rows.set(label, own);
    for (const file of readdirSync(path.join(folder, name)).sort()) {
      if (wanted !== undefined && !wanted.has(`${name}/${file}`)) continue;
      own.push(paths.length);
      paths.push(path.join(folder, name, file));
    }
  }
  return { rows, paths };
}

/** Flags of the benchmarks that read class folders. */
export const CLASS_FOLDER_FLAGS = {
  images: { type: 'string' },
  classes: { type: 'string' },
  list: { type: 'string' },
  model: { type: 'string', default: smallModel()?.model ?? '' },
  json: { type: 'boolean' },
} as const;

/** The images that the flags name. */
export function imagesFrom(flags: { images?: string; classes?: string; list?: string }): Images {
  if (flags.images === undefined || flags.classes === undefined) throw new Error('give --images and --classes');
  return findClasses(flags.images, flags.classes, flags.list);
}
