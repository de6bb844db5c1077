/** Label banks kept between runs: what was encoded once, as a whole or for another list of names, is not encoded again. */
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheDirIfAny } from '../base/cache-dir';
import { ClipnError } from '../base/errors';
import { jsonHash } from '../base/json-hash';
import { removeAbandoned } from '../base/write-file';
import type { TemplateSet } from '../text/templates';
import { assertBankFits, freezeBank, joinBanks, type LabelBank, rowsOf, selectRows } from './bank';
import { BANK_FORMAT_VERSION, BANK_PRECISION, loadLabelBank, saveLabelBank } from './bank-file';
import { assertLabels, type EncodingOptions, encodeLabels, resolveTemplates, type TextTowers } from './build-bank';

/** Other banks that are searched for rows, the newest first. */
const MOST_SEARCHED = 4;

/** A folder for all that decides a row but its name: banks in it share rows. */
function folderOf({ contentId, tokenizer, hasNo }: TextTowers, set: TemplateSet): string | null {
  const cache = cacheDirIfAny();
  const key = [BANK_FORMAT_VERSION, contentId, BANK_PRECISION, tokenizer.sha256, set.sha256, hasNo];
  return cache === null ? null : join(cache, 'banks', jsonHash(key));
}

const NO_CACHE = 'the label bank was not cached, for there is no cache folder: name one with CLIPN_CACHE_DIR';

/** The bank stored at `path`, or null when there is none. */
async function readCached(path: string, towers: TextTowers, set: TemplateSet): Promise<LabelBank | null> {
  let bank: LabelBank;
  try {
    bank = await loadLabelBank(path);
  } catch (error) {
    const cause = error instanceof ClipnError ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
    if (cause?.code === 'ENOENT') return null;
    throw error;
  }
  assertBankFits(bank, towers);
  if (bank.templates.sha256 !== set.sha256) {
    throw new ClipnError('ERR_CLIPN_BANK_MISMATCH', 'its templates are not those asked for');
  }
  // The same templates may have come under another name.
  return freezeBank({ ...bank, templates: { ...bank.templates, name: set.name } });
}

/** Files of a folder, the newest first; none when it does not exist. */
async function newestFirst(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch {
    return [];
  }
  const times = await Promise.all(
    names
      .filter((name) => name.endsWith('.safetensors'))
      .map(async (name) => {
        const path = join(folder, name);
        const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: 0 }));
        return { path, mtimeMs };
      }),
  );
  return times.sort((a, b) => b.mtimeMs - a.mtimeMs).map(({ path }) => path);
}

/** The rows of these names that other cached banks hold, or null when they hold none. */
async function rowsOfOthers(
  folder: string,
  towers: TextTowers,
  labels: readonly string[],
  set: TemplateSet,
): Promise<LabelBank | null> {
  const missing = new Set(labels);
  let found: LabelBank | null = null;
  for (const path of (await newestFirst(folder)).slice(0, MOST_SEARCHED)) {
    if (missing.size === 0) break;
    // A file that cannot be used is named when its own names are asked for; here it only saves no time.
    const bank = await readCached(path, towers, set).catch(() => null);
    if (bank === null) continue;
    const rowOf = new Map(bank.labels.map((label, row) => [label, row]));
    const rows = [...missing].flatMap((label) => rowOf.get(label) ?? []);
    if (rows.length === 0) continue;
    const part = selectRows(bank, rows);
    for (const label of part.labels) missing.delete(label);
    found = found === null ? part : joinBanks(found, part);
  }
  return found;
}

/** Encodes what no cached bank holds and puts all rows into the order of `labels`. */
async function completed(
  known: LabelBank | null,
  towers: TextTowers,
  labels: readonly string[],
  set: TemplateSet,
  options: EncodingOptions,
): Promise<LabelBank> {
  if (known === null) return encodeLabels(towers, labels, set, options);
  const held = new Set(known.labels);
  const missing = labels.filter((label) => !held.has(label));
  const all = missing.length === 0 ? known : joinBanks(known, await encodeLabels(towers, missing, set, options));
  return rowsOf(all, labels);
}

/**
 * The bank at `path`, or what `make` gives, which is written there. A file that cannot be used or written is named in
 * `warnings`.
 *
 * @param isIt whether the bank that lies there is the one asked for
 * @param make is told whether a file that lies there could not be used
 */
async function kept(
  path: string,
  towers: TextTowers,
  set: TemplateSet,
  isIt: (bank: LabelBank) => boolean,
  make: (spoilt: boolean) => Promise<LabelBank>,
): Promise<LabelBank> {
  const warnings: string[] = [];
  await removeAbandoned(dirname(path));
  try {
    const cached = await readCached(path, towers, set);
    if (cached !== null) {
      if (isIt(cached)) return cached;
      throw new ClipnError('ERR_CLIPN_BANK_MISMATCH', 'its labels are not those asked for');
    }
  } catch (error) {
    if (!(error instanceof ClipnError)) throw error;
    warnings.push(`the cached label bank could not be used and was made again: ${error.message}`);
  }
  const bank = await make(warnings.length > 0);
  try {
    await saveLabelBank(bank, path);
  } catch (error) {
    if (!(error instanceof ClipnError)) throw error;
    warnings.push(`the label bank was not cached: ${error.message}; CLIPN_CACHE_DIR names another folder`);
  }
  return warnings.length === 0 ? bank : freezeBank(bank, warnings);
}

/**
 * As `buildLabelBank`, but read from `<cacheDir>/banks` when the same model, templates and names were
 * encoded before, and written there otherwise. Names that differ in part cost only what is new: rows do not depend on
 * each other. A cache file that cannot be used or written is named in `warnings`.
 */
export async function cachedLabelBank(
  towers: TextTowers,
  labels: readonly string[],
  options: EncodingOptions = {},
): Promise<LabelBank> {
  assertLabels(towers, labels);
  const templates = await resolveTemplates(options.templates);
  const folder = folderOf(towers, templates);
  if (folder === null) return freezeBank(await encodeLabels(towers, labels, templates, options), [NO_CACHE]);
  const isIt = (bank: LabelBank) =>
    bank.labels.length === labels.length && bank.labels.every((label, i) => label === labels[i]);
  return kept(join(folder, `${jsonHash(labels)}.safetensors`), towers, templates, isIt, async (spoilt) => {
    const known = spoilt ? null : await rowsOfOthers(folder, towers, labels, templates);
    return await completed(known, towers, labels, templates, options);
  });
}

/**
 * A bank that is known by what it was chosen from, not by its names: those are in it.
 *
 * @param key whatever decides which names `make` chooses
 */
export async function cachedSelection(
  towers: TextTowers,
  templates: TemplateSet,
  key: unknown,
  make: () => Promise<LabelBank>,
): Promise<LabelBank> {
  const folder = folderOf(towers, templates);
  if (folder === null) return freezeBank(await make(), [NO_CACHE]);
  const path = join(folder, 'chosen', `${jsonHash(key)}.safetensors`);
  return await kept(path, towers, templates, () => true, make);
}
