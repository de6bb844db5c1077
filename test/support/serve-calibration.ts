/** A calibration of the small model and its labels, made of parts of its sample photos. */
import path from 'node:path';
import type * as Library from '../../lib';
import { builtLibrary } from './built';
import { photos } from './paths';
import { LABELS, SMALL } from './serve-process';

/** Writes it to `file`, fitted on `images` parts of photos that lie close together. */
export async function writeCalibration(file: string, images = 40): Promise<Library.FittedCalibration> {
  const { loadModel, calibrate, saveCalibration } = require(builtLibrary()) as typeof Library;
  await using model = await loadModel(SMALL);
  const bank = await model.createLabelBank(LABELS);
  const parts = Array.from({ length: images }, (_, i) => ({
    image: path.join(photos, 'boats.jpg'),
    region: { x: i % 8, y: Math.floor(i / 8), width: 500, height: 400 },
  }));
  const { calibration } = await calibrate(model, bank, parts);
  await saveCalibration(calibration, file);
  return calibration;
}
