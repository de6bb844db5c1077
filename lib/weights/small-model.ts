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

/** Undefined when the package is not installed. */
export function smallModel(): SmallModel | undefined {
  let root: string;
  try {
    root = dirname(require.resolve('clipn-native-model-small/package.json'));
  } catch {
    return undefined;
  }
  const labels = readFileSync(join(root, 'photos/labels.txt'), 'utf8').split('\n').filter(Boolean);
  return { model: join(root, 'model.pt'), photos: join(root, 'photos'), labels };
}
