/** Verdicts to tensors: as JSON, or as bytes behind it. */
import type { CheckResult } from 'clipn-native';
import type { Decides } from '../label-sets';
import { type InferenceRequest, invalidTensor, shown, type WantedOutput } from './request';

interface Output {
  name: string;
  datatype: 'BYTES' | 'FP32';
  doc: string;
  of(answer: CheckResult, decides: Decides): string | number;
}

/** All [N]. A number that there is not, as `p_yes` of a plain CLIP, is NaN, in JSON null. */
export const OUTPUTS: readonly Output[] = [
  { name: 'verdict', datatype: 'BYTES', doc: '`in`, `out` or `review`', of: ({ verdict }) => verdict },
  { name: 'label', datatype: 'BYTES', doc: 'the nearest class', of: ({ label }) => label },
  {
    name: 'score',
    datatype: 'FP32',
    doc: 'the score that decides; higher is more of your classes',
    of: ({ scores }, { score }) => (scores as Record<string, number>)[score] ?? Number.NaN,
  },
  { name: 'p', datatype: 'FP32', doc: "the class's share among the classes", of: ({ top }) => top[0]!.p },
  { name: 'p_yes', datatype: 'FP32', doc: 'yes against no for that class', of: ({ top }) => top[0]!.pYes },
  {
    name: 'answer',
    datatype: 'BYTES',
    doc: 'all of it: a line of `check --json`',
    of: (answer) => JSON.stringify(answer),
  },
];

export interface InferenceAnswer {
  head: object;
  /** Undefined when no tensor is binary. */
  behind: Buffer | undefined;
}

/** @throws ERR_SERVE_TENSOR for an output that there is not */
export function wantedOutputs({ outputs, isBinary }: InferenceRequest): (Output & WantedOutput)[] {
  const wanted = outputs ?? OUTPUTS.map(({ name }) => ({ name, isBinary }));
  return wanted.map((each) => {
    const output = OUTPUTS.find(({ name }) => name === each.name);
    if (output !== undefined) return { ...output, ...each };
    throw invalidTensor(`there is no output ${shown(each.name)}, but ${OUTPUTS.map(({ name }) => name).join(', ')}`);
  });
}

export function inferenceAnswer(
  answers: readonly CheckResult[],
  wanted: readonly (Output & WantedOutput)[],
  decides: Decides,
  named: { model_name: string; model_version: string; id?: string | undefined },
): InferenceAnswer {
  const behind: Buffer[] = [];
  const outputs = wanted.map(({ name, datatype, isBinary, of }) => {
    const values = answers.map((answer) => of(answer, decides));
    const tensor = { name, datatype, shape: [answers.length] };
    if (!isBinary) return { ...tensor, data: values };
    const bytes = datatype === 'FP32' ? floats(values as number[]) : elements(values as string[]);
    behind.push(bytes);
    return { ...tensor, parameters: { binary_data_size: bytes.length } };
  });
  return { head: { ...named, outputs }, behind: behind.length === 0 ? undefined : Buffer.concat(behind) };
}

/** Little-endian. */
function floats(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeFloatLE(value, 4 * i);
  return bytes;
}

/** Each as four bytes of length, little-endian, and its bytes. */
function elements(values: readonly string[]): Buffer {
  return Buffer.concat(
    values.flatMap((value) => {
      const bytes = Buffer.from(value);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return [length, bytes];
    }),
  );
}
