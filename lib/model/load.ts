/** From the path of a model file to a model at work on a lane of its own. */
import { assertArguments, assertOptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { loadSharpAhead } from '../images/load-decoder';
import type { Arithmetic, NativeModel } from '../native/addon';
import { openEngine } from '../native/engine';
import { closeLane, openLane, runTask } from '../native/lane';
import { choosePlacement, type Device, type FirstPrecision, type Placement, type Precision } from '../native/placement';
import { modelPath } from '../weights/model-cache';
import { checkModelFile } from '../weights/model-file';
import { assertSha256, withTrustedCopy } from '../weights/trusted-copy';
import { modelInfo } from './info';
import { Model } from './model';
import { LOAD_MODEL_OPTIONS, type LoadModelOptions } from './options';
import { type QueueLimits, queueLimits } from './queue-options';

/** The core's: more than computers have cores. */
const MOST_THREADS = 1024;
const PRECISIONS: readonly string[] = ['fp32', 'bf16', 'fp16', 'int8', 'guarded', 'auto'];

/**
 * Loads a model file made by `clipn-native export` or fetched by `clipn-native fetch model`.
 *
 * @param model path of the file; where nothing has that path, the name on the Hugging Face hub that it was fetched by:
 *   OWNER/NAME, or OWNER/NAME@REVISION. Nothing is downloaded.
 * @throws ERR_CLIPN_MODEL_NOT_FOUND, ERR_CLIPN_MODEL_FORMAT, ERR_CLIPN_MODEL_UNTRUSTED, ERR_CLIPN_MODEL_CONTRACT,
 *   ERR_CLIPN_LIBTORCH_*, ERR_CLIPN_CUDA_UNAVAILABLE (device `cuda`), ERR_CLIPN_DEVICE_LOST, ERR_CLIPN_INVALID_ARG,
 *   ERR_CLIPN_IO, or `signal.reason`
 */
export async function loadModel(model: string, options: LoadModelOptions = {}): Promise<Model> {
  assertArguments({ model: ['text', model], options: ['options', options] });
  assertOptionNames('loadModel', options, LOAD_MODEL_OPTIONS);
  const { device = 'auto', precision = 'fp32', threads = 0, libtorch, batch, queue, trustedSha256, signal } = options;
  if (!['auto', 'cpu', 'cuda'].includes(device)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `device must be auto, cpu or cuda, not ${device}`);
  }
  if (!PRECISIONS.includes(precision)) {
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `precision must be fp32, bf16, fp16, int8, guarded or auto, not ${precision}`,
    );
  }
  if (!Number.isInteger(threads) || threads < 0 || threads > MOST_THREADS) {
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `threads must be a whole number from 0 to ${MOST_THREADS}, not ${threads}`,
    );
  }
  if (trustedSha256 !== undefined) assertSha256(trustedSha256);
  const limits = queueLimits(batch, queue);
  signal?.throwIfAborted();
  const path = await modelPath(model);
  const open = (file: string) => openModel(file, path, { device, precision, threads, libtorch, signal }, limits);
  return trustedSha256 === undefined ? open(path) : withTrustedCopy(path, trustedSha256, signal, open);
}

interface Opening {
  device: Device;
  precision: Precision | 'auto';
  threads: number;
  libtorch: string | undefined;
  signal: AbortSignal | undefined;
}

/** @param path the model's name: `file`, or what it is a copy of */
async function openModel(file: string, path: string, opening: Opening, limits: QueueLimits): Promise<Model> {
  const { device, precision, threads, libtorch, signal } = opening;
  // libtorch is loaded while the file is verified, each a good part of a second; what is wrong with the file is told first.
  const opened = openEngine(libtorch);
  opened.catch(() => undefined);
  const config = await checkModelFile(file, signal);
  const engine = await opened;
  const placement = await choosePlacement(engine, device, precision);
  const lane = openLane(engine, threads);
  try {
    const handles: unknown[] = [];
    try {
      const open = async (precision: Arithmetic, imageOnly: boolean) => {
        const native = await runTask(lane, signal, () => lane.openModel(file, precision, placement.device, imageOnly));
        handles.push(native.handle);
        return native;
      };
      const opened = open(placement.precision, false);
      loadSharpAhead();
      const native = await opened;
      const first = await openFirst(placement, engine.core.cpuBf16, open);
      const info = modelInfo(path, native, { ...placement, ...(first && { first: first.precision }) }, config);
      const { handle, tokenizerJson } = native;
      return new Model(info, { engine, lane, handle, first: first?.handle, tokenizerJson }, limits);
    } catch (error) {
      for (const handle of handles) engine.addon.closeModel(handle);
      throw error;
    }
  } catch (error) {
    await closeLane(lane);
    throw error;
  }
}

interface FirstTower {
  precision: FirstPrecision | null;
  handle?: unknown;
}

/**
 * The first tower of a guarded model; else undefined. A file that runs as it is has no int8: bf16 is its first, where the
 * CPU has that.
 */
async function openFirst(
  { first }: Placement,
  cpuBf16: boolean,
  open: (precision: Arithmetic, imageOnly: boolean) => Promise<NativeModel>,
): Promise<FirstTower | undefined> {
  if (first === undefined) return undefined;
  if (first === null) return { precision: null };
  try {
    return { precision: first, handle: (await open(first, true)).handle };
  } catch (error) {
    const runsAsItIs = error instanceof ClipnError && error.code === 'ERR_CLIPN_MODEL_CONTRACT';
    if (first !== 'int8' || !runsAsItIs) throw error;
  }
  return cpuBf16 ? { precision: 'bf16', handle: (await open('bf16', true)).handle } : { precision: null };
}
