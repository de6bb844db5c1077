/** What snippets of programs take for granted, by name: the types that they are checked with. */
import type { writeFile } from 'node:fs/promises';
import type nodePath from 'node:path';
import type { Calibration, Detector, LabelBank, Model, NegativesInput, Region } from 'clipn-native';

export interface Given {
  model: Model;
  bank: LabelBank;
  detector: Detector;
  calibration: Calibration;
  labels: string[];
  negatives: NegativesInput;
  images: string[];
  otherImages: string[];
  buffer: Buffer;
  url: string;
  box: Region;
  camera: AsyncIterable<Buffer>;
  signal: AbortSignal;
  /** Of the package: a path of an image, or of a model. */
  path: string;
  modelPath: string;
  /** Of an evaluation: the ID folder, or scores of ID images. */
  id: string;
  ood: Record<string, string>;
  idScores: number[];
  sun: number[];
  places: number[];
  /** Node's. */
  nodePath: typeof nodePath;
  writeFile: typeof writeFile;
  module: { exports: unknown };
}

declare global {
  namespace NodeJS {
    interface Process {
      /** Electron's. */
      resourcesPath: string;
    }
  }
}
