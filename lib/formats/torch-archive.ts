/**
 * What `torch.save` writes: since PyTorch 1.6 a zip of `<top>/data.pkl` and one stored entry `<top>/data/<key>` per storage;
 * before, or on demand, pickles and storages in a row (torch-legacy.ts).
 */
import { open } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import { INERT_NAMES } from './inert-names';
import { PickleCall, PickleObject, type PickleValue, readPickle } from './pickle';
import { elementCount, ITEM_SIZE, type TensorEntry, type TensorTable } from './tensor-table';
import { readLegacyFile } from './torch-legacy';
import { isSize, STORAGE_DTYPES, type Storages, storageReference } from './torch-storage';
import { TorchZip } from './torch-zip';

/** The call that makes a tensor of a storage, an offset, a shape and strides. */
export const TENSOR = 'torch._utils._rebuild_tensor_v2';
const PARAMETER = 'torch._utils._rebuild_parameter';

/** Tensors, and the data that trainings keep beside them. */
const ALLOWED_GLOBALS: ReadonlySet<string> = new Set([
  ...STORAGE_DTYPES.keys(),
  TENSOR,
  PARAMETER,
  ...INERT_NAMES.keys(),
]);

/** A ViT-L/14 with its optimizer has 0.3 MB. */
const MAX_PICKLE_BYTES = 16 << 20;

/** Of the storages, in the names of them. */
const FOLDER = 'data';

type Dict = Map<PickleValue, PickleValue>;

/** A dictionary with tensors in it, as a file may hold several. */
export interface NamedDict {
  /** Its keys from the root on, joined by dots; '' for the root itself. */
  name: string;
  keys: string[];
  content: Dict;
}

export interface TorchArchiveOptions {
  /**
   * Which dictionary to read, of those that hold tensors; undefined for `state_dict`, or the root where there is none. In
   * `dicts` each stands under one name; `named` gives those of any name, for a file may call one dictionary by several and
   * keys may have dots in them.
   */
  choose?:
    | ((dicts: readonly NamedDict[], named: (name: string) => readonly NamedDict[]) => NamedDict | undefined)
    | undefined;
  signal?: AbortSignal | undefined;
}

/** @throws ClipnError ERR_CLIPN_CHECKPOINT_FORMAT, or ERR_CLIPN_CHECKPOINT_UNSAFE; what `choose` throws */
export async function readTorchArchive(
  path: string,
  { choose, signal }: TorchArchiveOptions = {},
): Promise<TensorTable> {
  return await useArchive(path, signal, (root, archive) => {
    const chosen = choose?.(dictsWithTensors(root), (name) => dictsNamed(root, name));
    return tableOf(chosen?.content ?? stateDictOf(root, archive), archive, signal);
  });
}

/** How deep a training nests its weights: e.g. `model.state_dict`. */
const MOST_NESTED = 2;

function dictsWithTensors(root: PickleValue): NamedDict[] {
  const found: NamedDict[] = [];
  // A pickle may name one dictionary any number of times: it counts where it is least deep.
  const seen = new Set<PickleValue>();
  let level: [name: string, value: PickleValue][] = [['', root]];
  for (let depth = 0; depth <= MOST_NESTED; depth++) {
    const below: typeof level = [];
    for (const [name, value] of level) {
      if (!(value instanceof Map) || seen.has(value)) continue;
      seen.add(value);
      if (holdsTensors(value)) found.push(namedDict(name, value));
      if (depth === MOST_NESTED) continue;
      for (const [key, inner] of value) {
        if (typeof key === 'string' && inner instanceof Map) below.push([depth === 0 ? key : `${name}.${key}`, inner]);
      }
    }
    level = below;
  }
  return found;
}

/** Each dictionary once, whichever of its dots part the name into keys. */
function dictsNamed(root: PickleValue, name: string): NamedDict[] {
  const found = new Set<Dict>();
  const visit = (value: PickleValue | undefined, rest: string, depth: number) => {
    const inner = at(value, rest);
    if (inner instanceof Map && holdsTensors(inner)) found.add(inner);
    if (depth === MOST_NESTED) return;
    for (let dot = rest.indexOf('.'); dot >= 0; dot = rest.indexOf('.', dot + 1)) {
      visit(at(value, rest.slice(0, dot)), rest.slice(dot + 1), depth + 1);
    }
  };
  if (name === '' && root instanceof Map && holdsTensors(root)) found.add(root);
  visit(root, name, 1);
  return [...found].map((dict) => namedDict(name, dict));
}

function namedDict(name: string, content: Dict): NamedDict {
  return { name, keys: [...content.keys()].filter((key) => typeof key === 'string'), content };
}

function holdsTensors(dict: Dict): boolean {
  return [...dict.values()].some(isTensor);
}

/** The call that rebuilds a tensor, as it stands or as a parameter; undefined for what is none. */
function tensorCall(value: PickleValue | undefined): PickleCall | undefined {
  const call = value instanceof PickleCall && value.callee === PARAMETER ? value.args[0] : value;
  return call instanceof PickleCall && call.callee === TENSOR ? call : undefined;
}

function isTensor(value: PickleValue): boolean {
  return tensorCall(value) !== undefined;
}

/**
 * A checkpoint of our own training: its steps, and its state dict together with the optimizer's moments, which are named
 * `exp_avg:KEY` and `exp_avg_sq:KEY`. The keys lose their `module.`.
 *
 * @throws as `readTorchArchive`, also when there is no optimizer state that names its tensors.
 */
export async function readTrainingArchive(
  path: string,
  signal?: AbortSignal,
): Promise<{ step: number; tensors: TensorTable }> {
  return await useArchive(path, signal, async (root, archive) => {
    const named = new Map(stateDictOf(root, archive));
    const step = at(root, 'step');
    const state = at(at(root, 'optimizer'), 'state');
    const groups = at(at(root, 'optimizer'), 'param_groups');
    if (!isSize(step) || !Array.isArray(groups)) throw archive.damaged('it has no steps and optimizer to go on from');
    for (const group of groups) {
      const [numbers, names] = [at(group, 'params'), at(group, 'param_names')];
      if (!Array.isArray(numbers) || !Array.isArray(names) || !names.every((name) => typeof name === 'string')) {
        throw archive.damaged('its optimizer names no tensors');
      }
      for (const [i, number] of numbers.entries()) {
        for (const moment of ['exp_avg', 'exp_avg_sq']) {
          named.set(`${moment}:${names[i]}`, at(at(state, number), moment) ?? null);
        }
      }
    }
    const table = await tableOf(named, archive, signal);
    return { step, tensors: new Map([...table].map(([key, entry]) => [key.replace('module.', ''), entry])) };
  });
}

/** A text that stands beside the state dict; undefined when there is none of that key. */
export async function readRootText(path: string, key: string, signal?: AbortSignal): Promise<string | undefined> {
  return await useArchive(path, signal, async (root) => {
    const value = at(root, key);
    return typeof value === 'string' ? value : undefined;
  });
}

function at(value: PickleValue | undefined, key: PickleValue): PickleValue | undefined {
  return value instanceof Map ? value.get(key) : undefined;
}

async function useArchive<T>(
  path: string,
  signal: AbortSignal | undefined,
  use: (root: PickleValue, archive: Storages) => Promise<T>,
): Promise<T> {
  if (!(await isZip(path))) {
    const limits = { allowed: ALLOWED_GLOBALS, mostBytes: MAX_PICKLE_BYTES, folder: FOLDER, signal };
    const { root, storages } = await readLegacyFile(path, limits);
    return await use(root, storages);
  }
  return await TorchZip.use(path, 'ERR_CLIPN_CHECKPOINT_FORMAT', signal, async (archive) => {
    refuseModelFile(archive);
    if (archive.has('byteorder') && (await archive.read('byteorder')).toString() !== 'little') {
      throw archive.damaged('its tensors are big-endian; save it again on a little-endian machine');
    }
    const data = await archive.read('data.pkl', MAX_PICKLE_BYTES);
    const objects = isProgram(archive) ? isScriptClass : undefined;
    const root = readPickle(data, { allowed: ALLOWED_GLOBALS, objects, source: path });
    return await use(root instanceof PickleObject ? tensorsOf(root, archive) : root, archive);
  });
}

async function isZip(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(2);
    await file.read(head, 0, 2, 0);
    return head.toString('latin1') === 'PK';
  } finally {
    await file.close();
  }
}

/** Whether this is a TorchScript program, as OpenAI's own files of CLIP are; its data is read, its code is not. */
function isProgram(archive: TorchZip): boolean {
  return archive.names().some((name) => name === 'constants.pkl' || name.startsWith('code/'));
}

function isScriptClass(name: string): boolean {
  return name.startsWith('__torch__.');
}

function refuseModelFile(archive: TorchZip): void {
  if (!archive.has('extra/clipn.json')) return;
  throw new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', `${archive.path} is a model file already, made by export`, {
    hint: 'Load it as it is, or export the checkpoint that it was made from.',
  });
}

/** How deep modules may be nested; a CLIP's are 6 deep. */
const MOST_MODULES = 32;

/** The tensors of a module and of the modules in it, by their attributes' names joined by dots: its state dict. */
function tensorsOf(root: PickleObject, archive: Storages): Map<PickleValue, PickleValue> {
  const found = new Map<PickleValue, PickleValue>();
  const seen = new Set<PickleObject>();
  const visit = (object: PickleObject, prefix: string, depth: number) => {
    if (depth > MOST_MODULES) throw archive.damaged(`its modules are nested more than ${MOST_MODULES} deep`);
    if (seen.has(object)) return;
    seen.add(object);
    for (const [name, value] of object.attributes) {
      if (typeof name !== 'string') continue; // written out, one that is no text could be endless
      if (value instanceof PickleObject) visit(value, `${prefix}${name}.`, depth + 1);
      else if (isTensor(value)) found.set(`${prefix}${name}`, value);
    }
  };
  visit(root, '', 1);
  return found;
}

function stateDictOf(root: PickleValue, archive: Storages): Dict {
  const dict = root instanceof Map && root.has('state_dict') ? root.get('state_dict') : root;
  if (dict instanceof Map) return dict;
  throw archive.damaged('it holds no state dict');
}

async function tableOf(dict: Dict, archive: Storages, signal: AbortSignal | undefined): Promise<TensorTable> {
  const table: TensorTable = new Map();
  for (const [key, value] of dict) {
    signal?.throwIfAborted();
    if (typeof key !== 'string') throw archive.damaged('a key of its state dict is no string');
    table.set(key, await entryOf(key, value, archive));
  }
  return table;
}

async function entryOf(key: string, value: PickleValue, archive: Storages): Promise<TensorEntry> {
  const call = tensorCall(value);
  if (call === undefined) return { dtype: 'object', shape: [], stride: [], offset: 0, byteLength: 0 };
  const entry = await locateTensor(`tensor ${key}`, call, archive, FOLDER);
  // Strides of 0 make any number of elements out of one: no weight is stored so.
  if (elementCount(entry.shape) * ITEM_SIZE[entry.dtype] <= entry.byteLength) return entry;
  throw archive.damaged(`tensor ${key} has more elements than are stored of it`);
}

/**
 * Where a tensor that the pickle rebuilds lies in the file.
 * @param folder of the storages: `data`, or `constants` in a TorchScript file.
 * @throws ClipnError, the archive's own, when it is ill described or leaves its storage.
 */
export async function locateTensor(
  what: string,
  { args }: PickleCall,
  archive: Storages,
  folder: string,
): Promise<TensorEntry> {
  const [storage, first, shape, stride] = args;
  const reference = storageReference(storage);
  if (reference === undefined) throw archive.damaged(`${what} refers to no storage`);
  const { dtype, key, count } = reference;
  if (!isSize(first) || !isSizes(shape) || !isSizes(stride) || shape.length !== stride.length) {
    throw archive.damaged(`${what} has no valid offset, shape and strides`);
  }
  const reach = shape.reduce((last, size, i) => last + (size - 1) * stride[i]!, 1);
  const span = elementCount(shape) === 0 ? 0 : reach;
  const name = `${folder}/${key}`;
  const data = await archive.locate(name);
  const item = ITEM_SIZE[dtype];
  if (count * item > data.byteLength || first + span > count) {
    throw archive.damaged(`${what} reaches outside its storage ${name}`);
  }
  const entry = { dtype, shape, stride, offset: data.offset + first * item, byteLength: span * item };
  return data.crc32 !== null && entry.byteLength === data.byteLength ? { ...entry, crc32: data.crc32 } : entry;
}

/** At most as many dimensions as PyTorch has: one long list may stand for many tensors. */
function isSizes(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.length <= 64 && value.every(isSize);
}
