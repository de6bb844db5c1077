/** From stored features to every score, block by block: memory does not grow with the number of images but for results. */
import { ClipnError } from '../base/errors';
import type { FeatureStore } from '../features/store';
import type { LabelBank } from '../labels/bank';
import type { NativeLane } from '../native/addon';
import { type NegativeRows, scoreOn } from '../scores/score';
import type { ScoreBlock, Scorer } from '../scores/scorers';

/** Rows scored together: 8 MB of features at D = 512. */
const BLOCK = 4096;
/** Numbers of logits held at once, when a scorer asks for them. */
const MOST_LOGITS = 1 << 24;

export interface ScorePass {
  lane: NativeLane;
  store: FeatureStore;
  bank: LabelBank;
  scale: number;
  scorers: readonly Scorer[];
  negatives: NegativeRows | undefined;
  signal?: AbortSignal | undefined;
  onBlock?: ((images: number) => void) | undefined;
}

export interface Scored {
  /** By scorer's name, one per row. */
  scores: Record<string, Float64Array>;
  /** Index of the top label of each row. */
  top: Int32Array;
}

/**
 * Scores rows of the store.
 *
 * @param nameOf what row number i is, for the message
 * @throws ERR_CLIPN_SCORES naming score and image when a score is not a finite number, ERR_CLIPN_STORE_FORMAT,
 *   ERR_CLIPN_IO, or `signal.reason`
 */
export async function scoreRows(
  rows: Int32Array,
  nameOf: (i: number) => string,
  { lane, store, bank, scale, scorers, negatives, signal, onBlock }: ScorePass,
): Promise<Scored> {
  const n = rows.length;
  const scores = Object.fromEntries(scorers.map(({ name }) => [name, new Float64Array(n)]));
  const top = new Int32Array(n);
  const logits = scorers.some(({ needs }) => needs.includes('logits'));
  const block = logits ? Math.max(1, Math.min(BLOCK, Math.floor(MOST_LOGITS / bank.labels.length))) : BLOCK;
  const space = new Float32Array(Math.min(block, n) * bank.dim);
  const patchSpace = store.identity.patches === '' ? null : new Float32Array(Math.min(block, n));
  for (let from = 0; from < n; from += block) {
    const to = Math.min(n, from + block);
    const features = space.subarray(0, (to - from) * bank.dim);
    const patchMcm = patchSpace?.subarray(0, to - from) ?? null;
    await store.read(rows.subarray(from, to), features, patchMcm);
    const options = { topK: 1, scale, negatives, signal, logits };
    const { logitsYes, logitsNo, ...core } = await scoreOn(lane, features, bank, options);
    const input: ScoreBlock = {
      n: to - from,
      scale,
      bank,
      features,
      core,
      logits: logitsYes === undefined ? null : { yes: logitsYes, no: bank.no && logitsNo! },
      patchMcm,
    };
    for (const scorer of scorers) scores[scorer.name]!.set(checked(scorer, input, from, nameOf), from);
    top.set(core.topIndex, from);
    onBlock?.(to - from);
  }
  return { scores, top };
}

function checked(scorer: Scorer, block: ScoreBlock, from: number, nameOf: (i: number) => string): ArrayLike<number> {
  const values = scorer.read(block);
  const refuse = (what: string, details: object) =>
    new ClipnError('ERR_CLIPN_SCORES', `score ${scorer.name} ${what}`, { details: { score: scorer.name, ...details } });
  if (values.length !== block.n) throw refuse(`gives ${values.length} numbers for ${block.n} images`, {});
  for (let i = 0; i < block.n; i++) {
    if (!Number.isFinite(values[i]))
      throw refuse(`is ${values[i]} for ${nameOf(from + i)}`, { image: nameOf(from + i) });
  }
  return values;
}
