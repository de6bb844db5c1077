/** transformers.js on the same ONNX file: its own image processor, then onnxruntime-node. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { normalise, preparedPixels, SIDE } from './pixels';
import { type Call, type Case, cycled, notHere, optionalPeer, serve, workerArgs } from './serve';

interface Tensor {
  data: Float32Array;
}
type Model = (inputs: Record<string, Tensor>) => Promise<Record<string, Tensor>>;
interface Transformers {
  env: { localModelPath: string; allowRemoteModels: boolean; version: string };
  AutoProcessor: { from_pretrained(name: string): Promise<(images: object[]) => Promise<Record<string, Tensor>>> };
  CLIPVisionModelWithProjection: { from_pretrained(name: string, options: object): Promise<Model> };
  RawImage: { read(path: string): Promise<object> };
  Tensor: new (type: 'float32', data: Float32Array, dims: number[]) => Tensor;
}

const BATCH = 8;

async function main(): Promise<void> {
  const { files, precision, threads, photos } = workerArgs();
  const hf = optionalPeer<Transformers>('@huggingface/transformers');
  if (!existsSync(join(files, 'clip', 'onnx'))) notHere('no ONNX file: it is written by Python with onnx');
  hf.env.localModelPath = files;
  hf.env.allowRemoteModels = false;
  const start = performance.now();
  const processor = await hf.AutoProcessor.from_pretrained('clip');
  const model = await hf.CLIPVisionModelWithProjection.from_pretrained('clip', {
    dtype: precision === 'int8' ? 'q8' : 'fp32',
    session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 },
  });
  const loadMs = performance.now() - start;

  await serve(
    { versions: { '@huggingface/transformers': hf.env.version }, loadMs },
    async (wanted: Case): Promise<Call> => {
      if (wanted.kind === 'tower') {
        const input = normalise(preparedPixels(files, wanted.batch));
        const pixel_values = new hf.Tensor('float32', input, [wanted.batch, 3, SIDE, SIDE]);
        return async () => (await model({ pixel_values }))['image_embeds']!.data;
      }
      if (wanted.kind === 'files') {
        const paths = cycled(photos, wanted.count);
        return async () => {
          for (let i = 0; i < paths.length; i += BATCH) {
            const images = await Promise.all(paths.slice(i, i + BATCH).map((path) => hf.RawImage.read(path)));
            await model(await processor(images));
          }
          return undefined;
        };
      }
      throw new Error(`no ${wanted.kind} here`);
    },
  );
}

main();
