/**
 * Damage to files, drawn from a seed: bytes as a disk or a network changes them, lengths as an attacker would, JSON and
 * text as an editor leaves them. Checksums are put right again by the targets, so that damage reaches what lies behind.
 *
 * Our own: fast-check draws values, but knows no files to start from; jazzer.js would be guided by coverage, but its makers
 * have stopped before, it brings a native addon of its own, and takes no mutator that puts checksums right.
 */
import { uniformSource } from '../../lib/base/random';

/** Draws of one execution. */
export class Draw {
  readonly #uniform: () => number;

  constructor(seed: number) {
    this.#uniform = uniformSource(seed);
  }

  /** A whole number from 0, below `count`. */
  below(count: number): number {
    return Math.floor(this.#uniform() * count);
  }
  any<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  /** True once in `count` times. */
  rarely(count: number): boolean {
    return this.below(count) === 0;
  }
  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.below(256)));
  }
  /** 1 mostly, 2 half as often, and so on. */
  few(): number {
    let count = 1;
    while (count < 16 && this.rarely(2)) count++;
    return count;
  }
}

const LENGTHS = [
  0n,
  1n,
  -1n,
  255n,
  65535n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 53n,
  2n ** 63n - 1n,
  -(2n ** 63n),
];
const NUMBERS = [
  '0',
  '-1',
  '1',
  '1e309',
  '-0',
  '0.5',
  '2147483648',
  '4294967295',
  '9007199254740992',
  '9223372036854775807',
  'NaN',
];
const TEXTS = [
  '',
  ' ',
  '\0',
  '\x1b[2J',
  '\u202e',
  '\ud800',
  '{}',
  '"',
  "'",
  ',',
  '\t',
  '\r',
  '\n',
  '../../x',
  '__proto__',
  'constructor',
  '🐈',
];
const LONG = 'x'.repeat(5000);

const BYTE_DAMAGE: readonly ((draw: Draw, bytes: Buffer, others: readonly Buffer[]) => Buffer)[] = [
  function flip(draw, bytes) {
    const copy = Buffer.from(bytes);
    for (let i = draw.few(); i > 0; i--) copy[draw.below(copy.length)]! ^= 1 << draw.below(8);
    return copy;
  },
  function overwrite(draw, bytes) {
    const copy = Buffer.from(bytes);
    draw.bytes(draw.few()).copy(copy, draw.below(copy.length));
    return copy;
  },
  function cut(draw, bytes) {
    return bytes.subarray(
      0,
      draw.rarely(2) ? draw.below(bytes.length) : bytes.length - Math.min(bytes.length, draw.few()),
    );
  },
  function remove(draw, bytes) {
    const from = draw.below(bytes.length);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + 1 + draw.below(Math.min(64, bytes.length)))]);
  },
  function repeat(draw, bytes) {
    const from = draw.below(bytes.length);
    const block = bytes.subarray(from, from + 1 + draw.below(Math.min(256, bytes.length)));
    const at = draw.rarely(2) ? from : draw.below(bytes.length);
    return Buffer.concat([
      bytes.subarray(0, at),
      ...Array.from({ length: draw.few() }, () => block),
      bytes.subarray(at),
    ]);
  },
  function insert(draw, bytes) {
    const at = draw.below(bytes.length + 1);
    const block = draw.rarely(2) ? draw.bytes(draw.few()) : Buffer.alloc(draw.below(64), draw.any([0, 0xff]));
    return Buffer.concat([bytes.subarray(0, at), block, bytes.subarray(at)]);
  },
  function splice(draw, bytes, others) {
    const other = draw.any(others);
    return Buffer.concat([bytes.subarray(0, draw.below(bytes.length)), other.subarray(draw.below(other.length))]);
  },
  function length(draw, bytes) {
    const copy = Buffer.from(bytes);
    const size = draw.any([1, 2, 4, 8]);
    const at = draw.rarely(2) ? draw.below(copy.length) : draw.below(Math.ceil(copy.length / size)) * size;
    const value = draw.rarely(3)
      ? BigInt(draw.any([copy.length, copy.length - at, copy.length + 1]))
      : draw.any(LENGTHS);
    const field = Buffer.alloc(8);
    field.writeBigInt64LE(BigInt.asIntN(64, value));
    const part = field.subarray(0, size);
    (draw.rarely(3) ? part.reverse() : part).copy(copy, at);
    return copy;
  },
  function digits(draw, bytes) {
    return damageNumber(draw, bytes);
  },
];

/** One of the runs of digits as another number. */
function damageNumber(draw: Draw, bytes: Buffer): Buffer {
  const text = bytes.toString('latin1');
  const runs = [...text.slice(0, 1 << 16).matchAll(/\d+/g)];
  if (runs.length === 0) return bytes;
  const run = draw.any(runs);
  return Buffer.from(text.slice(0, run.index) + draw.any(NUMBERS) + text.slice(run.index + run[0].length), 'latin1');
}

/** @param others what pieces of other files are taken from */
export function damageBytes(draw: Draw, bytes: Buffer, others: readonly Buffer[]): Buffer {
  let damaged = bytes;
  for (let i = draw.few(); i > 0; i--) {
    damaged = damaged.length === 0 ? draw.bytes(draw.few()) : draw.any(BYTE_DAMAGE)(draw, damaged, others);
  }
  return damaged;
}

/** Lines, words and signs of a text. */
export function damageText(draw: Draw, text: string): Buffer {
  if (draw.rarely(3)) return damageBytes(draw, Buffer.from(text), [Buffer.from(text)]);
  const lines = text.split('\n');
  for (let i = draw.few(); i > 0; i--) {
    const at = draw.below(lines.length);
    const line = lines[at] ?? '';
    const place = draw.below(line.length + 1);
    const odd = draw.rarely(10) ? LONG : draw.any([...TEXTS, ...NUMBERS]);
    draw.any([
      () => lines.splice(at, 1),
      () => lines.splice(draw.below(lines.length + 1), 0, line),
      () => lines.splice(at, 1, line.slice(0, place) + odd + line.slice(place)),
      () => lines.splice(at, 1, line.slice(0, place) + odd + line.slice(place + 1 + draw.below(8))),
      () => lines.splice(at, 1, odd),
    ])();
  }
  const joined = lines.join(draw.rarely(10) ? draw.any(['\r\n', '\r', ' ']) : '\n');
  const form = draw.below(20);
  if (form === 0) return Buffer.from(`\ufeff${joined}`);
  return form === 1 ? Buffer.from(`\ufeff${joined}`, 'utf16le') : Buffer.from(joined);
}

function oddValue(draw: Draw): unknown {
  return draw.any([
    () => draw.any([null, true, false, 0, -1, 1.5, 2 ** 31, 2 ** 53, -(2 ** 53), 1e308, 5e-324]),
    () => draw.any(TEXTS),
    () => draw.any([[], {}, [[]], [null], { a: 1 }]),
    () => (draw.rarely(4) ? LONG : draw.any(NUMBERS)),
    () => [draw.any(TEXTS), draw.below(9)],
  ])();
}

type Json = Record<string, unknown> | unknown[];

/** The value with places of it changed: another value, a key less, twice or renamed, two places swapped. */
export function damageJson(draw: Draw, value: unknown): unknown {
  const root = { value: structuredClone(value) };
  for (let i = draw.few(); i > 0; i--) {
    const places = placesOf(root).slice(0, 5000);
    const [holder, key] = draw.any(places);
    const other = draw.any(places);
    const at = holder as Record<string, unknown>;
    draw.any([
      () => {
        at[key] = oddValue(draw);
      },
      () => {
        if (Array.isArray(holder)) holder.splice(Number(key), 1);
        else if (holder !== root) delete at[key];
      },
      () => {
        if (Array.isArray(holder)) holder.push(structuredClone(at[key]));
        else if (holder !== root) at[draw.rarely(3) ? LONG : `${draw.any(TEXTS)}${key}`] = at[key];
      },
      () => {
        at[key] = structuredClone((other[0] as Record<string, unknown>)[other[1]]);
      },
      () => {
        if (typeof at[key] === 'string') at[key] = damageText(draw, at[key]).toString();
        else if (typeof at[key] === 'number')
          at[key] = at[key] * draw.any([-1, 0, 2, 1e-9, 2 ** 31]) + draw.any([-1, 0, 1]);
      },
    ])();
  }
  return root.value;
}

/** As JSON; at times with a number or key that no value in JavaScript has. */
export function jsonText(draw: Draw, value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined';
  if (!draw.rarely(10)) return text;
  return draw.any([
    () => damageNumber(draw, Buffer.from(text, 'utf8')).toString(),
    () => text.replace('{', `{"__proto__":${JSON.stringify(oddValue(draw))},`),
    () => text.replace(/"(\w+)":/, (_, key: string) => `"${key}":1,"${key}":`),
    () => `\ufeff${text}`,
    () => withDeepValue(draw, text),
  ])();
}

/** One of the plain values as lists in lists: deeper than a function that calls itself can go. */
function withDeepValue(draw: Draw, text: string): string {
  const values = [...text.matchAll(/(?<=[:,[])(?:"[^"\\]*"|-?[\d.]+|true|false|null)(?=[,}\]])/g)];
  if (values.length === 0) return text;
  const { index, 0: value } = draw.any(values);
  const deep = '['.repeat(20_000) + ']'.repeat(20_000);
  return text.slice(0, index) + deep + text.slice(index + value.length);
}

/** Every place in a value where another could stand: what holds it, and its key there. */
function placesOf(root: Json, found: [holder: Json, key: string][] = []): [holder: Json, key: string][] {
  for (const [key, inner] of Object.entries(root)) {
    found.push([root, key]);
    if (typeof inner === 'object' && inner !== null && found.length < 20_000) placesOf(inner as Json, found);
  }
  return found;
}
