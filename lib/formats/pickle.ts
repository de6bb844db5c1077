/**
 * Reads a Python pickle as data. Nothing is imported, called or constructed: a global becomes an inert `PickleGlobal`,
 * a call on one a `PickleCall`, and a global outside the caller's list is an error before anything else happens.
 */
import { ClipnError, type ClipnErrorCode } from '../base/errors';
import { INERT_NAMES } from './inert-names';

/** A name such as `torch._utils._rebuild_tensor_v2`: only a name. */
export class PickleGlobal {
  constructor(readonly name: string) {}
}

/** `callee(*args)` as the pickle asked for it; never called. */
export class PickleCall {
  constructor(
    readonly callee: string,
    readonly args: readonly PickleValue[],
  ) {}
}

/** An object of a class that is only a name, with the attributes that the pickle gives it. */
export class PickleObject {
  readonly attributes = new Map<PickleValue, PickleValue>();

  constructor(readonly className: string) {}
}

export interface PickleOptions {
  /** Full names of the globals that may occur. */
  allowed: { has(name: string): boolean };
  /** Classes whose objects are read as their attributes, beyond `allowed`. */
  objects?: ((className: string) => boolean) | undefined;
  /** The file, for messages. */
  source: string;
  /** Of the error when the pickle is damaged. Default ERR_CLIPN_CHECKPOINT_FORMAT. */
  code?: ClipnErrorCode;
  /** Told of every call when it is read, those too that are dropped later. */
  onCall?: (call: PickleCall) => void;
  /** Told of everything that the pickle refers to outside itself. */
  onReference?: (reference: PickleReference) => void;
}

/** What the pickle refers to outside itself: torch's storages. */
export class PickleReference {
  constructor(readonly id: PickleValue) {}
}

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | PickleGlobal
  | PickleCall
  | PickleObject
  | PickleReference;

const MARK = Symbol('mark');
type StackItem = PickleValue | typeof MARK;

class Damaged extends Error {}

/** Each instruction makes one value at most. A ViT-L/14 with its optimizer takes fewer than 100,000. */
const MAX_INSTRUCTIONS = 1_000_000;
const MAX_INTEGER_BYTES = 255;
class Reader {
  constructor(
    private readonly bytes: Buffer,
    public position = 0,
  ) {}

  take(count: number): Buffer {
    const end = this.position + count;
    if (!(count >= 0) || end > this.bytes.length) throw new Damaged(`it ends inside a value at byte ${this.position}`);
    const part = this.bytes.subarray(this.position, end);
    this.position = end;
    return part;
  }
  u8 = (): number => this.take(1).readUInt8();
  u16 = (): number => this.take(2).readUInt16LE();
  u32 = (): number => this.take(4).readUInt32LE();
  i32 = (): number => this.take(4).readInt32LE();
  u64 = (): number => Number(this.take(8).readBigUInt64LE());
  f64 = (): number => this.take(8).readDoubleBE();
  text = (length: number): string => this.take(length).toString('utf8');
  line(): string {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end < 0) throw new Damaged('a line has no end');
    const text = this.text(end - this.position);
    this.position = end + 1;
    return text;
  }
  /** Little-endian two's complement; reading one takes time that grows with the square of its length. */
  integer(length: number): number | bigint {
    if (length > MAX_INTEGER_BYTES) throw new Damaged(`it has an integer of ${length} bytes`);
    const part = this.take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(part[i]!);
    const signed = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
  }
}

class Machine {
  private readonly stack: StackItem[] = [];
  private readonly memo = new Map<number, PickleValue>();

  constructor(private readonly options: PickleOptions) {}

  push(value: StackItem): void {
    this.stack.push(value);
  }
  pop(): PickleValue {
    const value = this.stack.pop();
    if (value === undefined || value === MARK) throw new Damaged('its stack is empty where a value is needed');
    return value;
  }
  top(): PickleValue {
    const value = this.stack.at(-1);
    if (value === undefined || value === MARK) throw new Damaged('its stack is empty where a value is needed');
    return value;
  }
  popMark(): PickleValue[] {
    const mark = this.stack.lastIndexOf(MARK);
    if (mark < 0) throw new Damaged('a mark is missing');
    return this.stack.splice(mark).slice(1) as PickleValue[];
  }
  popMany(count: number): PickleValue[] {
    const values: PickleValue[] = [];
    for (let i = 0; i < count; i++) values.unshift(this.pop());
    return values;
  }
  put(index: number): void {
    this.memo.set(index, this.top());
  }
  memoize(): void {
    this.put(this.memo.size);
  }
  get(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) throw new Damaged(`memo ${index} is not set`);
    this.push(value);
  }
  global(module: PickleValue, name: PickleValue): void {
    if (typeof module !== 'string' || typeof name !== 'string') throw new Damaged('a global has no name');
    const full = `${module}.${name}`;
    if (!this.options.allowed.has(full) && !this.options.objects?.(full)) {
      throw new ClipnError(
        'ERR_CLIPN_CHECKPOINT_UNSAFE',
        `${this.options.source}: the pickle names ${full.slice(0, 200)}, which no table of tensors needs`,
        {
          hint: 'If you trust the file, save its tensors alone with PyTorch, as a dict of name and tensor.',
          details: { global: full },
        },
      );
    }
    this.push(new PickleGlobal(full));
  }
  call(): void {
    const args = this.pop();
    const callee = this.pop();
    if (!(callee instanceof PickleGlobal) || !Array.isArray(args))
      throw new Damaged('it calls something that is no name');
    const container = emptyContainer(callee.name, args);
    if (container !== undefined) {
      this.push(container);
      return;
    }
    if (this.options.objects?.(callee.name)) {
      if (args.length > 0) throw new Damaged(`it makes a ${callee.name} with arguments`);
      this.push(new PickleObject(callee.name));
      return;
    }
    const call = new PickleCall(callee.name, args);
    this.options.onCall?.(call);
    this.push(call);
  }
  setItems(items: PickleValue[]): void {
    const target = this.top();
    if (!(target instanceof Map) || items.length % 2 !== 0)
      throw new Damaged('it sets items of something that is no dict');
    for (let i = 0; i < items.length; i += 2) target.set(items[i]!, items[i + 1]!);
  }
  append(items: PickleValue[]): void {
    const target = this.top();
    if (!Array.isArray(target)) throw new Damaged('it appends to something that is no list');
    for (const item of items) target.push(item);
  }
  /** The attributes of an object; those of anything else (a state dict's _metadata) are not data of ours. */
  build(): void {
    const state = this.pop();
    const target = this.top();
    if (!(target instanceof PickleObject)) return;
    if (!(state instanceof Map)) throw new Damaged('an object has no attributes by name');
    for (const [name, value] of state) target.attributes.set(name, value);
  }
  reference(): void {
    const reference = new PickleReference(this.pop());
    this.options.onReference?.(reference);
    this.push(reference);
  }
  add(items: PickleValue[]): void {
    const target = this.top();
    if (!(target instanceof Set)) throw new Damaged('it adds to something that is no set');
    for (const item of items) target.add(item);
  }
}

/** What the pickle fills afterwards; a constructor's arguments may say how it behaves, not what is in it. */
function emptyContainer(name: string, args: readonly PickleValue[]): PickleValue | undefined {
  const kind = INERT_NAMES.get(name);
  if (kind === 'name') throw new Damaged(`it calls ${name}, which is no type`);
  if (kind !== 'dict' && kind !== 'list') return undefined;
  const [content] = args;
  // A defaultdict's argument is the type that it would add by itself; a deque's are nothing and its length.
  const isEmpty = content === undefined || (kind === 'dict' ? content instanceof PickleGlobal : isEmptyList(content));
  if (!isEmpty) throw new Damaged(`it fills a ${name} by its constructor`);
  return kind === 'dict' ? new Map() : [];
}

function isEmptyList(value: PickleValue): boolean {
  return Array.isArray(value) && value.length === 0;
}

type Instruction = (m: Machine, r: Reader) => void;

/** By opcode, those that protocols 2 to 5 write for plain data; see Python's pickletools for their meaning. */
const INSTRUCTIONS: ReadonlyMap<number, Instruction> = new Map<number, Instruction>([
  [0x80, (_, r) => void r.u8()], // PROTO
  [0x95, (_, r) => void r.u64()], // FRAME
  [0x28, (m) => m.push(MARK)],
  [0x30, (m) => void m.pop()],
  [0x31, (m) => void m.popMark()],
  [0x32, (m) => m.push(m.top())], // DUP
  [0x4e, (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  [0x4a, (m, r) => m.push(r.i32())], // BININT
  [0x4b, (m, r) => m.push(r.u8())],
  [0x4d, (m, r) => m.push(r.u16())],
  [0x8a, (m, r) => m.push(r.integer(r.u8()))], // LONG1
  [0x8b, (m, r) => m.push(r.integer(r.u32()))],
  [0x47, (m, r) => m.push(r.f64())],
  [0x58, (m, r) => m.push(r.text(r.u32()))], // BINUNICODE
  [0x8c, (m, r) => m.push(r.text(r.u8()))],
  [0x8d, (m, r) => m.push(r.text(r.u64()))],
  [0x55, (m, r) => m.push(r.text(r.u8()))], // SHORT_BINSTRING
  [0x54, (m, r) => m.push(r.text(r.i32()))],
  [0x42, (m, r) => m.push(r.take(r.u32()))], // BINBYTES
  [0x43, (m, r) => m.push(r.take(r.u8()))],
  [0x8e, (m, r) => m.push(r.take(r.u64()))],
  [0x5d, (m) => m.push([])],
  [0x29, (m) => m.push([])], // EMPTY_TUPLE
  [0x7d, (m) => m.push(new Map())],
  [0x8f, (m) => m.push(new Set())],
  [0x85, (m) => m.push(m.popMany(1))],
  [0x86, (m) => m.push(m.popMany(2))],
  [0x87, (m) => m.push(m.popMany(3))],
  [0x74, (m) => m.push(m.popMark())], // TUPLE
  [0x6c, (m) => m.push(m.popMark())], // LIST
  [0x61, (m) => m.append([m.pop()])],
  [0x65, (m) => m.append(m.popMark())],
  [0x73, (m) => m.setItems(m.popMany(2))],
  [0x75, (m) => m.setItems(m.popMark())],
  [0x90, (m) => m.add(m.popMark())],
  [0x91, (m) => m.push(new Set(m.popMark()))], // FROZENSET
  [0x71, (m, r) => m.put(r.u8())], // BINPUT
  [0x72, (m, r) => m.put(r.u32())],
  [0x94, (m) => m.memoize()],
  [0x68, (m, r) => m.get(r.u8())], // BINGET
  [0x6a, (m, r) => m.get(r.u32())],
  [0x63, (m, r) => m.global(r.line(), r.line())], // GLOBAL
  [0x93, (m) => m.global(...(m.popMany(2) as [PickleValue, PickleValue]))],
  [0x51, (m) => m.reference()], // BINPERSID
  [0x52, (m) => m.call()], // REDUCE
  [0x81, (m) => m.call()], // NEWOBJ
  [0x62, (m) => m.build()], // BUILD
]);

const STOP = 0x2e;

/**
 * The value a pickle holds; tuples come back as arrays, dicts and OrderedDicts as maps, attributes are dropped.
 * @throws ClipnError ERR_CLIPN_CHECKPOINT_UNSAFE for another global; `options.code` when it is damaged.
 */
export function readPickle(bytes: Buffer, options: PickleOptions): PickleValue {
  return readPickleAt(bytes, 0, options).value;
}

/** As `readPickle`, of the pickle that begins at a byte; `end` is the byte behind it. */
export function readPickleAt(
  bytes: Buffer,
  start: number,
  options: PickleOptions,
): { value: PickleValue; end: number } {
  const machine = new Machine(options);
  const reader = new Reader(bytes, start);
  try {
    let count = 0;
    for (let opcode = reader.u8(); opcode !== STOP; opcode = reader.u8()) {
      if (++count > MAX_INSTRUCTIONS) throw new Damaged(`it has more than ${MAX_INSTRUCTIONS} instructions`);
      const instruction = INSTRUCTIONS.get(opcode);
      if (!instruction) throw new Damaged(`opcode 0x${opcode.toString(16)} has no place in a table of tensors`);
      instruction(machine, reader);
    }
    return { value: machine.pop(), end: reader.position };
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    const { code = 'ERR_CLIPN_CHECKPOINT_FORMAT', source } = options;
    throw new ClipnError(code, `${source}: the pickle cannot be read: ${error.message}`, { cause: error });
  }
}
