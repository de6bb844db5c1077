/** Networks that people take for a CLIP of this kind, told by their keys, and why they are none. */
import { ClipnError } from '../base/errors';

interface Family {
  name: string;
  /** Of one of its keys. */
  mark: RegExp;
  why: string;
}

/** The first that matches: what is more telling stands before. */
const FAMILIES: readonly Family[] = [
  { name: 'a SigLIP', mark: /^logit_bias$/, why: 'its image tower pools by attention and its tokenizer is another' },
  { name: 'a MobileCLIP', mark: /^image_encoder\.model\.patch_emb/, why: 'its image tower is a convolutional hybrid' },
  {
    name: 'a CLIP with a timm image tower (EVA, ConvNeXt, SigLIP …)',
    mark: /^visual\.trunk\./,
    why: 'its image tower is another network',
  },
  { name: 'a CLIP ResNet', mark: /^visual\.(layer1\.|attnpool\.k_proj\.)/, why: 'its image tower is no transformer' },
  { name: 'an EVA-CLIP', mark: /^visual\.blocks\.\d+\.attn\./, why: 'its image tower has other blocks' },
  { name: 'a CoCa', mark: /^text_decoder\./, why: 'its towers pool by attention' },
  { name: 'a CLIP with a text tower of its own', mark: /^text\./, why: 'its text tower is another network' },
  { name: 'an image tower of timm alone', mark: /^blocks\.\d+\.attn\.qkv\./, why: 'there is no text tower with it' },
];

/** @throws ERR_CLIPN_CHECKPOINT_KEYS when the keys are those of a family that is known and not supported */
export function refuseOtherFamilies(keys: Iterable<string>): void {
  const all = [...keys];
  const family = FAMILIES.find(({ mark }) => all.some((key) => mark.test(key)));
  if (family === undefined) return;
  const key = all.find((each) => family.mark.test(each))!;
  throw new ClipnError('ERR_CLIPN_CHECKPOINT_KEYS', `these are the weights of ${family.name} (${key}): ${family.why}`, {
    hint: 'Use a CLIP whose two towers are plain transformers: OpenAI, LAION-2B, DataComp, MetaCLIP, DFN …',
    details: { family: family.name },
  });
}
