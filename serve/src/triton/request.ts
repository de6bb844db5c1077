/** An example request: the JSON in front of the pixels, as Triton's binary form of KServe's protocol v2 has it. */
import type { TorchScriptForward } from 'clipn-native';
import { outputNames } from './config';

const BYTES = { uint8: 1, float32: 4, int64: 8 } as const;
const DATATYPES = { uint8: 'UINT8', float32: 'FP32', int64: 'INT64' } as const;

/** Labels that the example asks for. */
const TOP = 3;

/** One image; asks for its nearest labels by name, and for the numbers that the paper's rules need. */
export function exampleRequest(forward: TorchScriptForward): string {
  const { name, dtype, shape } = forward.input;
  const names = outputNames(forward);
  const wanted = forward.outputs.flatMap((output, index) => {
    if (output.name === 'p') return [{ name: names[index], parameters: { classification: TOP } }];
    return ['ctw', 'atd', 'logPOut', 'logQMax', 'mcm', 'negLabel'].includes(output.name)
      ? [{ name: names[index] }]
      : [];
  });
  const input = {
    name,
    datatype: DATATYPES[dtype],
    shape: [1, ...shape],
    parameters: { binary_data_size: BYTES[dtype] * shape.reduce((count, size) => count * size, 1) },
  };
  return JSON.stringify({ inputs: [input], outputs: wanted });
}
