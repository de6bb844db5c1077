/** `negatives`: photos of your classes to a file of words that are none of them. */
import { join } from 'node:path';
import { hasClassFolders, readImageFolder, refusal } from '../../images/folder';
import { matchClasses } from '../../labels/class-names';
import { mineNegatives } from '../../model/mine-negatives';
import { saveNegatives } from '../../scores/mined-negatives';
import type { Args, Command } from '../command';
import { bankOptions, DECODING_FLAGS, decodingFrom, MODEL_FLAGS, modelFrom } from '../model-flags';
import { Progress, say, sayJson } from '../terminal';

export const negativesCommand: Command = {
  summary: 'Choose words that are none of your classes, with photos of these, for --negatives.',
  usage: 'OUT --photos DIR [--model M]',
  operands: { least: 1, most: 1, missing: 'give one file to write, e.g. negatives.json' },
  flags: {
    ...MODEL_FLAGS,
    photos: {
      value: 'DIR',
      doc: 'a folder of photos for each class, named as the class; none of them may calibrate later',
    },
    ...DECODING_FLAGS,
    json: { doc: 'one JSON object' },
  },
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const [out] = args.operands as [string];
  const folder = await readImageFolder(args.required('photos'));
  if (!hasClassFolders(folder))
    throw refusal(folder.folder, 'has no class folders', 'Put the photos of each class into a folder.');
  const { labels } = matchClasses(folder.classes, undefined);
  const photos = Object.fromEntries(labels.map((label) => [label, [] as string[]]));
  for (const [i, image] of folder.images.entries()) {
    photos[labels[folder.classOf[i]!]!]!.push(join(folder.folder, image));
  }
  const progress = new Progress();
  await using model = await modelFrom(args, signal);
  const { onProgress } = bankOptions(args, progress, signal);
  const mined = await mineNegatives(model, { photos, ...decodingFrom(args), signal, onProgress }).finally(() =>
    progress.done(),
  );
  await saveNegatives(mined, out);
  const told = { out, words: mined.words.length, labels: labels.length, photos: folder.images.length };
  if (args.on('json')) sayJson(told);
  else say(`${out}: ${told.words} words, chosen with ${told.photos} photos of ${told.labels} classes`);
  return 0;
}
