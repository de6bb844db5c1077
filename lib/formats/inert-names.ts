/**
 * Names that pickles of trainings hold beside tensors: options, counters, dates, paths, numbers of numpy. What they stand
 * for is data, and here not even that is made: each becomes a placeholder. A name that is not in this table is refused,
 * whatever it is. Of every name that Python spells in several ways all spellings stand here.
 */

/**
 * What a call on a name is read as. `dict` and `list`: what the pickle then puts into it. `value`: a placeholder with its
 * arguments. `name`: nothing calls it, it stands for itself.
 */
export type Inert = 'dict' | 'list' | 'value' | 'name';

const TABLE: Readonly<Record<Inert, readonly string[]>> = {
  dict: ['collections.OrderedDict', 'collections.defaultdict'],
  list: ['collections.deque'],
  value: [
    'collections.Counter',
    ...builtins('dict', 'list', 'tuple', 'set', 'frozenset', 'complex', 'slice', 'range', 'xrange', 'bytearray'),
    ...builtins('int', 'long', 'float', 'bool', 'str', 'unicode', 'bytes'),
    ...['datetime', 'date', 'time', 'timedelta', 'timezone'].map((name) => `datetime.${name}`),
    ...paths('pathlib'),
    ...paths('pathlib._local'), // Python 3.13
    'argparse.Namespace',
    'types.SimpleNamespace',
    'torch.Size',
    'torch.device',
    'torch.serialization._get_layout',
    'numpy.dtype',
    ...['numpy.core', 'numpy._core'].flatMap((core) => [
      `${core}.multiarray.scalar`,
      `${core}.multiarray._reconstruct`,
    ]),
    '_codecs.encode', // how protocol 2 writes bytes
  ],
  name: [
    'numpy.ndarray',
    ...builtins('Ellipsis', 'NotImplemented'),
    ...['float64', 'float32', 'float16', 'bfloat16', 'complex64', 'complex128'].map((name) => `torch.${name}`),
    ...['int64', 'int32', 'int16', 'int8', 'uint8', 'bool'].map((name) => `torch.${name}`),
  ],
};

/** Both of Python 3 and of Python 2, whose spelling protocol 2 keeps. */
function builtins(...names: string[]): string[] {
  return names.flatMap((name) => [`builtins.${name}`, `__builtin__.${name}`]);
}

function paths(module: string): string[] {
  const kinds = ['Path', 'PosixPath', 'WindowsPath', 'PurePath', 'PurePosixPath', 'PureWindowsPath'];
  return kinds.map((kind) => `${module}.${kind}`);
}

export const INERT_NAMES: ReadonlyMap<string, Inert> = new Map(
  Object.entries(TABLE).flatMap(([kind, names]) => names.map((name): [string, Inert] => [name, kind as Inert])),
);
