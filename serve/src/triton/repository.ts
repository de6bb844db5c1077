/** A model repository on disk: the model's folder with its version, and beside it what a person needs to run it. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Detector, exportTorchScript, type TorchScriptForward, type TorchScriptOptions } from 'clipn-native';
import { ServeError } from '../errors';
import { LABELS_FILE, MODEL_FILE, type TritonOptions, tritonConfig } from './config';
import { composeFile, inferenceService } from './deploy';
import { guide, pixelsScript } from './guide';
import { exampleRequest } from './request';

export interface RepositoryOptions extends TritonOptions {
  /** Version folder: a number from 1 on; Triton serves the highest. */
  version: number;
}

/** Triton takes any folder's name; this one also stands in addresses and in file systems of every kind. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * Writes the detector as a model of Triton's PyTorch backend below `folder`, and returns the paths written, relative to it.
 *
 * @throws ServeError ERR_SERVE_USAGE for a name or label that cannot be in it; ERR_SERVE_TRITON_EXISTS where that version
 *   is there, or the model with another configuration; what `exportTorchScript` throws
 */
export async function writeRepository(
  detector: Detector,
  folder: string,
  options: RepositoryOptions,
  exporting: TorchScriptOptions = {},
): Promise<string[]> {
  const { name, version } = options;
  assertNames(detector, name);
  const model = join(folder, name);
  const versionFolder = join(model, String(version));
  if (existsSync(versionFolder)) throw exists(`${versionFolder} is there already`);
  await mkdir(versionFolder, { recursive: true });
  let forward: TorchScriptForward;
  try {
    forward = await exportTorchScript(detector, join(versionFolder, MODEL_FILE), exporting);
    await assertSameConfig(model, tritonConfig(forward, options), forward);
  } catch (error) {
    await rm(versionFolder, { recursive: true, force: true }); // a folder without a model would keep Triton from it
    throw error;
  }
  const request = exampleRequest(forward);
  const files: Record<string, string> = {
    [`${name}/${LABELS_FILE}`]: lines(forward.labels),
    ...(forward.words.length > 0 && { [`${name}/words.txt`]: lines(forward.words) }),
    [`${name}/config.pbtxt`]: tritonConfig(forward, options),
    'docker-compose.yml': composeFile(options),
    'inference-service.yaml': inferenceService(options),
    'request.json': request,
    'pixels.py': pixelsScript(forward),
    'README.md': guide(forward, options, Buffer.byteLength(request)),
  };
  for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text);
  return [`${name}/${version}/${MODEL_FILE}`, ...Object.keys(files)];
}

const lines = (names: readonly string[]) => names.map((each) => `${each}\n`).join('');

function assertNames(detector: Detector, name: string): void {
  if (!NAME.test(name)) {
    throw new ServeError('ERR_SERVE_USAGE', `a model's name has letters, digits, '.', '_' and '-', not '${name}'`);
  }
  const broken = detector.bank.labels.find((label) => /[\r\n]/.test(label));
  if (broken !== undefined) {
    throw new ServeError('ERR_SERVE_USAGE', `a label is a line of ${LABELS_FILE}: ${JSON.stringify(broken)} has two`);
  }
}

/** All versions of a model share its configuration and its labels. */
async function assertSameConfig(model: string, config: string, { labels }: TorchScriptForward): Promise<void> {
  for (const [file, text] of [
    ['config.pbtxt', config],
    [LABELS_FILE, lines(labels)],
  ] as const) {
    const path = join(model, file);
    if (existsSync(path) && (await readFile(path, 'utf8')) !== text) {
      throw exists(`${path} is of a model with other labels or settings`);
    }
  }
}

const exists = (what: string) => new ServeError('ERR_SERVE_TRITON_EXISTS', what);
