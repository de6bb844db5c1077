/** WebDataset shards as img2dataset writes them: tar files of `<key>.jpg` and `<key>.txt`, a sample's files in a row. */
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { finished } from 'node:stream/promises';
import { isImageName } from '../../images/find';
import { type BrokenSample, type DataImage, type Dataset, fingerprintOf } from './dataset';

interface Member {
  name: string;
  data: Buffer;
}

export async function openWebDataset(shards: readonly string[]): Promise<Dataset> {
  const parts = [];
  for (const shard of shards) {
    const fingerprint = await fingerprintOf(shard, basename(shard));
    parts.push({ name: shard, fingerprint, read: () => samplesOf(shard) });
  }
  return { kind: 'WebDataset', parts, warnings: [] };
}

/** The samples of one shard. What follows damage in it is lost and counted as one broken sample. */
async function* samplesOf(shard: string): AsyncGenerator<DataImage | BrokenSample> {
  let key: string | undefined;
  let members = new Map<string, Member>();
  try {
    for await (const member of membersOf(shard)) {
      const [, stem = '', extension = ''] = /^((?:.*\/)?[^/.]+)\.?([^/]*)$/.exec(member.name) ?? [];
      if (stem !== key && members.size > 0) {
        yield sampleOf(`${shard}: ${key}`, members);
        members = new Map();
      }
      key = stem;
      members.set(extension.toLowerCase(), member);
    }
    if (members.size > 0) yield sampleOf(`${shard}: ${key}`, members);
  } catch (error) {
    if (members.size > 0 && members.has('txt')) yield sampleOf(`${shard}: ${key}`, members);
    yield { name: `${shard}: ${(error as Error).message}`, broken: 'shard cut short or damaged' };
  }
}

function sampleOf(name: string, members: ReadonlyMap<string, Member>): DataImage | BrokenSample {
  const caption = members.get('txt')?.data.toString('utf8').trim();
  const image = [...members.values()].find((member) => isImageName(member.name));
  if (caption === undefined || caption === '') return { name, broken: 'no caption' };
  if (!image) return { name, broken: 'no image' };
  return { name, image: image.data, captions: [caption] };
}

/** The images and texts of a tar file, in order. */
async function* membersOf(shard: string): AsyncGenerator<Member> {
  const { Parser } = await import('tar');
  const ready: Member[] = [];
  const parser = new Parser({
    strict: true, // a wrong checksum or a missing end is an error
    onReadEntry: (entry) => {
      const wanted = entry.type === 'File' && (isImageName(entry.path) || entry.path.endsWith('.txt'));
      const chunks: Buffer[] = [];
      if (wanted) entry.on('data', (chunk) => chunks.push(chunk));
      entry.on('end', () => {
        if (wanted) ready.push({ name: entry.path, data: Buffer.concat(chunks) });
      });
      entry.resume();
    },
  });
  let failure: Error | undefined;
  parser.on('error', (error: Error) => {
    failure ??= error;
  });
  const source = createReadStream(shard, { highWaterMark: 1 << 20 });
  for await (const chunk of source) {
    parser.write(chunk as Buffer);
    while (ready.length > 0) yield ready.shift()!;
    if (failure) throw failure;
  }
  const ended = finished(parser as unknown as NodeJS.WritableStream).catch(() => undefined);
  parser.end();
  await Promise.race([ended, new Promise((resolve) => parser.once('error', resolve))]);
  while (ready.length > 0) yield ready.shift()!;
  if (failure) throw failure;
}
