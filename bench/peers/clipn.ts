/** clipn-native itself, through its API: what the others are compared with. */
import { join } from 'node:path';
import { describeCore, type LabelBank, loadModel } from '../../lib';
import { scoreOn } from '../../lib/scores';
import { syntheticBank, unitRows } from '../../lib/synthetic';
import { preparedPixels, SIDE } from './pixels';
import { type Call, type Case, cycled, notHere, serve, workerArgs } from './serve';

async function main(): Promise<void> {
  const { files, precision, threads, photos } = workerArgs();
  if (precision !== 'fp32' && precision !== 'bf16') throw new Error(`precision ${precision}`);
  const core = await describeCore();
  if (precision === 'bf16' && !core.cpuBf16) notHere('this CPU does not multiply bf16');
  const start = performance.now();
  const model = await loadModel(join(files, 'vit-b16.pt'), { precision, threads });
  const loadMs = performance.now() - start;
  const { contentId } = model.info;
  const banks = new Map<number, LabelBank>();

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
      case 'files': {
        const bank = syntheticBank(1000, model.info.embedDim, { contentId, precision });
        const detector = await model.createDetector(bank);
        const paths = cycled(photos, wanted.count);
        return async () => {
          for (const result of await detector.check(paths)) if ('error' in result) throw result.error;
          return undefined;
        };
      }
      case 'scores': {
        const { n, c, d } = wanted;
        const bank = banks.get(c) ?? syntheticBank(c, d, { contentId, precision });
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
