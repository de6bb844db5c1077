/**
 * Looks at a model file before libtorch does, which takes sizes, pickles and weights at their word: a damaged file is told
 * here.
 */
import { open, stat } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import { type PickleCall, readPickle } from '../formats/pickle';
import { locateTensor, TENSOR } from '../formats/torch-archive';
import { TorchZip } from '../formats/torch-zip';
import { checkZip } from '../formats/zip-check';
import { type ModelConfig, parseModelConfig } from './model-config';

const TENSOR_ENTRY = /^(?:data|constants)\/\d+$/;

/**
 * Verifies every byte of the zip, then that its pickles take from it no more than it has, and returns its clipn.json.
 *
 * @throws ClipnError ERR_CLIPN_MODEL_NOT_FOUND, ERR_CLIPN_MODEL_FORMAT, ERR_CLIPN_IO, or `signal.reason`
 */
export async function checkModelFile(path: string, signal?: AbortSignal): Promise<ModelConfig> {
  await assertModelPath(path);
  try {
    await checkZip(path, { damaged: (what) => new ClipnError('ERR_CLIPN_MODEL_FORMAT', `${path}: ${what}`), signal });
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof ClipnError) throw cause;
    throw new ClipnError('ERR_CLIPN_IO', `cannot read the model file ${path}: ${(cause as Error).message}`, { cause });
  }
  return await TorchZip.use(path, 'ERR_CLIPN_MODEL_FORMAT', signal, async (archive) => {
    if (!archive.has('constants.pkl')) {
      throw new ClipnError('ERR_CLIPN_MODEL_FORMAT', `${path} holds weights without a program: it is no model file`);
    }
    let config: ModelConfig | undefined;
    for (const name of archive.names()) {
      signal?.throwIfAborted();
      if (TENSOR_ENTRY.test(name)) continue;
      const content = await archive.read(name);
      if (name === 'extra/clipn.json') config = parseModelConfig(content.toString(), path);
      if (name === 'data.pkl') await checkTensors(content, archive, 'data');
      if (name === 'constants.pkl') await checkTensors(content, archive, 'constants');
    }
    return config ?? parseModelConfig('', path);
  });
}

/** libtorch maps a tensor to its bytes without a look at how many there are. */
async function checkTensors(content: Buffer, archive: TorchZip, folder: 'data' | 'constants'): Promise<void> {
  const calls: PickleCall[] = [];
  readPickle(content, {
    allowed: { has: () => true }, // names of the program's own classes; none is called here
    source: archive.path,
    code: 'ERR_CLIPN_MODEL_FORMAT',
    onCall: (call) => {
      if (call.callee === TENSOR) calls.push(call);
    },
  });
  for (const [i, call] of calls.entries()) await locateTensor(`tensor ${i} of ${folder}.pkl`, call, archive, folder);
}

/**
 * What is no file, or no zip at all, gets its own words.
 *
 * @throws ClipnError ERR_CLIPN_MODEL_NOT_FOUND, ERR_CLIPN_MODEL_FORMAT, ERR_CLIPN_IO
 */
export async function assertModelPath(path: string): Promise<void> {
  const info = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return null;
    throw new ClipnError('ERR_CLIPN_IO', `cannot read the model file ${path}: ${cause.message}`, { cause });
  });
  if (!info?.isFile()) throw new ClipnError('ERR_CLIPN_MODEL_NOT_FOUND', `no model file at ${path}`);
  let head = Buffer.alloc(2);
  try {
    const file = await open(path, 'r');
    try {
      head = head.subarray(0, (await file.read(head, 0, 2, 0)).bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_IO', `cannot read the model file ${path}: ${(cause as Error).message}`, { cause });
  }
  if (head.toString('latin1') !== 'PK') throw new ClipnError('ERR_CLIPN_MODEL_FORMAT', `${path} is not a model file`);
}
