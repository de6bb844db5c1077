/** A CLIP on the hub: which files of a repository it consists of, and those onto this disk, refused early where it is none. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ClipnError } from '../base/errors';
import { makeFolder } from '../base/make-folder';
import type { FetchProgress } from '../download/progress';
import { assertRoom, inGigabytes } from '../download/room';
import { fetchFiles, missingFiles } from '../hub/fetch-files';
import type { Hub } from '../hub/hub';
import { shownName } from '../hub/name';
import type { HubFile, Snapshot } from '../hub/snapshot';
import { openHuggingFace, PREPROCESSOR, PROCESSOR, shardNames, WEIGHTS } from './hugging-face';
import { readOpenClipConfig } from './openclip-config';
import { OPENCLIP_CONFIG, openClipWeights } from './source';

interface ClipFiles {
  layout: 'openclip' | 'huggingface';
  /** All but the weights: what tells the network. */
  beside: HubFile[];
  /** The file of weights, or the index of its shards. */
  weights: HubFile;
}

const HF_CONFIG = 'config.json';
/** Tokenizers have some megabytes, configs some kilobytes. */
const MOST_BESIDE = 64 * 2 ** 20;

/** The same files that `withSource` reads in a folder of the whole repository. @throws ERR_CLIPN_CHECKPOINT_FORMAT */
export function chooseFiles(snapshot: Snapshot): ClipFiles {
  const { files } = snapshot;
  const of = (names: readonly string[]) =>
    names.map((name) => files.find(({ path }) => path === name)).filter((file) => file !== undefined);
  const [openClipConfig] = of([OPENCLIP_CONFIG]);
  const openClipName = openClipWeights((name) => of([name]).length > 0);
  const [openClip] = of(openClipName === undefined ? [] : [openClipName]);
  if (openClipConfig !== undefined && openClip !== undefined) {
    return { layout: 'openclip', beside: small([openClipConfig], snapshot), weights: openClip };
  }
  const [weights] = of(WEIGHTS);
  if (of([HF_CONFIG]).length === 0 || weights === undefined) throw noClip(snapshot);
  const [tokenizer] = of(['tokenizer.json']);
  const vocabulary = tokenizer === undefined ? of(['vocab.json', 'merges.txt']) : [tokenizer];
  const beside = [...of([HF_CONFIG, PROCESSOR, PREPROCESSOR]), ...vocabulary];
  return { layout: 'huggingface', beside: small(beside, snapshot), weights };
}

function small(files: HubFile[], snapshot: Snapshot): HubFile[] {
  const large = files.find(({ bytes }) => bytes > MOST_BESIDE);
  if (large === undefined) return files;
  const what = `${large.path} of ${shownName(snapshot)} has ${large.bytes} bytes`;
  throw new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', `${what}; at most ${MOST_BESIDE} are taken`);
}

function noClip(snapshot: Snapshot): ClipnError {
  const names = [OPENCLIP_CONFIG, 'open_clip_model.safetensors', HF_CONFIG, WEIGHTS[0]] as const;
  return new ClipnError(
    'ERR_CLIPN_CHECKPOINT_FORMAT',
    `${shownName(snapshot)} holds no CLIP: it needs ${names[0]} with ${names[1]} or its like, or ${names[2]} with ${names[3]} or its like`,
    {
      hint: 'If it holds a checkpoint under another name, download that file: `npx clipn-native export FILE OUT`.',
      details: { files: snapshot.files.map(({ path }) => path) },
    },
  );
}

/**
 * Makes `folder` hold the CLIP of the snapshot. Its configs come first, so that another network is refused before gigabytes
 * have come; then the size and the licence are said, and whether the disk has room.
 *
 * @throws ERR_CLIPN_CHECKPOINT_FORMAT, ERR_CLIPN_INVALID_ARG (another network), ERR_CLIPN_IO, what `fetchFiles` throws
 */
export async function bringClip(
  hub: Hub,
  snapshot: Snapshot,
  folder: string,
  options: { onProgress: (progress: FetchProgress) => void; signal: AbortSignal | undefined },
): Promise<void> {
  const { layout, beside, weights } = chooseFiles(snapshot);
  const shards = weights.path.endsWith('.index.json') ? small([weights], snapshot) : [];
  await fetchFiles(hub, snapshot, [...beside, ...shards], folder, options);
  let files = [weights];
  try {
    await refuseOtherNetworks(layout, folder);
    if (shards.length > 0) files = await shardsOf(snapshot, folder, weights.path);
  } catch (error) {
    if (!(error instanceof ClipnError)) throw error;
    await rm(folder, { recursive: true, force: true });
    const message = `${shownName(snapshot)}: ${error.message.replaceAll(join(folder, '/'), '')}`;
    throw new ClipnError(error.code, message, { hint: NO_CLIP_HINT, details: error.details, cause: error });
  }
  await sayAndCheckSize(snapshot, layout, files, folder, options.onProgress);
  await fetchFiles(hub, snapshot, files, folder, options);
}

const NO_CLIP_HINT = 'Take a CLIP whose two towers are plain transformers (docs/models.md names some).';

/** Whether the same files would be refused again. */
export function isRefusedForGood({ code }: ClipnError): boolean {
  return code.startsWith('ERR_CLIPN_CHECKPOINT_') || ['ERR_CLIPN_INVALID_ARG', 'ERR_CLIPN_TOKENIZER'].includes(code);
}

async function refuseOtherNetworks(layout: ClipFiles['layout'], folder: string): Promise<void> {
  if (layout === 'openclip') await readOpenClipConfig(join(folder, OPENCLIP_CONFIG));
  else await openHuggingFace(folder, []);
}

async function shardsOf(snapshot: Snapshot, folder: string, index: string): Promise<HubFile[]> {
  return (await shardNames(folder, index)).map((shard) => {
    const file = snapshot.files.find(({ path }) => path === shard);
    if (file !== undefined) return file;
    throw new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', `${index} names ${shard}, which the repository does not hold`);
  });
}

async function sayAndCheckSize(
  snapshot: Snapshot,
  layout: ClipFiles['layout'],
  files: HubFile[],
  folder: string,
  onProgress: (progress: FetchProgress) => void,
): Promise<void> {
  const sum = (some: HubFile[]) => some.reduce((total, { bytes }) => total + bytes, 0);
  const missing = sum(await missingFiles(files, folder));
  // The model file, and before it the weights in OpenCLIP's layout where they have another.
  const made = sum(files) * (layout === 'huggingface' ? 2 : 1);
  const message =
    `${shownName(snapshot)} (${snapshot.commit.slice(0, 10)}), licence ${snapshot.license ?? 'not stated'}: ` +
    `${inGigabytes(missing)} to download, about ${inGigabytes(made)} more while it is exported`;
  onProgress({ phase: 'size', message });
  await makeFolder(folder);
  await assertRoom(folder, missing + made, message);
}
