/** Gets a CLIP of the Hugging Face hub: its files into the cache, a model file made of them, the files away again. */

import { stat } from 'node:fs/promises';
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import type { FetchProgress } from '../download/progress';
import { hubOf } from '../hub/hub';
import { type HubName, parseHubName, shownName } from '../hub/name';
import { openEngine } from '../native/engine';
import { exportModel } from './export';
import { alone, bringSnapshot, findSnapshot, removeUnkept } from './hub-cache';
import { isRefusedForGood } from './hub-clip';
import { type FetchedModel, findModel, modelFile, prepareModelCache, recordModel } from './model-cache';
import { STORED_DTYPES, type StoredDtype } from './model-config';

/** Options of `fetchModel`. */
export interface FetchModelOptions {
  /** Branch, tag or commit; default `main`. It may also follow the name, after an @. */
  revision?: string;
  /** Precision of the stored weights. Default 'fp32'. */
  dtype?: StoredDtype;
  /** Called as it goes on. The `size` phase says how much comes and under which licence, before it comes. */
  onProgress?: (progress: FetchProgress) => void;
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal;
}

const OPTIONS: OptionNames<FetchModelOptions> = { revision: true, dtype: true, onProgress: true, signal: true };

/**
 * Makes sure that the cache holds a model file of this CLIP on the Hugging Face hub, as the hub has it now; from then on
 * `loadModel(name)` takes it. What is there is not downloaded again; while another process fetches of the same repository,
 * this one waits. A download that broke off or was aborted is gone on with by the next call.
 *
 * The environment is read as huggingface_hub reads it: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE; and HTTPS_PROXY,
 * NO_PROXY.
 *
 * @param name OWNER/NAME, or OWNER/NAME@REVISION
 * @returns the model and whether it was there before
 * @throws ERR_CLIPN_HUB_NOT_FOUND, ERR_CLIPN_HUB_ACCESS, ERR_CLIPN_FETCH, ERR_CLIPN_FETCH_HASH, ERR_CLIPN_IO,
 *   ERR_CLIPN_INVALID_ARG, ERR_CLIPN_LIBTORCH_*, those of `exportModel` for the weights; `signal.reason` when aborted
 */
export async function fetchModel(
  name: string,
  options: FetchModelOptions = {},
  env: NodeJS.ProcessEnv = process.env,
): Promise<FetchedModel & { alreadyThere: boolean }> {
  assertArguments({ name: ['text', name], options: ['options', options], env: ['record', env] });
  assertOptionNames('fetchModel', options, OPTIONS);
  const { dtype = 'fp32', onProgress, signal } = options;
  const target = targetOf(name, options.revision);
  if (!STORED_DTYPES.includes(dtype)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `dtype must be one of ${STORED_DTYPES.join(', ')}, not ${dtype}`);
  }
  signal?.throwIfAborted();
  const hub = hubOf(env);
  if (hub.offline) {
    const model = await findModel(target, env, dtype);
    if (model?.problem === null) return { ...withoutProblem(model), alreadyThere: true };
  }
  const snapshot = await findSnapshot(hub, target, signal);
  return await alone(env, snapshot, { onProgress, signal }, async () => {
    const { commit, license } = snapshot;
    const copy = await findModel({ ...target, revision: commit }, env, dtype);
    if (copy?.problem === null) {
      const model = { ...withoutProblem(copy), ...target, license };
      await recordModel(env, model);
      return { ...model, alreadyThere: true };
    }
    await openEngine(undefined); // export needs it: told before the download
    const folder = await bringSnapshot(hub, snapshot, { onProgress, signal });
    await prepareModelCache(env, target.name);
    const path = modelFile(env, target.name, commit, dtype);
    try {
      await exportModel(folder, path, {
        dtype,
        ...(signal && { signal }),
        onProgress: ({ done, total }) =>
          onProgress?.({ phase: 'export', message: `Making a model file of ${shownName(target)}`, done, total }),
      });
    } catch (error) {
      // Weights that cannot be used are not worth their room on the disk.
      if (error instanceof ClipnError && isRefusedForGood(error))
        await removeUnkept(env, snapshot, (c) => c === commit);
      throw error;
    }
    const model = { ...target, commit, license, dtype, path, bytes: (await stat(path)).size };
    await recordModel(env, model);
    await removeUnkept(env, snapshot, (each) => each === commit);
    return { ...model, alreadyThere: false };
  });
}

function withoutProblem({ problem: _, ...model }: FetchedModel & { problem: string | null }): FetchedModel {
  return model;
}

function targetOf(name: string, revision: string | undefined): HubName {
  const parsed = parseHubName(name);
  const target = parsed === null || revision === undefined ? parsed : parseHubName(`${parsed.name}@${revision}`);
  if (target === null || (revision !== undefined && name.includes('@') && target.revision !== parsed!.revision)) {
    const shown = revision === undefined ? name : `${name} at revision ${revision}`;
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${shown} is no name of a model on the Hugging Face hub`, {
      hint: 'Give OWNER/NAME as in openai/clip-vit-base-patch16, and at most one revision.',
    });
  }
  return target;
}
