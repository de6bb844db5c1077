/** A model repository on disk: the model's folder with its version, and beside it what a person needs to run it. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
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

/** The negatives, by whose numbers an answer names one. */
const WORDS_FILE = 'words.txt';

/** In the model's folder, until everything else is there. */
const PENDING = '.next.pt';

/** Beside the models, for whoever runs this one. */
const GUIDE = ['docker-compose.yml', 'inference-service.yaml', 'request.json', 'pixels.py', 'README.md'];

/** Triton takes any folder's name; this one also stands in addresses and in file systems of every kind. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * Writes the detector as a model of Triton's PyTorch backend below `folder`, and returns the paths written, relative to it.
 *
 * @throws ServeError ERR_SERVE_USAGE for a name or label that cannot be in it; ERR_SERVE_TRITON_EXISTS where that version
 *   is there, or the model with another configuration, or beside a new model a file of the guide's name; what
 *   `exportTorchScript` throws
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
  const file = join(model, String(version), MODEL_FILE);
  if (existsSync(file)) throw exists(`${file} is there already`);
  if (!existsSync(join(model, 'config.pbtxt'))) assertNoGuide(folder);
  await mkdir(model, { recursive: true });
  const pending = join(model, PENDING);
  try {
    const forward = await exportTorchScript(detector, pending, exporting);
    assertLines(WORDS_FILE, forward.words);
    const texts = textsOf(forward, options);
    for (const [path, text] of Object.entries(texts)) {
      if (!GUIDE.includes(path)) await assertSame(join(folder, path), text);
    }
    // The guide is the same for all versions of a model, and what lies there may be another model's by now.
    const written = Object.keys(texts).filter((path) => !GUIDE.includes(path) || !existsSync(join(folder, path)));
    for (const path of written) await writeFile(join(folder, path), texts[path]!);
    // Last: a version that is there is whole, whenever a Triton that watches the folder looks.
    await mkdir(dirname(file), { recursive: true });
    await rename(pending, file);
    return [...written, `${name}/${version}/${MODEL_FILE}`];
  } finally {
    await rm(pending, { force: true });
  }
}

/** Every file but the model, by its path below the repository. */
function textsOf(forward: TorchScriptForward, options: TritonOptions): Record<string, string> {
  const { name } = options;
  const request = exampleRequest(forward);
  return {
    [`${name}/config.pbtxt`]: tritonConfig(forward, options),
    [`${name}/${LABELS_FILE}`]: lines(forward.labels),
    ...(forward.words.length > 0 && { [`${name}/${WORDS_FILE}`]: lines(forward.words) }),
    'docker-compose.yml': composeFile(options),
    'inference-service.yaml': inferenceService(options),
    'request.json': request,
    'pixels.py': pixelsScript(forward),
    'README.md': guide(forward, options, Buffer.byteLength(request)),
  };
}

const lines = (names: readonly string[]) => names.map((each) => `${each}\n`).join('');

function assertNames(detector: Detector, name: string): void {
  if (!NAME.test(name)) {
    throw new ServeError('ERR_SERVE_USAGE', `a model's name has letters, digits, '.', '_' and '-', not '${name}'`);
  }
  assertLines(LABELS_FILE, detector.bank.labels);
}

function assertLines(file: string, names: readonly string[]): void {
  const broken = names.find((each) => /[\r\n]/.test(each));
  if (broken === undefined) return;
  throw new ServeError('ERR_SERVE_USAGE', `each name is a line of ${file}: ${JSON.stringify(broken)} has two`);
}

/** Where the model is new, what lies there is somebody else's. */
function assertNoGuide(folder: string): void {
  const other = GUIDE.map((name) => join(folder, name)).find((path) => existsSync(path));
  if (other === undefined) return;
  throw exists(`${other} is there already, and not of this model`, {
    hint: 'Give an --out of its own, whose folders can be put together afterwards, or move that file away.',
  });
}

/** All versions of a model share its configuration, its labels and its words. */
async function assertSame(path: string, text: string): Promise<void> {
  if (!existsSync(path) || (await readFile(path, 'utf8')) === text) return;
  throw exists(`${path} is of a model with other labels, words or settings`);
}

const exists = (what: string, options = {}) => new ServeError('ERR_SERVE_TRITON_EXISTS', what, options);
