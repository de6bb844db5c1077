/** WebDataset shards: tar files of `<key>.<field>`, a sample's files in a row (fields.ts says which field is what). */
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { finished } from 'node:stream/promises';
import { suggestion } from '../../base/wording';
import { ClassList, readNames } from './class-names';
import { type BrokenSample, type DataImage, type Dataset, type DatasetOptions, fingerprintOf, noData } from './dataset';
import {
  captionsOf,
  classNumberIn,
  type Fields,
  imageIn,
  isClassField,
  isWanted,
  type NoField,
  namesIn,
} from './fields';

interface Member {
  name: string;
  /** Undefined of what no sample needs. */
  data: Buffer | undefined;
}

interface Sample {
  key: string;
  fields: Fields;
}

type ShardOptions = Pick<DatasetOptions, 'imageField' | 'captionField' | 'names' | 'templates'>;

/** How samples are read. */
interface Reading extends ShardOptions {
  /** Of class numbers, with `names`. */
  classOf?: ReadonlyMap<string, number>;
}

/** Samples of the first shard that are looked at before all is read. */
const LOOKED_AT = 100;

/** @throws ClipnError ERR_CLIPN_TEACH_DATA when the first samples do not tell which fields are meant; ERR_CLIPN_TEMPLATES */
export async function openWebDataset(shards: readonly string[], options: ShardOptions): Promise<Dataset> {
  const { names, imageField, captionField } = options;
  const byClass = captionField !== undefined && isClassField(captionField.toLowerCase());
  if (byClass && names === undefined) {
    throw noData(`${captionField} holds class numbers: --names FILE has to say what the classes are`);
  }
  if (names !== undefined && captionField !== undefined && !byClass) {
    throw noData(`--names is for class numbers, in .cls fields, and --caption-field ${captionField} is another`);
  }
  const named = names === undefined ? undefined : await numbered(names, options.templates);
  const reading: Reading = { ...options, ...named };
  await lookAtFirst(shards[0]!, reading);
  const parts = [];
  for (const shard of shards) {
    // What is read of a shard depends on the fields, and a class's number on the names.
    const how = JSON.stringify([imageField, captionField, [...(reading.classOf ?? [])]]);
    const fingerprint = `${await fingerprintOf(shard, basename(shard))}${how}`;
    parts.push({ name: shard, fingerprint, read: () => readShard(shard, reading) });
  }
  return { kind: 'WebDataset', parts, ...(named && { classes: named.classes }), warnings: [] };
}

async function numbered(names: string, templates: string) {
  const list = await ClassList.of(templates);
  const classOf = new Map([...(await readNames(names))].map(([number, words]) => [number, list.add(words)]));
  const { classes } = list;
  if (classes.length > 1) return { classOf, classes };
  throw noData(`${names} has one class, ${classes[0]!.name}: to learn "no", images of at least two are needed`);
}

/** Refuses what the user has to decide or misspelt, before hours are spent on the rest. */
async function lookAtFirst(shard: string, reading: Reading): Promise<void> {
  const seen = new Set<string>();
  let samples = 0;
  try {
    for await (const sample of samplesOf(shard, reading)) {
      const read = readSample(sample, reading);
      if (!('broken' in read)) return;
      if (read.unclear) throw noData(`${shard}: ${describe(sample)}: ${read.broken}`);
      for (const name of namesIn(sample.fields)) seen.add(name);
      if (++samples >= LOOKED_AT) break;
    }
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
  }
  const { imageField, captionField, names } = reading;
  const flags = { '--image-field': imageField, '--caption-field': captionField, '--names': names };
  const asked = Object.entries(flags).filter(([, value]) => value !== undefined);
  if (samples === 0 || asked.length === 0) return; // others are counted when all is read
  const there = [...seen];
  const near = [captionField, imageField].map((name) => (name && !seen.has(name) ? suggestion(name, there) : ''));
  throw noData(
    `none of the first ${samples} samples of ${shard} can be used with ${asked.flat().join(' ')}: ` +
      `they have ${there.join(', ')}.${near.find((each) => each !== '') ?? ''}`,
  );
}

/** What follows damage in it is lost and counted as one broken sample. */
async function* readShard(shard: string, reading: Reading): AsyncGenerator<DataImage | BrokenSample> {
  let samples = 0;
  try {
    for await (const sample of samplesOf(shard, reading)) {
      samples++;
      const read = readSample(sample, reading);
      const name = `${shard}: ${sample.key}`;
      if ('broken' in read) yield { name: `${shard}: ${describe(sample)}`, broken: read.broken };
      else yield { name, ...read };
    }
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    const last = error.sample && readSample(error.sample, reading);
    if (last && !('broken' in last)) yield { name: `${shard}: ${error.sample!.key}`, ...last };
    yield { name: `${shard}: ${error.message}`, broken: 'shard cut short or damaged' };
    return;
  }
  if (samples === 0) yield { name: shard, broken: 'shard without files that are named KEY.FIELD' };
}

const describe = ({ key, fields }: Sample) => `${key} (${[...fields.keys()].join(', ')})`;

function readSample({ fields }: Sample, reading: Reading): Omit<DataImage, 'name'> | NoField {
  let of: { captions: readonly string[]; class?: number };
  if (reading.classOf) {
    const number = classNumberIn(fields, reading);
    if (typeof number !== 'string') return number;
    const index = reading.classOf.get(number);
    if (index === undefined) return { broken: 'class without a name' };
    of = { captions: [], class: index };
  } else {
    const captions = captionsOf(fields, reading);
    if ('broken' in captions) return captions;
    of = { captions };
  }
  const image = imageIn(fields, reading);
  return 'broken' in image ? image : { image, ...of };
}

/** A tar file that cannot be read on, and the sample before that place, of which files may be missing. */
class Damage extends Error {
  constructor(
    cause: Error,
    readonly sample: Sample | undefined,
  ) {
    super(cause.message, { cause });
  }
}

/** @throws Damage */
async function* samplesOf(shard: string, reading: Reading): AsyncGenerator<Sample> {
  let sample: { key: string; fields: Map<string, Buffer | undefined> } | undefined;
  try {
    for await (const { name, data } of membersOf(shard, reading)) {
      const { key, field } = nameOf(name);
      if (key === undefined || field === undefined) continue; // as WebDataset does; macOS adds `._` files
      if (sample && sample.key !== key) yield sample;
      if (sample?.key !== key) sample = { key, fields: new Map() };
      sample.fields.set(field, data);
    }
  } catch (cause) {
    throw new Damage(cause as Error, sample);
  }
  if (sample) yield sample;
}

function nameOf(member: string): { key?: string; field?: string } {
  const [, key, field] = /^((?:.*\/)?[^/.]+)\.([^/]+)$/.exec(member) ?? [];
  return key === undefined || field === undefined ? {} : { key, field: field.toLowerCase() };
}

/** The files of a tar file, in order. */
async function* membersOf(shard: string, reading: Reading): AsyncGenerator<Member> {
  const { Parser } = require('tar') as typeof import('tar');
  const ready: Member[] = [];
  const parser = new Parser({
    strict: true, // a wrong checksum or a missing end is an error
    onReadEntry: (entry) => {
      const { field } = nameOf(entry.path);
      const chunks: Buffer[] = [];
      let wanted = entry.type === 'File' || entry.type === 'OldFile';
      const isFile = wanted;
      entry.on('data', (chunk) => {
        if (chunks.length === 0) wanted &&= field !== undefined && isWanted(field, chunk, reading);
        if (wanted) chunks.push(chunk);
      });
      entry.on('end', () => {
        if (isFile) ready.push({ name: entry.path, data: wanted ? Buffer.concat(chunks) : undefined });
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
