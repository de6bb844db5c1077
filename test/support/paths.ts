/** Where the repository keeps what tests read, wherever a test itself lies. */
import path from 'node:path';

export const repository = path.join(__dirname, '../..');
export const clipTokenizer = path.join(repository, 'lib/data/clip-tokenizer.json');
export const photos = path.join(repository, 'models/small/photos');

/** A file of numbers that other programs computed. */
export const goldenFile = (name: string): string => path.join(repository, 'test/golden', name);
