/** Folders of images by class, for benchmarks that draw classes or images. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export interface Images {
  /** Feature rows of each label's images; those of strangers under ''. */
  rows: Map<string, number[]>;
  paths: string[];
}

export function findClasses(folder: string, classes: string, list: string | undefined): Images {
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

/** A copy in random order. */
export function shuffled<T>(items: readonly T[], uniform: () => number): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(uniform() * (i + 1));
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}
