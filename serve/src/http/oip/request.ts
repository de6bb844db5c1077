/** A request of the Open Inference Protocol out of its bytes: JSON, and behind it the tensors that are sent as they are. */
import { ServeError } from '../../errors';
import { parseJson } from '../asked';

/** A tensor as it came. */
export interface Tensor {
  name: string;
  datatype: string;
  shape: number[];
  /** Of a tensor in the JSON, flat or nested. */
  data?: unknown[];
  /** Of a tensor behind it. */
  bytes?: Buffer;
}

export interface WantedOutput {
  name: string;
  isBinary: boolean;
}

export interface InferenceRequest {
  id?: string | undefined;
  inputs: Tensor[];
  /** Undefined: all of them. */
  outputs?: WantedOutput[] | undefined;
  /** Of outputs that do not say it themselves. */
  isBinary: boolean;
}

/** As the schema has it. */
interface Head {
  id?: string;
  parameters?: Record<string, unknown>;
  inputs: (Omit<Tensor, 'bytes'> & { parameters?: Record<string, unknown> })[];
  outputs?: { name: string; parameters?: Record<string, unknown> }[];
}

export const invalidTensor = (what: string) => new ServeError('ERR_SERVE_TENSOR', what);

/**
 * @param headLength bytes of JSON at the start, of the header `Inference-Header-Content-Length`; all of them without
 * @param validate throws unless the JSON is as the schema has it
 * @throws ERR_SERVE_REQUEST, ERR_SERVE_TENSOR
 */
export function parseInference(
  body: Buffer,
  headLength: string | undefined,
  validate: (head: unknown) => void,
): InferenceRequest {
  const length = headLength === undefined ? body.length : Number(headLength);
  if (!Number.isInteger(length) || length < 0 || length > body.length) {
    const given = JSON.stringify(headLength?.slice(0, 40));
    throw invalidTensor(`Inference-Header-Content-Length is ${given}, and the body has ${body.length} bytes`);
  }
  const head = parseJson(body.subarray(0, length));
  validate(head);
  const { id, parameters, inputs, outputs } = head as Head;
  const isBinary = parameters?.['binary_data_output'] === true;
  return {
    id,
    isBinary,
    inputs: tensorsOf(inputs, body.subarray(length)),
    outputs: outputs?.map(({ name, parameters: own }) => ({
      name,
      isBinary: own?.['binary_data'] === undefined ? isBinary : own['binary_data'] === true,
    })),
  };
}

/** Each with its data, or its part of the bytes behind the JSON, in their order. */
function tensorsOf(inputs: Head['inputs'], behind: Buffer): Tensor[] {
  let at = 0;
  const tensors = inputs.map(({ name, datatype, shape, data, parameters }): Tensor => {
    const size = parameters?.['binary_data_size'];
    if ((size === undefined) === (data === undefined)) {
      throw invalidTensor(`input ${shown(name)} must have either data or binary_data_size`);
    }
    if (data !== undefined) return { name, datatype, shape, data };
    if (!Number.isSafeInteger(size) || (size as number) < 0 || at + (size as number) > behind.length) {
      throw invalidTensor(`input ${shown(name)}: binary_data_size reaches beyond the body`);
    }
    const from = at;
    at += size as number;
    return { name, datatype, shape, bytes: behind.subarray(from, at) };
  });
  if (at !== behind.length) throw invalidTensor(`${behind.length - at} bytes behind the JSON belong to no input`);
  return tensors;
}

/** A text of the client's in a message. */
export const shown = (text: string) => JSON.stringify(text.slice(0, 80));
