/** Models that were fetched: model files in the cache folder, each with a record of what on the hub it was made from. */
import { existsSync, statSync } from 'node:fs';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { cacheDir, cacheDirIfAny } from '../base/cache-dir';
import { ClipnError } from '../base/errors';
import { makeFolder } from '../base/make-folder';
import { writeThenRename } from '../base/write-file';
import { fileStem, type HubName, parseHubName, shownName } from '../hub/name';
import { STORED_DTYPES, type StoredDtype } from './model-config';

/** A model of the Hugging Face hub in the cache. */
export interface FetchedModel extends HubName {
  /** Of the repository, 40 hex digits. */
  commit: string;
  /** As the model's card on the hub names it, e.g. `mit`; null when it says nothing. */
  license: string | null;
  /** Of the stored weights. */
  dtype: StoredDtype;
  /** The model file. */
  path: string;
  /** Of the model file. */
  bytes: number;
}

/** What lies in the cache under one name and revision. */
export interface CachedModel extends FetchedModel {
  /** Why it cannot be used; null when it can. */
  problem: string | null;
}

/** In a line, for people. */
export function describeFetched({ commit, dtype, bytes, license, ...name }: FetchedModel): string {
  const size = `${(bytes / 1e6).toFixed(1)} MB`;
  return `${shownName(name)} (${commit.slice(0, 10)}), ${dtype}, ${size}, licence ${license ?? 'not stated'}`;
}

export function modelCacheDir(env: NodeJS.ProcessEnv): string {
  return join(cacheDir(env), 'models');
}

/** Where the model file of a commit belongs. */
export function modelFile(env: NodeJS.ProcessEnv, name: string, commit: string, dtype: StoredDtype): string {
  return join(modelCacheDir(env), `${fileStem(name, commit)}.${dtype}.pt`);
}

/** Every model that was fetched, by name and revision. */
export async function cachedModels(env: NodeJS.ProcessEnv = process.env): Promise<CachedModel[]> {
  if (cacheDirIfAny(env) === null) return [];
  const names = await readdir(modelCacheDir(env)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw new ClipnError('ERR_CLIPN_IO', `cannot read ${modelCacheDir(env)}: ${error.message}`, { cause: error });
  });
  const records = names.filter((name) => name.endsWith('.json') && !name.startsWith('.')).sort();
  const models = await Promise.all(records.map((name) => readRecord(env, name)));
  return models.filter((model) => model !== null);
}

/**
 * Path of the model file that `given` stands for: itself, or, where nothing has that path and it is a hub name, the file
 * that was fetched under that name. Nothing is downloaded.
 *
 * @throws ERR_CLIPN_MODEL_NOT_FOUND with the command that fetches it
 */
export async function modelPath(given: string, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const target = existsSync(given) && !isFolder(given) ? null : parseHubName(given);
  if (target === null) return given;
  const model = await findModel(target, env);
  if (model?.problem === null) return model.path;
  const shown = shownName(target);
  const what = model === undefined ? 'no model of that name was fetched' : `of the fetched model ${model.problem}`;
  throw new ClipnError('ERR_CLIPN_MODEL_NOT_FOUND', `there is no file ${given}, and ${what}`, {
    hint: `If it is the model on the Hugging Face hub: \`npx clipn-native fetch model ${shown}\`. If a path: check it.`,
  });
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/**
 * By the revision it was fetched as, else by its commit or the beginning of that.
 *
 * @param dtype of its weights; any when absent
 */
export async function findModel(
  { name, revision }: HubName,
  env: NodeJS.ProcessEnv,
  dtype?: StoredDtype,
): Promise<CachedModel | undefined> {
  const models = (await cachedModels(env)).filter(
    (model) => model.name === name && (dtype === undefined || model.dtype === dtype),
  );
  const byCommit = (model: CachedModel) => /^[0-9a-f]{7,40}$/.test(revision) && model.commit.startsWith(revision);
  return models.find((model) => model.revision === revision) ?? models.find(byCommit);
}

/**
 * Makes the revision's name stand for this model file, which lies where it belongs; files of the same name on the hub for
 * which no revision stands any more are removed.
 */
export async function recordModel(env: NodeJS.ProcessEnv, model: FetchedModel): Promise<void> {
  const folder = modelCacheDir(env);
  const { path, ...rest } = model;
  const record = `${JSON.stringify({ ...rest, file: basename(path) })}\n`;
  await writeThenRename(join(folder, `${fileStem(model.name, model.revision)}.json`), (temporary) =>
    writeFile(temporary, record),
  );
  const named = (await cachedModels(env)).map((each) => basename(each.path));
  const stem = fileStem(model.name, '');
  const stale = (file: string) => file.startsWith(stem) && file.endsWith('.pt') && !named.includes(file);
  await removeFrom(folder, stale);
}

/** The folder for model files, made, without what a killed process left half-written under this name. */
export async function prepareModelCache(env: NodeJS.ProcessEnv, name: string): Promise<void> {
  const folder = modelCacheDir(env);
  await makeFolder(folder);
  await removeFrom(folder, (file) => file.startsWith(`.${fileStem(name, '')}`));
}

async function removeFrom(folder: string, which: (file: string) => boolean): Promise<void> {
  for (const file of (await readdir(folder)).filter(which)) await rm(join(folder, file), { force: true });
}

/** Null for a record that cannot be read as one: it names nothing that could be used. */
async function readRecord(env: NodeJS.ProcessEnv, record: string): Promise<CachedModel | null> {
  let read: Partial<FetchedModel> & { file?: unknown };
  try {
    read = JSON.parse(await readFile(join(modelCacheDir(env), record), 'utf8'));
  } catch {
    return null;
  }
  const { name, revision, commit, license = null, dtype, bytes, file } = read;
  const strings = [name, revision, commit, file].every((each) => typeof each === 'string');
  if (!strings || typeof bytes !== 'number' || !STORED_DTYPES.includes(dtype!)) return null;
  const path = join(modelCacheDir(env), basename(file as string));
  const size = await stat(path).then(
    (found) => found.size,
    () => null,
  );
  const problem =
    size === bytes
      ? null
      : size === null
        ? 'the model file is missing'
        : `the model file has ${size} bytes, not ${bytes}`;
  return { name: name!, revision: revision!, commit: commit!, license, dtype: dtype!, path, bytes, problem };
}
