/**
 * Label banks as .safetensors files: a little-endian u64 header length, a JSON header, then the data. Tensors `yes` and,
 * with a "no" tower, `no`: F32 [C, D]. The header's `__metadata__` holds what the rows stand for, as strings, and the
 * checksum of all of it (formats/sealed-safetensors.ts), which files of format 1 lack. Labels are encoded in fp32, which
 * is what `precision` says; earlier versions encoded them in the images' precision, and files of those that say another
 * are refused.
 */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { assertArguments } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { makeFolder } from '../base/make-folder';
import { parseJson } from '../base/parse-json';
import { writeThenRename } from '../base/write-file';
import { isSealIntact, writeSealedSafetensors } from '../formats/sealed-safetensors';
import { freezeBank, type LabelBank } from './bank';

const FORMAT = 'clipn-label-bank';
export const BANK_FORMAT_VERSION = '2';
/** Of every bank. */
export const BANK_PRECISION = 'fp32';
/** Without a checksum: what can be told of them is that nothing is there but what the format has. */
const UNSEALED_VERSION = '1';
/** The format's own limit; JavaScript has no string of more than 512 MB. */
const MAX_HEADER_BYTES = 100_000_000n;

function metadataOf(bank: LabelBank): Record<string, string> {
  return {
    format: FORMAT,
    formatVersion: BANK_FORMAT_VERSION,
    labels: JSON.stringify(bank.labels),
    truncated: JSON.stringify(bank.truncated),
    templateSet: bank.templates.name,
    templateSha256: bank.templates.sha256,
    templates: JSON.stringify(bank.templates.lines),
    contentId: bank.model.contentId,
    precision: BANK_PRECISION,
  };
}

/**
 * Writes the bank beside `path` and renames it into place, so that no reader meets half a file.
 *
 * @throws ClipnError ERR_CLIPN_IO
 */
export async function saveLabelBank(bank: LabelBank, path: string): Promise<void> {
  assertArguments({ bank: ['bank', bank], path: ['text', path] });
  const matrix = (data: Float32Array) => ({ dtype: 'F32' as const, shape: [bank.labels.length, bank.dim], data });
  const tensors = { yes: matrix(bank.yes), ...(bank.no !== null && { no: matrix(bank.no) }) };
  await writeThenRename(path, async (temporary) => {
    await makeFolder(dirname(path));
    await writeSealedSafetensors(temporary, tensors, metadataOf(bank));
  });
}

class BankReader {
  constructor(
    readonly path: string,
    readonly bytes: Buffer,
  ) {}

  fail(field: string, what: string, cause?: unknown): never {
    throw new ClipnError('ERR_CLIPN_BANK_FORMAT', `label bank ${this.path}: ${field} ${what}`, {
      cause,
      details: { path: this.path, field },
    });
  }

  json(field: string, text: string): unknown {
    try {
      return parseJson(text);
    } catch (cause) {
      return this.fail(field, 'is not JSON', cause);
    }
  }

  record(field: string, value: unknown): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return this.fail(field, 'is not an object');
    return value as Record<string, unknown>;
  }

  text(metadata: Record<string, unknown>, field: string): string {
    const value = metadata[field];
    return typeof value === 'string' && value !== '' ? value : this.fail(field, 'is missing or not a string');
  }

  strings(metadata: Record<string, unknown>, field: string): string[] {
    const list = this.json(field, this.text(metadata, field));
    const isText = (item: unknown): boolean => typeof item === 'string' && item.trim() !== '';
    const isList = Array.isArray(list) && list.length > 0 && list.every(isText);
    return isList ? (list as string[]) : this.fail(field, 'is not a list of strings, none of them empty');
  }

  indices(metadata: Record<string, unknown>, field: string, below: number): number[] {
    const list = this.json(field, this.text(metadata, field));
    const isIndex = (item: unknown): boolean => Number.isInteger(item) && Number(item) >= 0 && Number(item) < below;
    return Array.isArray(list) && list.every(isIndex)
      ? (list as number[])
      : this.fail(field, 'is not a list of indices');
  }

  /** The bytes where the data begins, and the parsed header. */
  header(): { start: number; header: Record<string, unknown> } {
    const length = this.bytes.length < 8 ? -1n : this.bytes.readBigUInt64LE(0);
    if (length < 2n || length > BigInt(this.bytes.length - 8)) this.fail('header', 'is cut short');
    if (length > MAX_HEADER_BYTES) this.fail('header', `has ${length} bytes`);
    const start = 8 + Number(length);
    return { start, header: this.record('header', this.json('header', this.bytes.toString('utf8', 8, start))) };
  }

  /** Copies rows [rows, dim] of unit length; `dim` is whatever the file says when it is not given. */
  matrix(
    field: string,
    value: unknown,
    start: number,
    rows: number,
    wanted?: number,
  ): { dim: number; data: Float32Array } {
    const { dtype, shape, data_offsets: offsets } = this.record(field, value);
    if (dtype !== 'F32') this.fail(field, `has dtype ${JSON.stringify(dtype)}, not "F32"`);
    const isPair = (pair: unknown): pair is [number, number] =>
      Array.isArray(pair) && pair.length === 2 && pair.every((item) => Number.isSafeInteger(item) && item >= 0);
    if (!isPair(shape) || shape[0] !== rows || shape[1] < 1 || (wanted !== undefined && shape[1] !== wanted)) {
      return this.fail(field, `has shape ${JSON.stringify(shape)}, not [${rows}, ${wanted ?? 'D'}]`);
    }
    const dim = shape[1];
    const size = rows * dim * 4;
    if (!isPair(offsets) || offsets[1] - offsets[0] !== size || start + offsets[1] > this.bytes.length) {
      return this.fail(field, `has data_offsets ${JSON.stringify(offsets)}, which do not fit its shape and the file`);
    }
    const data = new Float32Array(rows * dim);
    this.bytes.copy(Buffer.from(data.buffer), 0, start + offsets[0], start + offsets[1]);
    for (let row = 0; row < rows; row++) {
      let square = 0;
      for (let d = 0; d < dim; d++) square += data[row * dim + d]! ** 2;
      if (!(Math.abs(square - 1) < 1e-3)) this.fail(field, `row ${row} is not of unit length`);
    }
    return { dim, data };
  }
}

/** A file without a seal has the fields and tensors of the format and no other, without gaps, in the order they were written. */
function assertNothingElse(reader: BankReader, start: number, header: Record<string, unknown>, bank: LabelBank): void {
  const size = 4 * bank.labels.length * bank.dim;
  const names = ['yes', ...(bank.no === null ? [] : ['no'])];
  const known = [...Object.keys(metadataOf(bank)), '__metadata__', ...names];
  const metadata = reader.record('__metadata__', header['__metadata__']);
  for (const key of [...Object.keys(metadata), ...Object.keys(header)]) {
    if (!known.includes(key)) reader.fail(key, 'is unknown');
  }
  for (const [i, name] of names.entries()) {
    const [from] = (header[name] as { data_offsets: [number, number] }).data_offsets;
    if (from !== i * size) reader.fail(name, `begins at ${from}, not at ${i * size}`);
  }
  if (reader.bytes.length !== start + names.length * size) reader.fail('data', 'has bytes that belong to no tensor');
}

/**
 * Reads a saved bank without a model; `model.loadLabelBank` also makes sure that it is of that model.
 *
 * @throws ClipnError ERR_CLIPN_IO when the file cannot be read, ERR_CLIPN_BANK_FORMAT naming the field that is broken,
 *   ERR_CLIPN_BANK_MISMATCH when an earlier version made it in another precision than fp32.
 */
export async function loadLabelBank(path: string): Promise<LabelBank> {
  assertArguments({ path: ['text', path] });
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ClipnError('ERR_CLIPN_IO', `cannot read label bank ${path}: ${reason}`, { cause });
  }
  const reader = new BankReader(path, bytes);
  const intact = isSealIntact(bytes);
  if (intact === false) reader.fail('sha256', 'is not the hash of the file, which is damaged or was changed');
  const { start, header } = reader.header();
  const metadata = reader.record('__metadata__', header['__metadata__']);
  if (reader.text(metadata, 'format') !== FORMAT) reader.fail('format', `is not "${FORMAT}"`);
  const version = reader.text(metadata, 'formatVersion');
  if (version !== BANK_FORMAT_VERSION && version !== UNSEALED_VERSION) {
    reader.fail('formatVersion', `is ${version}; this package reads ${UNSEALED_VERSION} and ${BANK_FORMAT_VERSION}`);
  }
  if ((version === BANK_FORMAT_VERSION) !== (intact === true))
    reader.fail('sha256', 'is missing, or not the first field');
  const labels = reader.strings(metadata, 'labels');
  const lines = reader.strings(metadata, 'templates');
  if (!lines.every((line) => line.includes('{}'))) reader.fail('templates', 'has a line without {}');
  const sha256 = reader.text(metadata, 'templateSha256');
  if (createHash('sha256').update(lines.join('\n')).digest('hex') !== sha256) {
    reader.fail('templateSha256', 'is not the hash of the templates');
  }
  const yes = reader.matrix('yes', header['yes'], start, labels.length);
  const no = header['no'] === undefined ? null : reader.matrix('no', header['no'], start, labels.length, yes.dim).data;
  const bank = freezeBank({
    labels,
    dim: yes.dim,
    yes: yes.data,
    no,
    templates: { name: reader.text(metadata, 'templateSet'), sha256, count: lines.length, lines },
    model: { contentId: reader.text(metadata, 'contentId') },
    truncated: reader.indices(metadata, 'truncated', labels.length),
  });
  const precision = reader.text(metadata, 'precision');
  if (version === UNSEALED_VERSION) assertNothingElse(reader, start, header, bank);
  if (precision === BANK_PRECISION) return bank;
  throw new ClipnError(
    'ERR_CLIPN_BANK_MISMATCH',
    `label bank ${path} was encoded in ${precision}; labels are encoded in ${BANK_PRECISION}, whatever the images' precision`,
    { hint: 'Make it again: `npx clipn-native labels`, `createLabelBank` in code.', details: { path, precision } },
  );
}
