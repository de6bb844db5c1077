/** The package clipn-native-model-small, when it is installed: a model to try things with. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface SmallModel {
  /** Path of its model file. */
  model: string;
  /** Folder of its sample photos. */
  photos: string;
  /** Labels for them. */
  labels: string[];
}

/** The folder of the package; null when it is not installed. */
export function smallModelFolder(): string | null {
  try {
    return dirname(require.resolve('clipn-native-model-small/package.json'));
  } catch {
    return null;
  }
}

/** Undefined when the package is not installed. */
export function smallModel(): SmallModel | undefined {
  const root = smallModelFolder();
  if (root === null) return undefined;
  const labels = readFileSync(join(root, 'photos/labels.txt'), 'utf8').split('\n').filter(Boolean);
  return { model: join(root, 'model.pt'), photos: join(root, 'photos'), labels };
}
