/** Checkpoints whose pickle would run code, exhaust the machine or leave its storages: each ends in its code. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import {
  allEndIn,
  at,
  entries,
  exported,
  FORMAT,
  KEYS,
  TIMEOUT,
  UNSAFE,
  withEntry,
  withRoot,
} from '../support/damaged-checkpoint';
import { pickle } from '../support/torch-zip';
import { zip } from '../support/zip';

const canary = at('canary');

const FUNCTIONS = `os.system posix.system nt.system os.popen os.execv subprocess.Popen subprocess.check_output
  subprocess.run builtins.eval builtins.exec builtins.__import__ builtins.getattr builtins.open builtins.compile
  __builtin__.eval __builtin__.dict.update importlib.import_module runpy.run_path pty.spawn shutil.rmtree
  functools.partial operator.attrgetter operator.methodcaller types.FunctionType copyreg._reconstructor
  webbrowser.open socket.socket ctypes.CDLL numpy.load numpy.fromfile torch.load torch.hub.load
  torch.jit.load torch.serialization.load torch.nn.Linear torch._utils._rebuild_tensor torch._utils._import_dotted_name
  torch.storage._load_from_bytes torch.FloatStorage.from_file collections.OrderedDict.fromkeys collections.namedtuple`;

test('a pickle that names a function is refused, however it calls it, and nothing runs', async () => {
  const command = pickle.string(`touch ${canary}`);
  const inputs: [string, Buffer][] = [];
  for (const full of FUNCTIONS.split(/\s+/)) {
    const [module, name] = [full.slice(0, full.lastIndexOf('.')), full.slice(full.lastIndexOf('.') + 1)];
    const byStack = Buffer.concat([pickle.string(module), pickle.string(name), Buffer.from([0x93])]);
    const forms = {
      GLOBAL: pickle.call(pickle.global(module, name), [command]),
      STACK_GLOBAL: pickle.call(byStack, [command]),
      NEWOBJ: Buffer.concat([pickle.global(module, name), pickle.tuple([command]), Buffer.from([0x81])]),
    };
    for (const [form, call] of Object.entries(forms)) {
      inputs.push([`${full} by ${form}`, withEntry(pickle.string('more'), call)]);
    }
  }
  await allEndIn(UNSAFE, inputs);
  assert.equal(existsSync(canary), false);
});

test('opcodes that could call anything else are refused, and nothing runs', async () => {
  const command = pickle.string(`touch ${canary}`).toString('latin1');
  const values = {
    INST: `(${command}iposix\nsystem\n`,
    OBJ: `(cposix\nsystem\n${command}o`,
    EXT1: '\x82\x01',
    EXT4: '\x84\x01\0\0\0',
    PERSID: `Ptouch ${canary}\n`,
    NEWOBJ_EX: `${command})}\x92`,
    NEXT_BUFFER: '\x97',
    BYTEARRAY8: '\x96\x01\0\0\0\0\0\0\0x',
    STRING: "S'text'\n",
    LONG: 'L1L\n',
  };
  // INST and the others fail by their opcode, except where the name comes first and is refused as such.
  for (const [name, value] of Object.entries(values)) {
    const result = await exported(name, withEntry(pickle.string('more'), Buffer.from(value, 'latin1')));
    assert.equal(result, name === 'OBJ' ? UNSAFE : FORMAT, name);
  }
  assert.equal(existsSync(canary), false);
});

test('a call on what is no name, and a type with the wrong arguments, are refused', async () => {
  const storage = pickle.global('torch', 'FloatStorage');
  const text = pickle.string('x');
  const rebuild = pickle.global('torch._utils', '_rebuild_tensor_v2');
  const values = {
    'a string': pickle.call(text, [text]),
    'a dict': pickle.call(pickle.dict([]), [text]),
    'its own result': pickle.call(pickle.call(rebuild, []), []),
    'no arguments': pickle.call(rebuild, []),
    'text for a storage': pickle.call(rebuild, [text, text, text, text]),
    'a storage without its tuple': pickle.call(rebuild, [
      storage,
      pickle.integer(0),
      pickle.tuple([]),
      pickle.tuple([]),
    ]),
    'an OrderedDict of something': pickle.call(pickle.global('collections', 'OrderedDict'), [text]),
  };
  await allEndIn(
    FORMAT,
    Object.entries(values).map(([name, value]) => [name, withEntry(pickle.string('more'), value)]),
  );
});

/** A number in protocol 2's form for large ones. */
function long(value: bigint): Buffer {
  const bytes = Buffer.alloc(10);
  bytes.set([0x8a, 8]);
  bytes.writeBigInt64LE(value, 2);
  return bytes;
}

/** A tensor whose storage, offset, shape and strides are any pickled values. */
function anyTensor(of: { name?: string; count?: Buffer; first?: Buffer; shape?: Buffer; stride?: Buffer }): Buffer {
  const { count = pickle.integer(8), first = pickle.integer(0) } = of;
  const { shape = pickle.tuple([pickle.integer(8)]), stride = pickle.tuple([pickle.integer(1)]) } = of;
  const id = [pickle.string('storage'), pickle.global('torch', 'FloatStorage'), pickle.string(of.name ?? '0')];
  return pickle.call(pickle.global('torch._utils', '_rebuild_tensor_v2'), [
    Buffer.concat([pickle.tuple([...id, pickle.string('cpu'), count]), Buffer.from('Q')]),
    first,
    shape,
    stride,
    pickle.boolean(false),
  ]);
}

test('a tensor that lies outside its storage is refused', async () => {
  const sizes = (...values: (number | bigint)[]) =>
    pickle.tuple(values.map((value) => (typeof value === 'bigint' ? long(value) : pickle.integer(value))));
  const minus = Buffer.from([0x4a, 0xff, 0xff, 0xff, 0xff]);
  const values: Record<string, Buffer> = {
    'offset 1': anyTensor({ first: pickle.integer(1) }),
    'offset -1': anyTensor({ first: minus }),
    'offset 2^62': anyTensor({ first: long(2n ** 62n) }),
    'offset 0.5': anyTensor({ first: pickle.float(0.5) }),
    'offset none': anyTensor({ first: Buffer.from('N') }),
    'shape 9': anyTensor({ shape: sizes(9) }),
    'shape -1': anyTensor({ shape: pickle.tuple([minus]) }),
    'shape 2^53': anyTensor({ shape: sizes(2n ** 53n) }),
    'shape whose product overflows': anyTensor({ shape: sizes(2n ** 52n, 2n ** 52n), stride: sizes(0, 0) }),
    'shape of 65 dimensions': anyTensor({ shape: sizes(...Array(65).fill(1)), stride: sizes(...Array(65).fill(1)) }),
    'shape no tuple': anyTensor({ shape: pickle.integer(8) }),
    'stride 2': anyTensor({ stride: sizes(2) }),
    'stride 2^62': anyTensor({ stride: sizes(2n ** 62n) }),
    'stride -1': anyTensor({ stride: pickle.tuple([minus]) }),
    'stride 0': anyTensor({ shape: sizes(1 << 30), stride: sizes(0) }),
    'strides too few': anyTensor({ stride: sizes() }),
    'count above the entry': anyTensor({ count: pickle.integer(1 << 30), shape: sizes(1 << 29) }),
    'count 2^63 - 1': anyTensor({ count: long(2n ** 63n - 1n) }),
    'count -1': anyTensor({ count: minus }),
    'no such storage': anyTensor({ name: '9999' }),
    'a storage outside its folder': anyTensor({ name: '../data.pkl' }),
  };
  // Unchanged, the tensor is read, and only its key is wrong.
  const eight = { ...entries, 'seeded/data/0': entries['seeded/data/0']!.subarray(0, 32) };
  const only = (tensor: Buffer) =>
    zip({ ...eight, 'seeded/data.pkl': pickle.file(pickle.dict([[pickle.string('more'), tensor]])) });
  assert.equal(await exported('unchanged', only(anyTensor({}))), KEYS);
  await allEndIn(
    FORMAT,
    Object.entries(values).map(([name, tensor]) => [name, only(tensor)]),
  );
});

test('tensors that share their data beyond the two text towers are refused', async () => {
  const shared = [...Array(40).keys()].map((i): [Buffer, Buffer] => [
    pickle.string(`weight_${i}`),
    pickle.tensor('0', [50_000], [1]),
  ]);
  const data = pickle.file(pickle.dict(shared));
  await allEndIn(FORMAT, [['40 of one', zip({ 't/data.pkl': data, 't/data/0': Buffer.alloc(200_000) })]]);
});

test('pickle bombs end in a code at once', TIMEOUT, async () => {
  const many = (text: string, count = 15_000_000) => Buffer.alloc(count, text, 'latin1');
  const join = (...parts: (string | Buffer)[]) =>
    Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
  const bytes4 = (opcode: string, value: number) => {
    const bytes = Buffer.alloc(5);
    bytes.write(opcode, 'latin1');
    bytes.writeUInt32LE(value, 1);
    return bytes;
  };
  const dims = join('(', many('K\x01', 300_000), 't');
  const bombs: Record<string, Buffer> = {
    'lists without end': many(']'),
    'dicts without end': many('}'),
    'sets without end': many('\x8f'),
    'copies of the top without end': join('N', many('2')),
    'marks without end': many('('),
    'lists in lists': join(many(']', 450_000), many('a', 450_000)),
    'tuples in tuples': join(')', many('\x85', 900_000)),
    'an integer of 8 MB': join(bytes4('\x8b', 8 << 20), many('\x7f', 8 << 20)),
    'a string of 4 GB': bytes4('X', 0xffffffff),
    'a string of negative length': bytes4('T', 0xffffffff),
    'bytes of 2^64': join('\x8e', many('\xff', 8)),
    'memo 2^32 - 1': join('N', bytes4('r', 0xffffffff)),
    'a memo that is not set': bytes4('j', 7),
    'a mark that is not set': join('t'),
    'an empty stack': join('a'),
    nothing: Buffer.alloc(0),
    'a name of 15 MB': join('cos\n', many('x')),
    'a list that holds itself': join(']q\x00h\x00a'),
    'a dict that holds itself': join('}q\x00', pickle.string('state_dict'), 'h\x00s'),
    // Each level names the one below twice: 2^60 items when written out.
    'a key of doubled lists': join('}', ']q\x00', ...[...Array(60)].map(() => '0](h\x00h\x00eq\x00'), 'h\x00Ns'),
    'a module of doubled lists': join(']q\x00', ...[...Array(60)].map(() => '0](h\x00h\x00eq\x00'), 'h\x00h\x00\x93'),
    'one long dict again and again': join(dims, 'q\x00', many('ccollections\nOrderedDict\nh\x00\x85R0', 300_000)),
    'one long shape for every tensor': join(
      '}(',
      ...[...Array(2000).keys()].map((i) =>
        join(
          pickle.string(`${i}`),
          pickle.call(pickle.global('torch._utils', '_rebuild_tensor_v2'), [
            join(
              pickle.tuple([
                pickle.string('storage'),
                pickle.global('torch', 'FloatStorage'),
                pickle.string('0'),
                pickle.string('cpu'),
                pickle.integer(1),
              ]),
              'Q',
            ),
            pickle.integer(0),
            i === 0 ? join('(', many('K\x01', 300_000), 't', 'q\x00') : join('h\x00'),
            join('h\x00'),
          ]),
        ),
      ),
      'u',
    ),
  };
  const inputs = Object.entries(bombs).map(([name, value]): [string, Buffer] => [name, withRoot(value)]);
  for (const [name, bytes] of inputs) {
    const begin = performance.now();
    const result = await exported(name, bytes);
    const seconds = (performance.now() - begin) / 1000;
    assert.equal(result, name === 'a dict that holds itself' ? KEYS : FORMAT, name);
    assert.ok(seconds < 5, `${name} took ${seconds} s`);
  }
});
