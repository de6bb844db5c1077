/** Features that a batch on a queue has kept (docs/batch.md), put into a store: its images are not encoded again. */
import { isRecord } from '../base/arguments';
import { ClipnError, isOfSystem } from '../base/errors';
import { isSha256 } from '../base/json-hash';
import { openParquetTable, type ParquetTable, parquetRows, tableError } from '../base/parquet-rows';
import { parseJson } from '../base/parse-json';
import { packageVersion } from '../base/version';
import { type Preprocessing, preprocessingText } from '../weights/preprocessing';
import { type FeatureStore, isUnitRow } from './store';

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
      if (!isSha256(sha256)) throw broken(`row ${row}: sha256 is none`);
      const hash = Buffer.from(sha256, 'hex');
      if (store.rowOf(hash) !== -1) continue;
      const values = rowIn(feature, store.identity.dim);
      if (values === undefined) throw broken(`row ${row}: the feature is no unit row`);
      store.add(hash, values);
      await store.flushIfDue();
    }
    await store.flush();
  } catch (cause) {
    if (cause instanceof ClipnError || signal?.aborted) throw cause;
    throw isOfSystem(cause)
      ? tableError(path, cause, 'ERR_CLIPN_STORE_FORMAT')
      : broken((cause as Error).message, cause);
  }
}

/** The row of a cell; undefined where it is none. */
function rowIn(cell: unknown, dim: number): Float32Array | undefined {
  if (!Array.isArray(cell) || cell.length !== dim) return undefined;
  const row = Float32Array.from(cell);
  return isUnitRow(row, 0, dim) ? row : undefined;
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
