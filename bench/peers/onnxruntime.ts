/** onnxruntime-node on the same weights: fp32, or its dynamic int8. Files go through sharp's resize. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { normalise, preparedPixels, readBatch, SIDE } from './pixels';
import { type Call, type Case, cycled, notHere, optionalPeer, serve, workerArgs } from './serve';

interface Tensor {
  data: Float32Array;
}
interface Ort {
  InferenceSession: {
    create(
      path: string,
      options: object,
    ): Promise<{ run(feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> }>;
  };
  Tensor: new (type: 'float32', data: Float32Array, dims: number[]) => Tensor;
  env: { versions: { common: string; node?: string } };
}

const BATCH = 8;

async function main(): Promise<void> {
  const { files, precision, threads, photos } = workerArgs();
  const ort = optionalPeer<Ort>('onnxruntime-node');
  const path = join(files, 'clip', 'onnx', precision === 'int8' ? 'vision_model_quantized.onnx' : 'vision_model.onnx');
  if (!existsSync(path)) notHere('no ONNX file: it is written by Python with onnx');
  const start = performance.now();
  const session = await ort.InferenceSession.create(path, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  });
  const loadMs = performance.now() - start;
  const embed = async (input: Float32Array) => {
    const pixel_values = new ort.Tensor('float32', input, [input.length / (3 * SIDE * SIDE), 3, SIDE, SIDE]);
    return (await session.run({ pixel_values }))['image_embeds']!.data;
  };

  const versions = { 'onnxruntime-node': ort.env.versions.node ?? ort.env.versions.common };
  await serve({ versions, loadMs }, async (wanted: Case): Promise<Call> => {
    if (wanted.kind === 'tower') {
      const input = normalise(preparedPixels(files, wanted.batch));
      return () => embed(input);
    }
    if (wanted.kind === 'files') {
      const paths = cycled(photos, wanted.count);
      return async () => {
        for (let i = 0; i < paths.length; i += BATCH) await embed(await readBatch(paths.slice(i, i + BATCH)));
        return undefined;
      };
    }
    throw new Error(`no ${wanted.kind} here`);
  });
}

main();
