/**
 * One small checkpoint, ways to write it damaged, and what its export then ends in. Importing it makes the checkpoint in a
 * folder of the test's own.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';
import type { ClipnErrorCode } from '../../lib/base/errors';
import { type ExportOptions, exportModel } from '../../lib/weights/export';
import { outcome, unzip } from './damage';
import { stateDictShapes } from './seeded-weights';
import { SMALLEST, smallestFiles } from './tiny-model';
import { pickle } from './torch-zip';
import { zip } from './zip';

export const FORMAT = 'ERR_CLIPN_CHECKPOINT_FORMAT';
export const UNSAFE = 'ERR_CLIPN_CHECKPOINT_UNSAFE';
export const KEYS = 'ERR_CLIPN_CHECKPOINT_KEYS';
/** Far above what any takes: a bomb takes hours, or all memory. */
export const TIMEOUT = { timeout: 60_000 };

export const folder = mkdtempSync(path.join(tmpdir(), 'clipn-damaged-checkpoint-'));
export const at = (name: string): string => path.join(folder, name);
export let options: ExportOptions;
export let whole: Buffer;
export let entries: Record<string, Buffer>;
export let contentId: string;

before(async () => {
  const files = await smallestFiles(folder);
  options = files.options;
  whole = readFileSync(files.checkpoint);
  entries = unzip(whole);
  contentId = (await exportModel(files.checkpoint, at('whole.model'), options)).contentId;
});
after(() => rmSync(folder, { recursive: true }));

/** How the export of these bytes ends: a code, or the model's content id. The folder keeps its files and gets no other. */
export async function exported(name: string, bytes: Buffer, file = 'damaged.pt'): Promise<string> {
  writeFileSync(at(file), bytes);
  const files = readdirSync(folder);
  const work = exportModel(at(file), at('out.model'), options).then((config) => config.contentId);
  const result = await outcome(name, work);
  if (existsSync(at('out.model'))) rmSync(at('out.model'));
  assert.deepEqual(readdirSync(folder), files, `${name}: left a file`);
  return result;
}

export async function allEndIn(
  code: ClipnErrorCode,
  inputs: Iterable<[name: string, Buffer]>,
  file?: string,
): Promise<void> {
  const others: string[] = [];
  let count = 0;
  for (const [name, bytes] of inputs) {
    const found = await exported(name, bytes, file);
    if (found !== code) others.push(`${name}: ${found}`);
    count++;
  }
  assert.deepEqual(others, []);
  assert.ok(count > 0);
}

export const keys = [...stateDictShapes(SMALLEST).keys()];

/** The checkpoint with another pickle; its checksum is right. */
export const withPickle = (data: Buffer): Buffer => zip({ ...entries, 'seeded/data.pkl': data });
export const withRoot = (value: Buffer): Buffer => withPickle(pickle.file(value));

/** The checkpoint with the part of its pickle that describes `key` changed. */
export function withTensor(key: string, change: (description: string) => string): Buffer {
  const text = entries['seeded/data.pkl']!.toString('latin1');
  const begin = text.indexOf(pickle.string(`module.${key}`).toString('latin1'));
  const end = text.indexOf('ccollections\nOrderedDict\n(tRtR', begin); // the last argument of the tensor's call
  assert.ok(begin > 0 && end > begin, key);
  const changed = change(text.slice(begin, end));
  assert.notEqual(changed, text.slice(begin, end), key);
  return withPickle(Buffer.from(text.slice(0, begin) + changed + text.slice(end), 'latin1'));
}

/** An entry more in the state dict. */
export function withEntry(key: Buffer, value: Buffer): Buffer {
  const text = entries['seeded/data.pkl']!.toString('latin1');
  const first = pickle.string(`module.${[...keys].sort()[0]}`).toString('latin1');
  const added = Buffer.concat([key, value]).toString('latin1');
  return withPickle(
    Buffer.from(
      text.replace(first, () => added + first),
      'latin1',
    ),
  );
}

export async function edited(edit: (shapes: Map<string, number[]>) => void): Promise<Buffer> {
  const other = mkdtempSync(path.join(tmpdir(), 'clipn-damaged-edit-'));
  try {
    return readFileSync((await smallestFiles(other, { edit })).checkpoint);
  } finally {
    rmSync(other, { recursive: true });
  }
}

export type Header = Record<string, { dtype: unknown; shape: unknown; data_offsets: unknown }>;

/** The network as .safetensors (fp32, zeros but for the scale), its header changed; `item` bytes are there per element. */
export function safetensors(change: (header: Header) => void, item = 4): Buffer {
  const header: Header = {};
  let offset = 0;
  for (const [key, shape] of stateDictShapes(SMALLEST)) {
    const count = shape.reduce((product, size) => product * size, 1);
    const size = count * (key === 'visual.proj' ? item : 4);
    header[key] = { dtype: 'F32', shape, data_offsets: [offset, offset + size] };
    offset += size;
  }
  change(header);
  return framed(JSON.stringify(header), Buffer.alloc(offset));
}

export function framed(
  header: string | Buffer,
  data: Buffer = Buffer.alloc(0),
  length = BigInt(Buffer.byteLength(header)),
): Buffer {
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(length);
  return Buffer.concat([head, Buffer.from(header), data]);
}
