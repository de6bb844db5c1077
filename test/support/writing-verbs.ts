/** Every verb that writes files, small enough to be run many times: for tests of what a fault on the way leaves behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { readCheckpoint } from '../../lib/weights/checkpoint';
import { apiModel } from './api-model';
import { cliProgram } from './built';
import { clipRepository } from './hub-clip';
import { serveHub } from './hub-server';
import { drawImages } from './image-tree';
import { photos, repository } from './paths';
import { smallestTeaching } from './teaching';
import { smallestFiles } from './tiny-model';
import { serve, wheelSha256, wholeWheel } from './wheel-server';

export interface WritingVerb {
  name: string;
  /** Its words; what it writes goes below `out` and into the cache folder. */
  args(out: string): string[];
}

/** Where one verb writes: `out` and `cache`, and nothing else. */
export interface Place {
  folder: string;
  out: string;
  cache: string;
  /** Its folder's name when it was written to, for one that was copied. */
  writtenAs?: string;
}

export function placeAt(folder: string): Place {
  const place = { folder, out: path.join(folder, 'out'), cache: path.join(folder, 'cache') };
  mkdirSync(place.out, { recursive: true });
  return place;
}

export interface Ended {
  code: number | null;
  signal: string | null;
  out: string;
  err: string;
}

let surroundings: NodeJS.ProcessEnv = {};

/** Makes the inputs below `folder`, and the servers on the loopback that `closeServers` ends. */
export async function writingVerbs(folder: string): Promise<WritingVerb[]> {
  const at = (...names: string[]) => path.join(folder, ...names);
  mkdirSync(at('wordnet'), { recursive: true });
  const line = (word: string, type: string) => `00000001 03 ${type} 01 ${word} 0 000 | gloss  \n`;
  for (const [file, type] of [
    ['data.noun', 'n'],
    ['data.adj', 'a'],
  ] as const) {
    writeFileSync(at('wordnet', file), Array.from({ length: 200 }, (_, i) => line(`${type}_${i}`, type)).join(''));
  }
  mkdirSync(at('teaching'), { recursive: true });
  mkdirSync(at('tiny'), { recursive: true });
  const seed = await drawImages(at('id'), ['cat', 'dog'], 14, 1);
  await drawImages(at('ood'), [''], 6, seed);
  mkdirSync(at('photos/ferry'), { recursive: true });
  copyFileSync(path.join(photos, 'boats.jpg'), at('photos/ferry/boats.jpg'));
  const small = path.join(repository, 'models/small/model.pt');
  const [model, teaching, tiny] = await Promise.all([
    apiModel(),
    smallestTeaching(at('teaching')),
    smallestFiles(at('tiny')),
  ]);
  const hub = await serveHub({ 'seeded/tiny-clip': await clipRepository({ license: 'mit' }) });
  const { base } = await serve(wholeWheel);
  surroundings = {
    ...process.env,
    CLIPN_WORDNET: at('wordnet'),
    HF_ENDPOINT: hub.endpoint,
    HF_HOME: at('no-token'),
    SOURCE_DATE_EPOCH: '1700000000',
    NO_COLOR: '1',
    OMP_NUM_THREADS: '1',
  };
  const named = (file: string, ...more: string[]) => ['--model', file, '--templates', 'plain', ...more];
  const { templates, config, tokenizer } = teaching.options as Record<string, string>;
  return [
    {
      name: 'export',
      args: (out) => [
        ...['export', tiny.checkpoint, `${out}/model.pt`],
        ...['--config', tiny.options.config!, '--tokenizer', tiny.options.tokenizer!, '--act', 'gelu'],
      ],
    },
    { name: 'labels', args: (out) => ['labels', `${out}/bank.bin`, ...named(model, '--labels', 'cat,dog,bus')] },
    {
      name: 'check, with the cache of banks',
      args: () => ['check', at('id/cat/000.png'), ...named(model, '--labels', 'cat,dog,bus', '--json')],
    },
    {
      name: 'calibrate',
      args: (out) => [
        ...['calibrate', '--id', at('id'), '--out', `${out}/calibration.json`],
        ...named(model, '--labels', 'cat,dog', '--target', '0.9'),
      ],
    },
    {
      name: 'negatives',
      args: (out) => ['negatives', `${out}/words.json`, '--photos', at('photos'), '--model', small],
    },
    {
      name: 'eval, with its store and report',
      args: (out) => [
        ...['eval', '--id', at('id'), '--ood', `other=${at('ood')}`],
        ...['--out', `${out}/report.html`, ...named(model)],
      ],
    },
    {
      name: 'teach',
      args: (out) => [
        ...['teach', '--base', teaching.base, '--data', teaching.data, '--out', `${out}/run`, '--steps', '6'],
        ...['--batch', '4', '--save-every', '2', '--templates', templates!],
        ...['--config', config!, '--tokenizer', tokenizer!],
      ],
    },
    { name: 'fetch model', args: () => ['fetch', 'model', 'seeded/tiny-clip'] },
    {
      name: 'fetch libtorch',
      args: () => ['fetch', '--from', `${base}/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl`, '--sha256', wheelSha256],
    },
  ];
}

/** What starts a verb: a program, its words and its environment. */
export function commandOf(verb: WritingVerb, place: Place, node: readonly string[] = []) {
  const args = [...node, cliProgram(), ...verb.args(place.out)];
  return { args, env: { ...surroundings, CLIPN_CACHE_DIR: place.cache } };
}

export function runVerb(
  verb: WritingVerb,
  place: Place,
  { node = [], env = {} }: { node?: readonly string[]; env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  const command = commandOf(verb, place, node);
  return ended(process.execPath, command.args, { ...command.env, ...env });
}

/** Runs a program to its end. */
export async function ended(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  const child = spawn(program, args, { cwd: repository, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const end = new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', reject).once('close', (code, signal) => resolve([code, signal]));
  });
  const [[code, signal], out, err] = await Promise.all([end, readText(child.stdout), readText(child.stderr)]);
  return { code, signal, out, err };
}

/** Names of the files below a place: those that have their final name, and what is there for a while alone. */
export function filesOf({ folder }: Place): { final: string[]; temporary: string[] } {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
  const isTemporary = (name: string) => /(^|\/)\.|\.lock$/.test(name);
  return { final: names.filter((name) => !isTemporary(name)), temporary: names.filter(isTemporary) };
}

/** Files whose name is their own, or which a run leaves and a later one does not: told by what they hold alone. */
const isNamedAnew = (name: string) => name.startsWith('cache/features/') || name.endsWith('/state.pt');
const isHub = (name: string) => name.startsWith('cache/hub/');

/** What the files of a place hold, with what differs from run to run left out: the place, and when it was made. */
export function resultsOf(place: Place): Map<string, string> {
  const names = filesOf(place).final.filter((name) => !isNamedAnew(name) && !isHub(name));
  return new Map(names.map((name) => [name, contentOf(place, name)]));
}

function contentOf({ folder, writtenAs = folder }: Place, name: string): string {
  const text = readFileSync(path.join(folder, name), 'latin1').replaceAll(writtenAs, '');
  if (!name.endsWith('.json')) return text;
  const { created: _, sha256: __, ...rest } = JSON.parse(text) as Record<string, unknown>;
  return JSON.stringify(rest);
}

/** Fails when a file that has its final name is not whole. @param whole what they hold after a run without a fault */
export async function assertWhole(place: Place, whole: ReadonlyMap<string, string>): Promise<void> {
  for (const name of filesOf(place).final) {
    const file = path.join(place.folder, name);
    if (name.endsWith('log.jsonl')) continue; // grows by a line a step; what is beyond the last save is dropped
    if (whole.has(name)) assert.equal(contentOf(place, name), whole.get(name), `${name} is not whole`);
    else if (name.endsWith('.safetensors')) assert.equal(readFileSync(file).length, lengthStated(file), name);
    else if (name.endsWith('.pt')) await readCheckpoint(file);
    else if (name.endsWith('.json')) JSON.parse(readFileSync(file, 'utf8'));
    else assert.ok(isHub(name), `${name} is not among the results`);
  }
}

/** Bytes that a .safetensors file says it has: 8, the header, and the last tensor's end. */
function lengthStated(file: string): number {
  const bytes = readFileSync(file);
  const header = Number(bytes.readBigUInt64LE(0));
  const { __metadata__: _, ...tensors } = JSON.parse(bytes.toString('utf8', 8, 8 + header)) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  return 8 + header + Math.max(...Object.values(tensors).map(({ data_offsets: [, end] }) => end));
}
