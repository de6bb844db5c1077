/** Flags of several verbs. Tables alone, so that they load where nothing else does. */
import type { Flag } from './command';

export const MODEL_FLAGS: Record<string, Flag> = {
  model: { value: 'M', doc: 'model file, or name of a fetched one; the package clipn-native-model-small when absent' },
  device: { value: 'D', choices: ['auto', 'cpu', 'cuda'], doc: 'where to compute, default auto' },
  precision: {
    value: 'P',
    choices: ['fp32', 'bf16', 'fp16', 'int8', 'guarded', 'auto'],
    doc: 'arithmetic, default fp32',
  },
  'trusted-sha256': { value: 'HEX', doc: 'refuse the model file unless this is its SHA-256' },
  libtorch: { value: 'DIR', doc: 'folder of libtorch; found by itself when absent' },
};

export const LABEL_FLAGS: Record<string, Flag> = {
  labels: { value: 'A,B,C', doc: 'class names, comma-separated' },
  'labels-file': { value: 'F', doc: 'class names: one a line, or a JSON array' },
  templates: { value: 'S', doc: "prompt templates: clipn, openai, plain, nice or a file; the model's own when absent" },
};

export const BANK_FLAG: Record<string, Flag> = {
  bank: { value: 'F', doc: 'label bank made by `labels`, instead of class names' },
};

export const NEGATIVES_FLAG: Record<string, Flag> = {
  negatives: {
    value: 'W',
    doc: 'words that are none of the classes: wordnet, or a file (one a line, JSON, or of `negatives`)',
  },
};

/** What verbs take that hold images against labels and words: those of `comparedFrom`. */
export const COMPARED_FLAGS: Record<string, Flag> = { ...MODEL_FLAGS, ...LABEL_FLAGS, ...BANK_FLAG, ...NEGATIVES_FLAG };
