/** Negative words chosen with photos of the labels, by InterNeg's static rule. docs/scores.md */
import { assertArguments, assertOptionNames, type OptionNames, optionsNamed } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { firstFew } from '../base/wording';
import { assertDecoding, type DecodeOptions } from '../images/decode';
import { readWordNet } from '../labels/wordnet';
import { INTER_NEG } from '../scores/mine-negatives';
import { labelSetHash, type MinedNegatives } from '../scores/mined-negatives';
import { loadTemplates } from '../text/templates';
import { MINED_TEMPLATES, type NegativesOptions, wordsFarFromImages } from './choose-words';
import type { Model } from './model';
import { ENCODE_OPTIONS, type EncodeOptions } from './options';
import { photoHash } from './photo-hashes';

/** Options of `mineNegatives`. */
export interface MineNegativesOptions extends NegativesOptions, DecodeOptions {
  /** Label → paths of photos of it, some ten or more. None of them may calibrate later. */
  photos: Readonly<Record<string, readonly string[]>>;
  /** Words to choose from: 'wordnet' (default), or a list. */
  words?: 'wordnet' | readonly string[] | undefined;
}

const MINE_OPTIONS: OptionNames<MineNegativesOptions> = {
  ...ENCODE_OPTIONS,
  photos: true,
  words: true,
  cache: true,
  onProgress: true,
};

/**
 * Keeps the words that the photos of every label are further from than from their own label, in the order of how much
 * further, at most 2,000. They are for this model and these labels: `negatives` of a detector, `calibrate` and `evaluate`
 * takes them, or the file that `saveNegatives` makes of them.
 *
 * @throws ERR_CLIPN_LABELS (no label, one without photos, no word left), ERR_CLIPN_WORDNET, what encoding of photos and
 *   words throws, or `signal.reason`
 */
export async function mineNegatives(model: Model, given: MineNegativesOptions): Promise<MinedNegatives> {
  assertArguments({ model: ['model', model], options: ['record', given] });
  const { photos, words = 'wordnet', ...options } = given;
  assertArguments({ photos: ['record', photos], options: ['options', options] });
  assertOptionNames('mineNegatives', given, MINE_OPTIONS);
  if (words !== 'wordnet') assertArguments({ words: ['list', words] });
  const encoding = optionsNamed<EncodeOptions>(ENCODE_OPTIONS, options);
  assertDecoding(encoding);
  const labels = Object.keys(photos);
  for (const label of labels) assertArguments({ [`photos of ${label}`]: ['list', photos[label]] });
  if (words.length === 0)
    throw new ClipnError('ERR_CLIPN_LABELS', 'the list of words is empty', { hint: 'Leave it out for WordNet.' });
  const encoder = model.wordEncoder();
  if (labels.length === 0) throw new ClipnError('ERR_CLIPN_LABELS', 'there are no labels with photos');
  const lacking = labels.filter((label) => photos[label]!.length === 0);
  if (lacking.length > 0) throw new ClipnError('ERR_CLIPN_LABELS', `labels without a photo: ${firstFew(lacking)}`);
  const list = words === 'wordnet' ? await wordNet() : [...new Set(words)];
  const dim = model.info.embedDim;
  const hashes: string[] = [];
  const means = new Float32Array(labels.length * dim);
  for (const [c, label] of labels.entries()) {
    for (const path of photos[label]!) hashes.push(await photoHash(path));
    means.set(unitMean(await model.encodeImages(photos[label]!, encoding), dim), c * dim);
  }
  const chosen = await wordsFarFromImages(encoder, labels, means, list, options);
  if (chosen.length === 0) {
    throw new ClipnError('ERR_CLIPN_LABELS', 'every word is as near to the photos of some label as that label', {
      hint: 'Look whether the photos show what their labels say, or whether one label fits everything.',
    });
  }
  const { templates } = await loadTemplates(MINED_TEMPLATES);
  return {
    formatVersion: 1,
    words: [...chosen],
    groups: INTER_NEG.groups,
    template: templates[0]!,
    minedFor: { contentId: model.info.contentId, labels: labelSetHash(labels) },
    photos: [...new Set(hashes)],
    created: new Date().toISOString(),
  };
}

async function wordNet(): Promise<string[]> {
  const { nouns, adjectives } = await readWordNet();
  return [...nouns, ...adjectives];
}

/** The mean of unit rows [n, D], made unit again. */
function unitMean(rows: Float32Array, dim: number): Float32Array {
  const sum = new Float64Array(dim);
  for (let i = 0; i < rows.length; i++) sum[i % dim]! += rows[i]!;
  const norm = Math.hypot(...sum);
  return Float32Array.from(sum, (value) => value / norm);
}
