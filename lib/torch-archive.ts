/** What `torch.save` writes since PyTorch 1.6: a zip of `<top>/data.pkl` and one stored entry `<top>/data/<key>` per storage. */
import type { Readable } from 'node:stream';
import { ClipnError } from './errors';
import { PickleCall, PickleGlobal, PickleReference, type PickleValue, readPickle } from './pickle';
import { elementCount, ITEM_SIZE, type TensorDtype, type TensorEntry, type TensorTable } from './tensor-table';

const STORAGE_DTYPES: ReadonlyMap<string, TensorDtype> = new Map<string, TensorDtype>([
  ['torch.DoubleStorage', 'float64'],
  ['torch.FloatStorage', 'float32'],
  ['torch.HalfStorage', 'float16'],
  ['torch.BFloat16Storage', 'bfloat16'],
  ['torch.LongStorage', 'int64'],
  ['torch.IntStorage', 'int32'],
  ['torch.ShortStorage', 'int16'],
  ['torch.CharStorage', 'int8'],
  ['torch.ByteStorage', 'uint8'],
  ['torch.BoolStorage', 'bool'],
]);

const TENSOR = 'torch._utils._rebuild_tensor_v2';
const PARAMETER = 'torch._utils._rebuild_parameter';

/** Tensors, and what optimizer states hold beside them: a schedule computed with numpy leaves its scalars as rates. */
const ALLOWED_GLOBALS: ReadonlySet<string> = new Set([
  ...STORAGE_DTYPES.keys(),
  TENSOR,
  PARAMETER,
  'collections.OrderedDict',
  'collections.defaultdict',
  'builtins.dict',
  '__builtin__.dict',
  'torch.Size',
  'numpy.core.multiarray.scalar',
  'numpy._core.multiarray.scalar',
  'numpy.dtype',
  '_codecs.encode',
]);

/** The part of yauzl 3 used here; its published types describe version 2. */
interface ZipEntry {
  fileName: string;
  compressionMethod: number;
  compressedSize: number;
  uncompressedSize: number;
  isEncrypted(): boolean;
}
interface ZipFile {
  eachEntry(): AsyncIterable<ZipEntry>;
  readLocalFileHeaderPromise(entry: ZipEntry, options: { minimal: true }): Promise<{ fileDataStart: number }>;
  openReadStreamPromise(entry: ZipEntry): Promise<Readable>;
  close(): void;
}
interface Yauzl {
  openPromise(path: string, options: { lazyEntries: true; autoClose: false }): Promise<ZipFile>;
}

const MAX_PICKLE_BYTES = 64 << 20;
const STORED = 0;

class Archive {
  constructor(
    readonly path: string,
    private readonly zip: ZipFile,
    private readonly size: number,
    private readonly entries: ReadonlyMap<string, ZipEntry>,
    private readonly top: string,
  ) {}

  has(name: string): boolean {
    return this.entries.has(this.top + name);
  }
  hasFolder(name: string): boolean {
    return [...this.entries.keys()].some((entry) => entry.startsWith(`${this.top}${name}/`));
  }
  async read(name: string): Promise<Buffer> {
    const entry = this.stored(name);
    if (entry.uncompressedSize > MAX_PICKLE_BYTES) throw this.damaged(`${name} has ${entry.uncompressedSize} bytes`);
    const parts: Buffer[] = [];
    for await (const part of await this.zip.openReadStreamPromise(entry)) parts.push(part as Buffer);
    return Buffer.concat(parts);
  }
  /** Where an entry's bytes lie in the file. */
  async locate(name: string): Promise<{ offset: number; byteLength: number }> {
    const entry = this.stored(name);
    const { fileDataStart } = await this.zip.readLocalFileHeaderPromise(entry, { minimal: true });
    if (fileDataStart + entry.uncompressedSize > this.size)
      throw this.damaged(`${name} reaches beyond the end of the file`);
    return { offset: fileDataStart, byteLength: entry.uncompressedSize };
  }
  damaged(what: string): ClipnError {
    return new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', `${this.path}: ${what}`);
  }
  private stored(name: string): ZipEntry {
    const entry = this.entries.get(this.top + name);
    if (!entry) throw this.damaged(`the archive lacks ${name}`);
    if (entry.compressionMethod !== STORED || entry.isEncrypted() || entry.compressedSize !== entry.uncompressedSize) {
      throw this.damaged(`${name} is compressed or encrypted, which torch.save never does`);
    }
    return entry;
  }
}

/** @throws ClipnError ERR_CLIPN_CHECKPOINT_FORMAT, ERR_CLIPN_CHECKPOINT_UNSAFE, or ERR_CLIPN_CHECKPOINT_KEYS. */
export async function readTorchArchive(path: string, size: number, signal?: AbortSignal): Promise<TensorTable> {
  const yauzl = (await import('yauzl')) as unknown as Yauzl;
  let zip: ZipFile | undefined;
  try {
    zip = await yauzl.openPromise(path, { lazyEntries: true, autoClose: false });
    const archive = await openArchive(path, size, zip);
    refuseProgram(archive);
    if (archive.has('byteorder') && (await archive.read('byteorder')).toString() !== 'little') {
      throw archive.damaged('its tensors are big-endian; save it again on a little-endian machine');
    }
    const root = readPickle(await archive.read('data.pkl'), ALLOWED_GLOBALS, path);
    return await tableOf(stateDictOf(root, archive), archive, signal);
  } catch (error) {
    if (error instanceof ClipnError || signal?.aborted) throw error;
    throw new ClipnError(
      'ERR_CLIPN_CHECKPOINT_FORMAT',
      `${path} is a zip that is cut short or damaged: ${(error as Error).message}`,
      { cause: error },
    );
  } finally {
    zip?.close();
  }
}

async function openArchive(path: string, size: number, zip: ZipFile): Promise<Archive> {
  const entries = new Map<string, ZipEntry>();
  for await (const entry of zip.eachEntry()) {
    if (entries.has(entry.fileName)) {
      throw new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', `${path} holds the entry ${entry.fileName} twice`);
    }
    entries.set(entry.fileName, entry);
  }
  const pickle = [...entries.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (!pickle) {
    throw new ClipnError(
      'ERR_CLIPN_CHECKPOINT_FORMAT',
      `${path} is a zip, but not one of torch.save: it has no data.pkl`,
    );
  }
  return new Archive(path, zip, size, entries, pickle.slice(0, -'data.pkl'.length));
}

function refuseProgram(archive: Archive): void {
  if (!archive.has('constants.pkl') && !archive.hasFolder('code')) return;
  throw new ClipnError(
    'ERR_CLIPN_CHECKPOINT_FORMAT',
    `${archive.path} is a TorchScript program (OpenAI's own CLIP files are, and so are exported models), not a state dict`,
    {
      hint: 'Save its weights with PyTorch: torch.save(torch.jit.load("in.pt", map_location="cpu").float().state_dict(), "out.pt"); OpenAI weights then need --act quickgelu.',
    },
  );
}

function stateDictOf(root: PickleValue, archive: Archive): Map<PickleValue, PickleValue> {
  const dict = root instanceof Map && root.has('state_dict') ? root.get('state_dict') : root;
  if (dict instanceof Map) return dict;
  throw archive.damaged('it holds no state dict');
}

async function tableOf(
  dict: Map<PickleValue, PickleValue>,
  archive: Archive,
  signal: AbortSignal | undefined,
): Promise<TensorTable> {
  const table: TensorTable = new Map();
  for (const [key, value] of dict) {
    signal?.throwIfAborted();
    table.set(String(key), await entryOf(String(key), value, archive));
  }
  return table;
}

async function entryOf(key: string, value: PickleValue, archive: Archive): Promise<TensorEntry> {
  const call = value instanceof PickleCall && value.callee === PARAMETER ? value.args[0] : value;
  if (!(call instanceof PickleCall) || call.callee !== TENSOR) {
    return { dtype: 'object', shape: [], stride: [], offset: 0, byteLength: 0 };
  }
  const [storage, first, shape, stride] = call.args;
  const { dtype, name, count } = storageOf(key, storage, archive);
  if (!isSize(first) || !isSizes(shape) || !isSizes(stride) || shape.length !== stride.length) {
    throw archive.damaged(`tensor ${key} has no valid offset, shape and strides`);
  }
  const reach = shape.reduce((last, size, i) => last + (size - 1) * stride[i]!, 1);
  const span = elementCount(shape) === 0 ? 0 : reach;
  const data = await archive.locate(name);
  const item = ITEM_SIZE[dtype];
  if (count * item > data.byteLength || first + span > count) {
    throw archive.damaged(`tensor ${key} reaches outside its storage ${name}`);
  }
  return { dtype, shape, stride, offset: data.offset + first * item, byteLength: span * item };
}

/** A storage is ('storage', type, key, device, element count). */
function storageOf(tensor: string, value: PickleValue | undefined, archive: Archive) {
  const id = value instanceof PickleReference ? value.id : undefined;
  const [tag, type, key, , count] = Array.isArray(id) ? id : [];
  const dtype = type instanceof PickleGlobal ? STORAGE_DTYPES.get(type.name) : undefined;
  if (tag !== 'storage' || !dtype || typeof key !== 'string' || !isSize(count)) {
    throw archive.damaged(`tensor ${tensor} refers to no storage`);
  }
  return { dtype, name: `data/${key}`, count };
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isSizes(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.every(isSize);
}
