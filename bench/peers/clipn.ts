/** clipn-native itself, through its API: what the others are compared with. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ClipnError, describeCore, type ImageInput, type LabelBank, type LoadModelOptions, loadModel } from '../../lib';
import { inOrder } from '../../lib/base/in-order';
import { decodeImage } from '../../lib/images/decode';
import { syntheticBank, unitRows } from '../../lib/measure/synthetic';
import { scoreOn } from '../../lib/scores/score';
import { preparedPixels, SIDE } from './pixels';
import { type Call, type Case, cycled, notHere, serve, workerArgs } from './serve';

async function main(): Promise<void> {
  const { files, device, threads, photos, ...args } = workerArgs();
  const precision = args.precision as NonNullable<LoadModelOptions['precision']>;
  if (device !== 'cpu' && device !== 'cuda') throw new Error(`device ${device}`);
  const core = await describeCore();
  if (device === 'cpu' && precision === 'bf16' && !core.cpuBf16) notHere('this CPU does not multiply bf16');
  const start = performance.now();
  // On a GPU as docs/cuda.md says for many images.
  const limits = device === 'cuda' ? { batch: { max: 256 }, queue: { max: 1024 } } : {};
  const model = await loadModel(join(files, 'vit-b16.pt'), { precision, device, threads, ...limits }).catch(
    (error: unknown) => {
      // A GPU, or a precision, that this computer or version does not have.
      const absent = ['ERR_CLIPN_CUDA_UNAVAILABLE', 'ERR_CLIPN_INVALID_ARG'];
      if (error instanceof ClipnError && absent.includes(error.code)) notHere(error.message);
      throw error;
    },
  );
  const loadMs = performance.now() - start;
  const { contentId } = model.info;
  const banks = new Map<number, LabelBank>();
  /** A call that checks all images at once. */
  const checking = async (images: readonly ImageInput[]): Promise<Call> => {
    const bank = syntheticBank(1000, model.info.embedDim, { contentId });
    const detector = await model.createDetector(bank);
    return async () => {
      for (const result of await detector.check(images)) if ('error' in result) throw result.error;
      return undefined;
    };
  };

  await serve({ versions: { libtorch: core.torchVersion }, loadMs }, async (wanted: Case): Promise<Call> => {
    switch (wanted.kind) {
      case 'tower': {
        const batch = preparedPixels(files, wanted.batch).map((data) => ({
          data,
          width: SIDE,
          height: SIDE,
          channels: 3 as const,
        }));
        return async () => (await model.encodePixels(batch, false, undefined)).features;
      }
      case 'linears':
        return async () => {
          await model.runImageLinears(wanted.batch);
          return undefined;
        };
      case 'files':
        return await checking(cycled(photos, wanted.count));
      case 'raw':
        return await checking(cycled(await Promise.all(photos.map((photo) => decodeImage(photo))), wanted.count));
      case 'decode': {
        const paths = cycled(photos, wanted.count);
        return async () => {
          const ahead = { window: availableParallelism() };
          for await (const image of inOrder(paths, (path) => decodeImage(path), ahead)) void image;
          return undefined;
        };
      }
      case 'scores': {
        const { n, c, d } = wanted;
        const bank = banks.get(c) ?? syntheticBank(c, d, { contentId });
        banks.set(c, bank);
        const rows = unitRows(n, d);
        return async () => {
          await scoreOn(model.lane, rows, bank, { topK: 5 });
          return undefined;
        };
      }
      default:
        throw new Error(`no ${wanted.kind} here`);
    }
  });
  await model.close();
}

main();
