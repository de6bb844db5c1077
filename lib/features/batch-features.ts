/** Features that a batch on a queue has kept (docs/batch.md), put into a store: its images are not encoded again. */
import { isRecord } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { openParquetTable, type ParquetTable, parquetRows } from '../base/parquet-rows';
import { parseJson } from '../base/parse-json';
import { packageVersion } from '../base/version';
import { type Preprocessing, preprocessingText } from '../weights/preprocessing';
import type { FeatureStore } from './store';

const SHA256 = /^[0-9a-f]{64}$/;
const HINT = 'Take the files in `results/` of a batch that was enqueued for this model with `--features fp32`.';

/**
 * Adds what the store lacks; on disk afterwards.
 *
 * @throws ERR_CLIPN_STORE_MISMATCH naming what they were made with and the store was not; ERR_CLIPN_STORE_FORMAT for a file that
 *   is damaged or no result of a batch; ERR_CLIPN_IO; `signal.reason`
 */
export async function addBatchFeatures(store: FeatureStore, path: string, signal?: AbortSignal): Promise<void> {
  const broken = (what: string, cause?: unknown) =>
    new ClipnError('ERR_CLIPN_STORE_FORMAT', `${path}: ${what}`, { hint: HINT, cause, details: { path } });
  try {
    const table = await openParquetTable(path);
    const names = table.columns.map(({ element }) => element.name);
    if (!names.includes('sha256') || !names.includes('feature')) throw broken('there are no features in it');
    assertMadeAlike(store, path, factsOf(table));
    let row = 0;
    for await (const { sha256, feature } of parquetRows(table, ['sha256', 'feature'])) {
      signal?.throwIfAborted();
      row++;
      // Of an image that could not be judged.
      if (feature === null || feature === undefined) continue;
      if (typeof sha256 !== 'string' || !SHA256.test(sha256)) throw broken(`row ${row}: sha256 is none`);
      const hash = Buffer.from(sha256, 'hex');
      if (store.rowOf(hash) !== -1) continue;
      if (!isFeature(feature, store.identity.dim)) throw broken(`row ${row}: the feature is no unit row`);
      store.add(hash, Float32Array.from(feature));
      await store.flushIfDue();
    }
    await store.flush();
  } catch (cause) {
    if (cause instanceof ClipnError || signal?.aborted) throw cause;
    if (cause instanceof Error && 'syscall' in cause) {
      throw new ClipnError('ERR_CLIPN_IO', `cannot read ${path}: ${cause.message}`, { cause, details: { path } });
    }
    throw broken((cause as Error).message, cause);
  }
}

/** As the store has it of its own rows: wide enough for those that were normalised in bf16. */
function isFeature(value: unknown, dim: number): value is number[] {
  if (!Array.isArray(value) || value.length !== dim) return false;
  const square = value.reduce((sum: number, x: unknown) => sum + (x as number) ** 2, 0);
  return Math.abs(square - 1) < 0.05;
}

function factsOf({ metadata }: ParquetTable): Record<string, unknown> {
  const text = metadata.key_value_metadata?.find(({ key }) => key === 'clipn')?.value;
  const facts = text === undefined ? undefined : parseJson(text);
  if (!isRecord(facts)) throw new Error('it does not say what made it');
  return facts;
}

function assertMadeAlike({ identity }: FeatureStore, path: string, facts: Record<string, unknown>): void {
  const { model, precision, features, exif, preprocessing, versions } = facts;
  const version = isRecord(versions) ? versions['clipn-native'] : undefined;
  const differences: [boolean, string][] = [
    [identity.patches !== '', 'no patches, which --patches needs'],
    [model !== identity.contentId, 'another model'],
    [precision !== identity.precision, `precision ${precision}, not ${identity.precision}`],
    [features !== 'fp32', `features kept in ${features}, not fp32`],
    // What becomes of pixels may change with it.
    [version !== packageVersion(), `clipn-native ${version}, not ${packageVersion()}`],
    [
      !isRecord(preprocessing) ||
        preprocessingText(preprocessing as unknown as Preprocessing, { exif: exif === true }) !==
          identity.preprocessing,
      'another preprocessing: a batch turns images as their EXIF orientation says, which `eval` does with --exif',
    ],
  ];
  const found = differences.find(([differs]) => differs);
  if (found === undefined) return;
  throw new ClipnError('ERR_CLIPN_STORE_MISMATCH', `the features in ${path} were made with ${found[1]}`, {
    hint: HINT,
    details: { path },
  });
}
