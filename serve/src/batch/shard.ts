/** A shard of images to rows: one for each distinct image and set, and one for each that cannot be judged. */
import { createHash } from 'node:crypto';
import type { CheckFailure, CheckResult, ClipnError, Detector } from 'clipn-native';
import { ServeError } from '../errors';
import { ahead } from './ahead';
import type { Entry } from './list';
import { readObject } from './object';
import type { Row } from './rows';

/** Objects that are read at once: enough to hide a store's answering time. */
const READ_AT_ONCE = 32;

export interface ShardOptions {
  detector: Detector;
  /** Objects whose store does not answer become rows with that error; else the shard fails, to be tried later. */
  giveUp: boolean;
  signal?: AbortSignal;
  onProgress?: (done: number) => void;
  /** One image at a time; it is called before each. */
  careful?: (index: number, entry: Entry) => Promise<ServeError | undefined>;
}

type Failure = ServeError | ClipnError;

/**
 * Rows in the list's order.
 *
 * @throws ERR_SERVE_OBJECT_UNAVAILABLE unless `giveUp`; ERR_SERVE_S3_ACCESS; of the model; `signal.reason`
 */
export async function judgeShard(entries: readonly Entry[], options: ShardOptions): Promise<Row[]> {
  const { detector, signal, onProgress, careful } = options;
  const rows: Row[] = [];
  const rowOf = new Map<string, Row>();
  const asked: Row[] = [];
  let read = 0;

  async function* images(): AsyncGenerator<Uint8Array> {
    const numbered = entries.map((entry, index) => ({ entry, index }));
    const start = async ({ entry, index }: (typeof numbered)[number]) => {
      const suspect = await careful?.(index, entry);
      return { entry, got: suspect ?? (await readOrFail(entry.image, options)) };
    };
    for await (const { entry, got } of ahead(numbered, careful ? 1 : READ_AT_ONCE, start)) {
      read++;
      if (got instanceof Error) {
        rows.push(failedRow(entry, null, got));
        continue;
      }
      const sha256 = createHash('sha256').update(got).digest('hex');
      const key = `${sha256} ${entry.set ?? ''}`;
      const earlier = rowOf.get(key);
      if (earlier !== undefined) {
        if (earlier.image !== entry.image) earlier.also = [...(earlier.also ?? []), entry.image];
        continue;
      }
      const row = emptyRow(entry, sha256);
      rowOf.set(key, row);
      rows.push(row);
      asked.push(row);
      yield got;
    }
  }

  let answered = 0;
  const take = (answer: CheckResult | CheckFailure) => {
    fill(asked[answered++]!, answer);
    onProgress?.(read);
  };
  if (careful) {
    // Its answer before the next is begun: whoever dies has died of this one.
    for await (const image of images()) for (const answer of await detector.check([image], { signal })) take(answer);
  } else {
    for await (const answer of detector.stream(images(), { signal })) take(answer);
  }
  return rows;
}

async function readOrFail(address: string, { giveUp, signal }: ShardOptions): Promise<Uint8Array | Failure> {
  try {
    return await readObject(address, signal);
  } catch (error) {
    if (!(error instanceof ServeError) || error.code === 'ERR_SERVE_S3_ACCESS') throw error;
    if (error.code === 'ERR_SERVE_OBJECT_UNAVAILABLE' && !giveUp) throw error;
    return error;
  }
}

function emptyRow({ image, set }: Entry, sha256: string | null): Row {
  return {
    ...{ sha256, image, also: null, set: set ?? null },
    ...{ verdict: null, label: null, nearestWord: null, p: null, pYes: null, pValue: null, rule: null },
    ...{ quality: null, precision: null, scores: {}, feature: null, error: null, message: null },
  };
}

function failedRow(entry: Entry, sha256: string | null, { code, message }: Failure): Row {
  return { ...emptyRow(entry, sha256), error: code, message };
}

function fill(row: Row, answer: CheckResult | CheckFailure): void {
  if ('error' in answer) {
    row.error = answer.error.code;
    row.message = answer.error.message;
    return;
  }
  const [top] = answer.top;
  row.verdict = answer.verdict;
  row.label = answer.label;
  row.nearestWord = answer.nearestWord ?? null;
  row.p = top?.p ?? null;
  row.pYes = top?.pYes ?? null;
  row.pValue = answer.pValue ?? null;
  row.rule = typeof answer.rule === 'string' ? answer.rule : JSON.stringify(answer.rule);
  row.quality = answer.quality ?? null;
  row.precision = answer.precision ?? null;
  row.scores = { ...answer.scores };
  row.feature = answer.feature ?? null;
}
