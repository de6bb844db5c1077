/** Lists of labels and their detectors: the server's own, and the last few that clients gave. */
import { createHash } from 'node:crypto';
import {
  type Detector,
  type DetectorOptions,
  type LabelBank,
  type Model,
  type NegativeBank,
  type NegativesInput,
  removeLabels,
} from 'clipn-native';
import { ServeError } from '../errors';
import { LIVE, TOP } from './options';

/** What decides: a score, and the threshold it is held against; null where a rule without one decides. */
export interface Decides {
  rule: 'atd' | 'nearest' | 'threshold' | 'calibrated';
  score: string;
  threshold: number | null;
  /** Below this it is out; between the two a person should look. */
  outBelow: number | null;
}

type Options = Omit<DetectorOptions, 'topK' | 'negatives'> & { negatives?: NegativesInput | undefined };

export class LabelSet {
  readonly id: string;
  readonly #detectors = new Map<number, Promise<Detector>>();
  /** The rows of the negatives, once a second detector needs them. */
  #negatives: Promise<NegativeBank> | undefined;

  constructor(
    readonly model: Model,
    readonly bank: LabelBank,
    readonly options: Options,
    readonly detector: Detector,
  ) {
    this.id = idOf(bank.labels);
    this.#detectors.set(this.#top(TOP.default), Promise.resolve(detector));
  }

  /** A detector that tells the first `top` labels: its bank, and so nearly all of it, is shared. */
  detectorFor(top: number): Promise<Detector> {
    const topK = this.#top(top);
    let made = this.#detectors.get(topK);
    if (made === undefined) {
      made = this.#make(topK);
      this.#detectors.set(topK, made);
      made.catch(() => this.#detectors.delete(topK));
    }
    return made;
  }

  async #make(topK: number): Promise<Detector> {
    const { negatives, ...options } = this.options;
    if (negatives === undefined) return await this.model.createDetector(this.bank, { ...options, topK });
    if (this.#negatives === undefined) {
      this.#negatives = this.model.createNegatives(this.bank, negatives);
      this.#negatives.catch(() => {
        this.#negatives = undefined;
      });
    }
    return await this.model.createDetector(this.bank, { ...options, topK, negatives: await this.#negatives });
  }

  #top(top: number): number {
    return Math.min(top, this.bank.labels.length);
  }

  get decides(): Decides {
    const { calibration, threshold, negatives } = this.options;
    if (calibration) {
      const { score, in: reached, out } = calibration;
      return { rule: 'calibrated', score, threshold: reached, outBelow: out === reached ? null : out };
    }
    const plain = this.bank.no === null && negatives !== undefined;
    const score = plain ? 'negLabel' : 'atd';
    if (threshold !== undefined) return { rule: 'threshold', score, threshold, outBelow: null };
    return { rule: plain ? 'nearest' : 'atd', score, threshold: null, outBelow: null };
  }
}

/** The same for the same names in another order. */
const idOf = (labels: readonly string[]) =>
  createHash('sha256').update(JSON.stringify(labels.toSorted())).digest('hex').slice(0, 16);

export class LabelSets {
  /** Of clients, the one used last at the end. */
  readonly #others = new Map<string, LabelSet>();
  #making: Promise<unknown> = Promise.resolve();

  constructor(
    readonly own: LabelSet,
    /** Why clients can give none of their own; undefined when they can. */
    readonly closed: string | undefined,
  ) {}

  /** @throws ERR_SERVE_LABELS_UNKNOWN */
  find(id: string | undefined): LabelSet {
    if (id === undefined || id === this.own.id) return this.own;
    const set = this.#others.get(id);
    if (set === undefined)
      throw new ServeError('ERR_SERVE_LABELS_UNKNOWN', 'the server has no list of labels of this id');
    this.#others.delete(id);
    this.#others.set(id, set);
    return set;
  }

  /** The set of these labels; encodes what no set has yet, one list at a time. @throws ERR_CLIPN_LABELS, `signal.reason` */
  async make(names: readonly string[], signal: AbortSignal): Promise<LabelSet> {
    if (this.closed !== undefined) throw new ServeError('ERR_SERVE_LABELS_OFF', this.closed);
    const labels = [...new Set(names.map((name) => name.trim()))];
    const before = this.#making;
    const made = (async () => {
      await before.catch(() => {});
      signal.throwIfAborted();
      return await this.#make(labels, signal);
    })();
    this.#making = made.catch(() => {});
    return await made;
  }

  async #make(labels: readonly string[], signal: AbortSignal): Promise<LabelSet> {
    const known = [this.own, ...this.#others.values()].find((set) => set.id === idOf(labels));
    if (known !== undefined) return this.find(known.id);
    const { model, options } = this.own;
    // A calibration holds for the labels that it was fitted for.
    const { calibration: _, ...others } = options;
    const bank = await this.#encode(labels, signal);
    const topK = Math.min(TOP.default, bank.labels.length);
    const set = new LabelSet(model, bank, others, await model.createDetector(bank, { ...others, topK }));
    this.#others.set(set.id, set);
    if (this.#others.size > LIVE.lists) this.#others.delete(this.#others.keys().next().value!);
    return set;
  }

  /** Starting from the bank that has most of them, so that one more name costs one name. Nothing is kept on the disk. */
  async #encode(labels: readonly string[], signal: AbortSignal): Promise<LabelBank> {
    const wanted = new Set(labels);
    const shared = (set: LabelSet) => set.bank.labels.filter((label) => wanted.has(label)).length;
    const nearest = [this.own, ...this.#others.values()].reduce((best, set) =>
      shared(set) > shared(best) ? set : best,
    );
    const { model } = this.own;
    const distinct = new Set(nearest.bank.labels).size === nearest.bank.labels.length;
    if (shared(nearest) === 0 || !distinct) return await model.createLabelBank(labels, { cache: false, signal });
    const gone = nearest.bank.labels.filter((label) => !wanted.has(label));
    const kept = gone.length === 0 ? nearest.bank : removeLabels(nearest.bank, gone);
    const fresh = labels.filter((label) => !kept.labels.includes(label));
    return fresh.length === 0 ? kept : await model.addLabels(kept, fresh, { signal });
  }
}
