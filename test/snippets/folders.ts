/** The folder that a document's snippets are run in: the files that they name, small. */
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { apiModel } from '../support/api-model';
import { writeParquet } from '../support/parquet';
import { photos, repository } from '../support/paths';

/**
 * Path → what is there: so many photos (a folder), text, or a link to a file. `photos/` and the like are crops of the
 * shipped photos, all different.
 */
export type Folder = Record<string, number | string | { link: string }>;

export const SMALL = { link: path.join(repository, 'models/small/model.pt') };
export const LABELS = { link: path.join(photos, 'labels.txt') };
export const photo = (name: string) => ({ link: path.join(photos, name) });
/** Words that stand for WordNet's: those that the small model knows. */
export const WORDS: readonly string[] = JSON.parse(
  readFileSync(path.join(repository, 'models/small/vocabulary.json'), 'utf8'),
);

/** Writes them as WordNet does. */
export function writeWordNet(folder: string): void {
  mkdirSync(folder);
  const line = (word: string, type: string) => `00000001 03 ${type} 01 ${word.replaceAll(' ', '_')} 0 000 | gloss  \n`;
  const write = (file: string, type: string, words: readonly string[]) =>
    writeFileSync(path.join(folder, file), words.map((word) => line(word, type)).join(''));
  write('data.noun', 'n', WORDS.slice(100));
  write('data.adj', 'a', WORDS.slice(0, 100));
}

/** A plain CLIP with CLIP's own tokenizer; its verdicts mean nothing. */
export const plainClip = async () => ({ link: await apiModel('clip') });

/** Tables as `collect` makes them of a batch: images of two sets, half of each out, and one that could not be read. */
export async function batchTables(): Promise<{ results: { link: string }; dead: { link: string } }> {
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-snippet-tables-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const [results, dead] = ['results', 'dead'].map((name) => ({ link: path.join(folder, `${name}.parquet`) }));
  const each = <T>(value: (i: number) => T) => Array.from({ length: 40 }, (_, i) => value(i));
  await writeParquet(results!.link, {
    image: each((i) => `s3://photos/${i}.jpg`),
    set: each((i) => (i % 4 < 2 ? 'mine' : 'web')),
    verdict: each((i) => (i / 40 >= 0.5 ? 'in' : 'out')),
    ...{ rule: each(() => 'calibrated'), label: each(() => 'cat'), atd: each((i) => i / 40), error: each(() => null) },
  });
  await writeParquet(dead!.link, {
    ...{ image: ['s3://photos/x.jpg'], verdict: [null], rule: [null], label: [null] },
    error: ['ERR_SERVE_OBJECT_NOT_FOUND'],
  });
  return { results: results!, dead: dead! };
}

const CROPS = 64;
const ENDS = ['.jpg', '.JPEG'];

/** Draws the crops that folders are made of; two sides of a photo's centre are never the same. */
export async function makeCrops(folder: string): Promise<void> {
  mkdirSync(folder);
  const names = ['astronaut', 'boats', 'cat', 'clock', 'coffee', 'galaxies', 'gravel', 'rocket'];
  await Promise.all(
    Array.from({ length: CROPS }, async (_, i) => {
      const step = Math.floor(i / names.length);
      await sharp(path.join(photos, `${names[i % names.length]}.jpg`))
        .extract({ left: 10 * step, top: 8 * step, width: 200, height: 200 })
        .resize(96)
        .toFile(path.join(folder, `${i}.jpg`));
    }),
  );
}

/** @param crops folder of `makeCrops` */
export function makeFolder(root: string, folder: Folder, crops: string): void {
  mkdirSync(root, { recursive: true });
  let next = 0;
  for (const [name, content] of Object.entries(folder)) {
    const target = path.join(root, name);
    mkdirSync(name.endsWith('/') ? target : path.dirname(target), { recursive: true });
    if (typeof content === 'string') writeFileSync(target, content);
    else if (typeof content === 'object') symlinkSync(path.resolve(crops, content.link), target);
    else {
      for (let i = 0; i < content; i++) {
        const ending = ENDS[name.includes('imagenet') ? 1 : 0]!;
        linkSync(path.join(crops, `${next++ % CROPS}.jpg`), path.join(target, `${i}${ending}`));
      }
    }
  }
}
