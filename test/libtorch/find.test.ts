import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ClipnError } from '../../lib/base/errors';
import { readElf } from '../../lib/libtorch/elf';
import { type Candidate, findLibtorch, listCandidates, resolveLibtorch } from '../../lib/libtorch/find';
import { type Machine, thisMachine, unpackedPath } from '../../lib/libtorch/machine';
import { elf, fakeMachine, wheelTree, writeTree, zipTree } from '../support/fake-libtorch';

let root: string;
let machine: Machine;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'clipn-libtorch-'));
  machine = fakeMachine(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const install = (folder: string, tree = wheelTree()) => writeTree(join(root, folder), tree);

function thrown(action: () => unknown): ClipnError {
  try {
    action();
  } catch (error) {
    if (error instanceof ClipnError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** Why the libtorch in `folder`, named as an option, is refused. */
function reasonFor(folder: string): string | undefined {
  return listCandidates({ libtorch: folder }, machine)[0]?.reason;
}

describe('libtorch is found', () => {
  it('in a wheel’s layout: folder, version, flavour, core, and the libraries in loading order', () => {
    const folder = install('wheel');
    const lib = join(folder, 'torch', 'lib');
    assert.deepEqual(resolveLibtorch({ libtorch: folder }, machine), {
      dir: lib,
      version: '2.13.0',
      flavour: 'cpu',
      source: 'option',
      preload: [join(lib, 'libc10.so'), join(lib, 'libtorch_cpu.so'), join(lib, 'libtorch.so')],
      core: join(machine.packageRoot, 'build/Release/libclipn_core-2.13-cpu.so'),
    });
  });

  it('by its root, its lib folder, the torch folder or the folder around it', () => {
    const folder = install('zip', zipTree());
    for (const named of ['', 'libtorch', 'libtorch/lib']) {
      assert.equal(resolveLibtorch({ libtorch: join(folder, named) }, machine).dir, join(folder, 'libtorch/lib'));
    }
  });

  it('with a core of the same minor: 2.13.1 runs on the core built for 2.13', () => {
    assert.match(
      resolveLibtorch({ libtorch: install('wheel', wheelTree('2.13.1+cpu')) }, machine).core,
      /-2\.13-cpu\.so$/,
    );
  });

  it('when only CMake’s version file tells the version', () => {
    const { 'torch/version.py': _, ...tree } = wheelTree();
    const found = resolveLibtorch({ libtorch: install('wheel', tree) }, machine);
    assert.deepEqual([found.version, found.flavour], ['2.13.0', 'cpu']);
  });

  it('in the order option, CLIPN_LIBTORCH, cache, Python, system', () => {
    const option = install('option');
    machine.env['CLIPN_LIBTORCH'] = install('env');
    const cache = install('cache/libtorch/2.13.0+cpu');
    machine.env['VIRTUAL_ENV'] = join(root, 'venv');
    const python = install('venv/lib/python3.12/site-packages');
    install('system/opt', zipTree());
    const order: string[] = [resolveLibtorch({ libtorch: option }, machine).source];
    order.push(resolveLibtorch({}, machine).source);
    delete machine.env['CLIPN_LIBTORCH'];
    for (const folder of [cache, python]) {
      order.push(resolveLibtorch({}, machine).source);
      rmSync(folder, { recursive: true });
    }
    order.push(resolveLibtorch({}, machine).source);
    assert.deepEqual(order, ['option', 'env', 'cache', 'python', 'system']);
  });

  const pythons: [name: string, packages: string, prepare: () => void][] = [
    [
      'a conda environment',
      'conda/lib/python3.11/site-packages',
      () => {
        machine.env['CONDA_PREFIX'] = join(root, 'conda');
      },
    ],
    ['the user’s own packages', 'home/.local/lib/python3.9/site-packages', () => {}],
    ['Debian’s packages', 'system/usr/lib/python3/dist-packages', () => {}],
    ['the python3 on PATH', 'py/lib/python3.13/site-packages', () => linkPython('py/bin')],
    [
      'the Python that a python3 link on PATH leads to',
      'py/lib/python3.13/site-packages',
      () => {
        linkPython('py/bin');
        mkdirSync(join(root, 'links'));
        symlinkSync(join(root, 'py/bin/python3'), join(root, 'links/python3'));
        machine.env['PATH'] = join(root, 'links');
      },
    ],
    [
      'pyenv’s chosen Python',
      'pyenv/versions/3.11.7/lib/python3.11/site-packages',
      () => {
        linkPython('pyenv/shims');
        writeFileSync(join(root, 'pyenv/version'), '3.11.7\n');
      },
    ],
  ];
  function linkPython(bin: string): void {
    writeTree(join(root, bin), { python3: '' });
    chmodSync(join(root, bin, 'python3'), 0o755);
    machine.env['PATH'] = `/nowhere:${join(root, bin)}`;
  }
  for (const [name, packages, prepare] of pythons) {
    it(`in ${name}`, () => {
      prepare();
      const folder = install(packages);
      const found = resolveLibtorch({}, machine);
      assert.deepEqual([found.source, found.dir], ['python', join(folder, 'torch/lib')]);
    });
  }

  it('as a CUDA build whose nvidia libraries lie beside it; they are loaded first, dependencies before dependants', () => {
    const folder = install('site', wheelTree('2.13.0+cu130', { cuda: true }));
    writeTree(folder, {
      'nvidia/cu13/lib/libcusparse.so.12': elf(['libnvJitLink.so.13']),
      'nvidia/nvjitlink/lib/libnvJitLink.so.13': elf(),
    });
    const found = resolveLibtorch({ libtorch: folder }, machine);
    assert.equal(found.flavour, 'cu130');
    assert.deepEqual(
      found.preload.map((path) => path.slice(folder.length + 1)),
      [
        'nvidia/nvjitlink/lib/libnvJitLink.so.13',
        'nvidia/cu13/lib/libcusparse.so.12',
        'torch/lib/libc10.so',
        'torch/lib/libtorch_cpu.so',
        'torch/lib/libtorch.so',
      ],
    );
  });

  it('for compiling: without a core, and only with headers', () => {
    const folder = install('wheel', wheelTree('2.14.1+cpu'));
    assert.equal(findLibtorch({ libtorch: folder, supported: 'any', headers: true }, machine).version, '2.14.1');
    rmSync(join(folder, 'torch/include'), { recursive: true });
    const error = thrown(() => findLibtorch({ libtorch: folder, supported: 'any', headers: true }, machine));
    assert.equal(error.code, 'ERR_CLIPN_LIBTORCH_LOAD');
    assert.match(error.message, /no include/);
  });
});

describe('libtorch is refused', () => {
  it('at once when CLIPN_LIBTORCH names a folder without it, though the cache has a good one', () => {
    install('cache/libtorch/2.13.0+cpu');
    machine.env['CLIPN_LIBTORCH'] = join(root, 'empty');
    const error = thrown(() => resolveLibtorch({}, machine));
    assert.equal(error.code, 'ERR_CLIPN_LIBTORCH_NOT_FOUND');
    assert.match(error.message, /^CLIPN_LIBTORCH=.*empty cannot be used: no libtorch_cpu\.so in it\.$/);
  });

  it('when the option names another minor, with the command that builds a core for it', () => {
    const error = thrown(() => resolveLibtorch({ libtorch: install('wheel', wheelTree('2.14.1+cpu')) }, machine));
    assert.equal(error.code, 'ERR_CLIPN_LIBTORCH_VERSION');
    assert.match(error.message, /version 2\.14\.1 has no core here \(cores: 2\.13\)/);
    assert.match(error.hint, /npm run build/);
  });

  it('elsewhere with every place and its reason in the message and the details', () => {
    install('cache/libtorch/2.14.1+cpu', wheelTree('2.14.1+cpu'));
    install('system/opt', zipTree('2.12.0+cpu'));
    const error = thrown(() => resolveLibtorch({}, machine));
    assert.equal(error.code, 'ERR_CLIPN_LIBTORCH_VERSION');
    const candidates = error.details['candidates'] as Candidate[];
    assert.deepEqual(
      candidates.map((c) => [c.source, c.version, c.usable]),
      [
        ['cache', '2.14.1', false],
        ['system', undefined, false],
        ['system', undefined, false],
        ['system', '2.12.0', false],
      ],
    );
    for (const { path, reason } of candidates) assert.ok(error.message.includes(`${path}: ${reason}`), error.message);
  });

  it('as not found when nothing is there', () => {
    assert.equal(thrown(() => resolveLibtorch({}, machine)).code, 'ERR_CLIPN_LIBTORCH_NOT_FOUND');
  });

  it('when a library beside it is missing, cut short, or for another CPU', () => {
    const { 'torch/lib/libc10.so': _, ...withoutC10 } = wheelTree();
    assert.match(reasonFor(install('a', withoutC10))!, /libc10\.so is missing/);
    const cut = { ...wheelTree(), 'torch/lib/libtorch_cpu.so': elf(['libc10.so']).subarray(0, 200) };
    assert.match(reasonFor(install('b', cut))!, /libtorch_cpu\.so is not a complete shared library \(200 bytes\)/);
    const arm = { ...wheelTree(), 'torch/lib/libtorch_cpu.so': elf([], 183) };
    assert.match(reasonFor(install('c', arm))!, /built for arm64, and this process runs on x64/);
  });

  it('when its version is written nowhere', () => {
    const { 'torch/version.py': _, 'torch/share/cmake/Torch/TorchConfigVersion.cmake': __, ...tree } = wheelTree();
    assert.match(reasonFor(install('wheel', tree))!, /version is unknown/);
  });

  it('as a CUDA build without its nvidia libraries, naming one', () => {
    const folder = install('site', wheelTree('2.13.0+cu130', { cuda: true }));
    assert.match(
      reasonFor(folder)!,
      /a CUDA build \(cu130\) without its nvidia libraries: libcusparse\.so\.12 not found/,
    );
    assert.equal(thrown(() => resolveLibtorch({ libtorch: folder }, machine)).code, 'ERR_CLIPN_LIBTORCH_LOAD');
  });

  it('on musl, where no libtorch runs', () => {
    machine.glibc = null;
    const folder = install('wheel');
    assert.equal(thrown(() => resolveLibtorch({ libtorch: folder }, machine)).code, 'ERR_CLIPN_PLATFORM');
    assert.match(reasonFor(folder)!, /musl/);
  });

  it('when this package holds no core', () => {
    rmSync(join(machine.packageRoot, 'build'), { recursive: true });
    assert.equal(
      thrown(() => resolveLibtorch({ libtorch: install('wheel') }, machine)).code,
      'ERR_CLIPN_CORE_NOT_FOUND',
    );
  });
});

describe('the machine', () => {
  it('has its ELF files read: this Node is for this architecture and needs the C library', {
    skip: process.platform !== 'linux',
  }, () => {
    const facts = readElf(process.execPath);
    assert.equal(facts?.arch, process.arch);
    assert.ok(
      facts.needed.some((name) => /^(libc\.so\.6|libc\.musl)/.test(name)),
      facts.needed.join(),
    );
  });

  it('has a glibc version on glibc systems', { skip: process.platform !== 'linux' }, () => {
    const needsGlibc = readElf(process.execPath)?.needed.includes('libc.so.6');
    assert.equal(/^2\.\d+$/.test(thisMachine().glibc ?? ''), needsGlibc);
  });

  it('has native files of an Electron app outside its archive', () => {
    assert.equal(unpackedPath('/o/resources/app.asar/node_modules/x'), '/o/resources/app.asar.unpacked/node_modules/x');
    assert.equal(unpackedPath('/o/resources/app.asar.unpacked/x'), '/o/resources/app.asar.unpacked/x');
    assert.equal(unpackedPath('/home/my-app.asarx/y'), '/home/my-app.asarx/y');
  });
});
