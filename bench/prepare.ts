/** What the benchmarks read, made once in build/bench/: the seeded ViT-B/16 as a model file, its pixels, the peers' files. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { exportModel, loadModel } from '../lib';
import { decodeImage } from '../lib/images/decode';
import { findImages } from '../lib/images/find';
import { smallModel } from '../lib/weights/small-model';
import { cachedCheckpoint } from '../test/support/checkpoint-writer';

const ROOT = path.join(__dirname, '..');
export const BENCH_FILES = path.join(ROOT, 'build', 'bench');
/** Of `cameraPhotos`. */
export const CAMERA = { width: 1024, height: 768 } as const;
export const PHOTOS = path.join(ROOT, 'models', 'small', 'photos');

export function isOlder(file: string, than: readonly string[]): boolean {
  return !existsSync(file) || than.some((each) => statSync(each).mtimeMs > statSync(file).mtimeMs);
}

/** Paths of the checkpoint and of the model file; written anew when the core that exports changed. */
export async function vitB16(): Promise<{ checkpoint: string; model: string }> {
  const checkpoint = await cachedCheckpoint('ViT-B-16');
  return { checkpoint, model: await exported(checkpoint, 'vit-b16.pt', true) };
}

/** The same network with both text towers. */
export async function vitB16WithText(): Promise<{ checkpoint: string; model: string }> {
  const checkpoint = await cachedCheckpoint('ViT-B-16', { optimizer: true });
  return { checkpoint, model: await exported(checkpoint, 'vit-b16-text.pt', false) };
}

const TEXT = { type: 'string' } as const;

/** Flags of benchmarks on photos: FOLDER… --labels-file F [--model M | --vit] [--templates S]. */
export const PHOTO_FLAGS = { model: TEXT, vit: { type: 'boolean' }, 'labels-file': TEXT, templates: TEXT } as const;

/** The model and the file of labels that those flags name; the small model by default. @throws what is missing */
export async function photoInputs(
  flags: { model?: string; vit?: boolean; 'labels-file'?: string },
  folders: readonly string[],
): Promise<{ model: string; labelsFile: string }> {
  const model = flags.vit ? (await vitB16WithText()).model : (flags.model ?? smallModel()?.model);
  const labelsFile = flags['labels-file'];
  if (model === undefined || folders.length === 0 || labelsFile === undefined) {
    throw new Error('usage: npm run bench -- NAME FOLDER… --labels-file F [--model M | --vit] [--templates S]');
  }
  return { model, labelsFile };
}

/** The model file of a checkpoint, written again after either changed: the checkpoint or the core. */
async function exported(checkpoint: string, name: string, imageOnly: boolean): Promise<string> {
  mkdirSync(BENCH_FILES, { recursive: true });
  const model = path.join(BENCH_FILES, name);
  const release = path.join(ROOT, 'build', 'Release');
  const cores = existsSync(release) ? readdirSync(release).filter((name) => name.startsWith('libclipn_core')) : [];
  if (isOlder(model, [checkpoint, ...cores.map((name) => path.join(release, name))])) {
    await exportModel(checkpoint, model, { imageOnly });
  }
  return model;
}

/** The sample photos as a camera would have made them: JPEGs of 1024 × 768, quality 90, 4:2:0. */
export async function cameraPhotos(): Promise<Buffer[]> {
  const files = await findImages([PHOTOS]);
  return await Promise.all(
    files.map((file) =>
      sharp(file).resize(CAMERA.width, CAMERA.height, { fit: 'cover' }).jpeg({ quality: 90 }).toBuffer(),
    ),
  );
}

/** The sample photos as the tower sees them, uint8 [n, 224, 224, 3]. */
export async function writePixels(model: string): Promise<string> {
  const file = path.join(BENCH_FILES, 'pixels.u8');
  const loaded = await loadModel(model, { device: 'cpu' });
  try {
    const images = await Promise.all((await findImages([PHOTOS])).map((photo) => decodeImage(photo)));
    writeFileSync(file, (await loaded.encodePixels(images, true, undefined)).pixels!);
  } finally {
    await loaded.close();
  }
  return file;
}

/** A Python with PyTorch: a named or active one, or one that the README's commands made. */
export function findPython(modules: string): string | null {
  const inEnvironment = (folder: string | undefined) => folder && path.join(folder, 'bin/python');
  const own = ['bench-venv', 'reference-venv'].map((name) => inEnvironment(path.join(ROOT, 'build', name)));
  const candidates = [process.env['CLIPN_PYTHON'], inEnvironment(process.env['VIRTUAL_ENV']), ...own, 'python3'];
  const works = (python: string) => spawnSync(python, ['-c', `import ${modules}`]).status === 0;
  return candidates.find((python): python is string => !!python && works(python)) ?? null;
}

/** The ONNX files and the float64 reference, when Python has what they need. */
export function writeOnnx(checkpoint: string, pixels: string): void {
  const out = path.join(BENCH_FILES, 'clip');
  const scripts = ['export_onnx.py', 'vit.py'].map((name) => path.join(__dirname, 'peers', name));
  if (!isOlder(path.join(out, 'reference.f32'), [checkpoint, ...scripts])) return;
  const python = findPython('numpy, onnx, onnxruntime, onnxscript, torch');
  if (python === null) {
    console.error('No Python with torch, onnx, onnxruntime and onnxscript: no ONNX file, no float64 reference.');
    return;
  }
  console.error('writing the ONNX files …');
  const { status, stderr } = spawnSync(python, [scripts[0]!, checkpoint, pixels, out], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`export_onnx.py ended with ${status}:\n${stderr}`);
}
