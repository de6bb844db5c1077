/** Triton's configuration of one model: config.pbtxt, of what its TorchScript file takes and gives. */
import type { ForwardTensor, TorchScriptForward } from 'clipn-native';
import { EnumName, type Message, textproto } from './textproto';

export interface TritonOptions {
  /** Of the model in Triton, and of its folder. */
  name: string;
  /** Images that one run of the network takes at most. */
  maxBatch: number;
  /** How long a request waits for others to share a run with, in µs. */
  queueDelay: number;
  device: 'cpu' | 'gpu';
  /** Copies of the model that run at the same time; on GPUs so many on each. */
  instances: number;
}

export const LABELS_FILE = 'labels.txt';
export const MODEL_FILE = 'model.pt';

const TYPES: Record<ForwardTensor['dtype'], string> = {
  uint8: 'TYPE_UINT8',
  float32: 'TYPE_FP32',
  int64: 'TYPE_INT64',
};

/** Outputs with a number for each label, which Triton can give back with its name. */
const BY_LABEL: readonly string[] = ['p', 'pYes'];

/** Triton knows an output of a TorchScript tuple by the number behind two underscores. */
export function outputNames({ outputs }: TorchScriptForward): string[] {
  return outputs.map(({ name }, index) => `${name}__${index}`);
}

const typed = (name: string, { dtype, shape }: ForwardTensor): Message => ({
  name,
  data_type: new EnumName(TYPES[dtype]),
  dims: shape,
});

/** The text of config.pbtxt: every setting that matters here is in it, none is left to what Triton would guess. */
export function tritonConfig(forward: TorchScriptForward, options: TritonOptions): string {
  const { name, maxBatch, queueDelay, device, instances } = options;
  const names = outputNames(forward);
  const parameters = {
    // The optimiser compiles anew for each size of a batch, which costs more than it gains here.
    DISABLE_OPTIMIZED_EXECUTION: 'true',
    INFERENCE_MODE: 'true',
    ...(instances > 1 && { ENABLE_WEIGHT_SHARING: 'true' }),
  };
  const config: Message = {
    name,
    backend: 'pytorch',
    platform: 'pytorch_libtorch',
    default_model_filename: MODEL_FILE,
    max_batch_size: maxBatch,
    version_policy: { latest: { num_versions: 1 } },
    input: [typed(forward.input.name, forward.input)],
    output: forward.outputs.map((output, index) => ({
      ...typed(names[index]!, output),
      ...(BY_LABEL.includes(output.name) && { label_filename: LABELS_FILE }),
    })),
    dynamic_batching: { preferred_batch_size: [maxBatch], max_queue_delay_microseconds: queueDelay },
    instance_group: [{ count: instances, kind: new EnumName(device === 'gpu' ? 'KIND_GPU' : 'KIND_CPU') }],
    parameters: Object.entries(parameters).map(([key, value]) => ({ key, value: { string_value: value } })),
    model_warmup: [
      {
        name: 'one image',
        batch_size: 1,
        inputs: [
          {
            key: forward.input.name,
            value: {
              data_type: new EnumName(TYPES[forward.input.dtype]),
              dims: forward.input.shape,
              zero_data: true,
            },
          },
        ],
      },
    ],
  };
  return textproto(config);
}
