/** Requests and answers of the Open Inference Protocol, version 2. */
import {
  BODY,
  type Code,
  FILE,
  flag,
  IMAGES,
  json,
  list,
  object,
  type Route,
  route,
  type Schema,
  text,
} from '../schema';

const tensor = (more: Record<string, Schema>, optional: string[]) =>
  object({ name: text, datatype: text, shape: list({ type: 'integer' }), ...more }, optional);
const parameters: Schema = { type: 'object' };

const inference = (of: Omit<Route, 'tag' | 'problem'>) =>
  route({ ...of, tag: 'inference', problem: 'InferenceProblem' });
const MODEL: readonly Code[] = ['ERR_SERVE_NOT_FOUND'];
const named = object({ model: text, version: text }, ['version']);

export const inferenceSchemas = {
  server: inference({
    summary: 'The server, and the extensions that it has.',
    answer: json(object({ name: text, version: text, extensions: list(text) }), 'Metadata.'),
  }),
  live: inference({
    summary: 'Whether the process answers.',
    answer: json(object({ live: flag }), 'It does.'),
  }),
  ready: inference({
    summary: 'Whether requests will be answered; not while the server ends.',
    codes: ['ERR_SERVE_DRAINING'],
    answer: json(object({ ready: flag }), 'They will.'),
  }),
  model: inference({
    summary: 'The tensors of the model.',
    codes: MODEL,
    answer: json(
      object({
        name: text,
        versions: list(text),
        platform: text,
        inputs: list(tensor({}, [])),
        outputs: list(tensor({}, [])),
      }),
      'Metadata.',
    ),
    request: { params: named },
  }),
  modelReady: inference({
    summary: 'Whether the model answers.',
    codes: [...MODEL, 'ERR_SERVE_DRAINING'],
    answer: json(object({ name: text, ready: flag }), 'It does.'),
    request: { params: named },
  }),
  infer: inference({
    summary: 'Images to verdicts, as tensors.',
    codes: [...MODEL, ...BODY, ...IMAGES, 'ERR_SERVE_TENSOR'],
    answer: {
      description: 'Tensors: as JSON, or as JSON with bytes behind it where outputs are asked for as binary data.',
      content: {
        'application/json': {
          schema: object(
            {
              model_name: text,
              model_version: text,
              id: text,
              outputs: list(tensor({ data: list({}), parameters }, ['data', 'parameters'])),
            },
            ['id'],
          ),
        },
        'application/octet-stream': { schema: FILE },
      },
    },
    request: { params: named },
  }),
};

/** Of a request to `infer`; it is checked by hand, for tensors may lie behind it. */
export const INFER_BODY = object(
  {
    id: text,
    parameters,
    inputs: list(tensor({ parameters, data: list({}) }, ['parameters', 'data']), { minItems: 1 }),
    outputs: list(object({ name: text, parameters }, ['parameters'])),
  },
  ['id', 'parameters', 'outputs'],
);
