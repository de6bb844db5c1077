/**
 * labels/: Class names to rows: the label bank, its file, its cache, lists of names.
 *
 * What the towers say of each class, as plain data.
 */
import { ClipnError } from '../base/errors';
import { jsonHash } from '../base/json-hash';

/** What the towers say of each class: unit rows, the fp32 side of every logit (spec 2.1). Plain data, frozen. */
export interface LabelBank {
  /** [C] names as given; row i of `yes` and `no` belongs to name i. */
  readonly labels: readonly string[];
  /** D, the width of the embedding. */
  readonly dim: number;
  /** [C, D], unit rows. */
  readonly yes: Float32Array;
  /** [C, D], unit rows; null for a plain CLIP, which has no "no" tower. */
  readonly no: Float32Array | null;
  /**
   * What each name was put into: the name of the set, the SHA-256 of its lines joined by LF, their number, and the
   * lines.
   */
  readonly templates: {
    readonly name: string;
    readonly sha256: string;
    readonly count: number;
    readonly lines: readonly string[];
  };
  /** The model that made the rows: they fit no other. Labels are encoded in fp32, so that one bank serves every precision. */
  readonly model: { readonly contentId: string };
  /** Indices of names that did not fit the context with every template and were cut. */
  readonly truncated: readonly number[];
  /** What a user should know of this bank, in sentences. */
  readonly warnings: readonly string[];
}

function describeWarnings(labels: readonly string[], truncated: readonly number[]): string[] {
  const warnings: string[] = [];
  if (labels.length === 1) {
    warnings.push('with 1 label the softmax scores (msp, mcm) are constant: use ctw, gap, maxLogit or energy');
  }
  const seen = new Set<string>();
  const repeated = new Set<string>();
  for (const label of labels) (seen.has(label) ? repeated : seen).add(label);
  for (const label of repeated) {
    warnings.push(
      `label ${JSON.stringify(label)} is given more than once: its copies share the probability between them`,
    );
  }
  for (const index of truncated) {
    warnings.push(`label ${JSON.stringify(labels[index])} is longer than the model's context: it was cut`);
  }
  return warnings;
}

/** Adds the warnings that follow from the data, then any `extra`, and freezes the whole. */
export function freezeBank(bank: Omit<LabelBank, 'warnings'>, extra: readonly string[] = []): LabelBank {
  return Object.freeze({
    ...bank,
    labels: Object.freeze([...bank.labels]),
    templates: Object.freeze({ ...bank.templates, lines: Object.freeze([...bank.templates.lines]) }),
    model: Object.freeze({ ...bank.model }),
    truncated: Object.freeze([...bank.truncated]),
    warnings: Object.freeze([...describeWarnings(bank.labels, bank.truncated), ...extra]),
  });
}

/** What reports and calibrations know a list of labels by: SHA-256 of its JSON, the order included. */
export function labelsHash(labels: readonly string[]): string {
  return jsonHash(labels);
}

/** @throws ClipnError ERR_CLIPN_BANK_MISMATCH, saying what differs, when the bank was made by another model. */
export function assertBankFits(
  bank: LabelBank,
  model: { readonly contentId: string; readonly dim: number; readonly hasNo?: boolean },
): void {
  const bankHasNo = bank.no !== null;
  const pairs = [
    ['contentId (the model)', bank.model.contentId, model.contentId],
    ['dim (the width of the embedding)', bank.dim, model.dim],
    ['has a "no" side', bankHasNo, model.hasNo ?? bankHasNo],
  ] as const;
  const different = pairs.filter(([, ofBank, ofModel]) => ofBank !== ofModel);
  if (different.length === 0) return;
  const list = different.map(([what, ofBank, ofModel]) => `${what}: bank ${ofBank}, model ${ofModel}`).join('; ');
  throw new ClipnError('ERR_CLIPN_BANK_MISMATCH', `the label bank was made by another model; ${list}`, {
    details: Object.fromEntries(different.map(([what, ofBank, ofModel]) => [what, { bank: ofBank, model: ofModel }])),
  });
}

/** The bank of the rows at `indices`, in that order. */
export function selectRows(bank: LabelBank, indices: readonly number[]): LabelBank {
  const rowsOf = (matrix: Float32Array): Float32Array => {
    const out = new Float32Array(indices.length * bank.dim);
    indices.forEach((from, to) => {
      out.set(matrix.subarray(from * bank.dim, (from + 1) * bank.dim), to * bank.dim);
    });
    return out;
  };
  const cut = new Set(bank.truncated);
  return freezeBank({
    ...bank,
    labels: indices.map((from) => bank.labels[from]!),
    yes: rowsOf(bank.yes),
    no: bank.no && rowsOf(bank.no),
    truncated: indices.flatMap((from, to) => (cut.has(from) ? [to] : [])),
  });
}

/** One row for each of these names, all of which the bank has. */
export function rowsOf(bank: LabelBank, labels: readonly string[]): LabelBank {
  const rowOf = new Map(bank.labels.map((label, row) => [label, row]));
  return selectRows(
    bank,
    labels.map((label) => rowOf.get(label)!),
  );
}

/** The rows of `first`, then those of `second`; both made by one model with one template set. */
export function joinBanks(first: LabelBank, second: LabelBank): LabelBank {
  const join = (a: Float32Array, b: Float32Array): Float32Array => {
    const out = new Float32Array(a.length + b.length);
    out.set(a);
    out.set(b, a.length);
    return out;
  };
  return freezeBank({
    ...first,
    labels: [...first.labels, ...second.labels],
    yes: join(first.yes, second.yes),
    no: first.no && second.no && join(first.no, second.no),
    truncated: [...first.truncated, ...second.truncated.map((index) => index + first.labels.length)],
  });
}
