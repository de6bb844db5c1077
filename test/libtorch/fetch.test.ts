import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type FetchOptions, fetchLibtorch } from '../../lib/libtorch/fetch';
import type { Machine } from '../../lib/libtorch/machine';
import { findPip } from '../../lib/libtorch/pip';
import { elf, fakeMachine, type Tree, wheelTree, writeTree, zipTree } from '../support/fake-libtorch';
import { zip } from '../support/zip';

let root: string;
let machine: Machine;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'clipn-fetch-'));
  machine = fakeMachine(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function archive(tree: Tree, name = 'torch-2.13.0+cpu-test.whl'): string {
  writeFileSync(join(root, name), zip(tree));
  return join(root, name);
}
const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');
const fetched = (options: FetchOptions) => fetchLibtorch(options, machine);
const cached = () => (existsSync(join(root, 'cache/libtorch')) ? readdirSync(join(root, 'cache/libtorch')) : []);

async function refused(options: FetchOptions, code: string, message: RegExp): Promise<void> {
  await assert.rejects(fetched(options), (error: NodeJS.ErrnoException) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
  assert.deepEqual(cached(), [], 'something was left in the cache');
}

describe('fetch takes libtorch from', () => {
  it('a wheel: libraries, headers and the version, without the Python sources', async () => {
    const result = await fetched({ variant: 'cpu', from: archive(wheelTree()) });
    const target = join(root, 'cache/libtorch/2.13.0+cpu');
    assert.deepEqual(result, { dir: join(target, 'torch/lib'), version: '2.13.0', flavour: 'cpu' });
    const files = readdirSync(target, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    assert.deepEqual(files.map((file) => file.name).sort(), [
      'TorchConfigVersion.cmake',
      'fetched.json',
      'libc10.so',
      'libtorch.so',
      'libtorch_cpu.so',
      'torch.h',
      'version.py',
    ]);
    assert.deepEqual(readFileSync(join(result.dir, 'libtorch_cpu.so')), wheelTree()['torch/lib/libtorch_cpu.so']);
    assert.deepEqual(cached(), ['2.13.0+cpu'], 'temporary files were left');
  });

  it('a libtorch zip', async () => {
    const { dir } = await fetched({ from: archive(zipTree(), 'libtorch.zip') });
    assert.equal(dir, join(root, 'cache/libtorch/2.13.0+cpu/libtorch/lib'));
  });

  it('a wheel without headers, once: asked for again it is the same copy', async () => {
    const files = Object.entries(wheelTree()).filter(([name]) => !name.startsWith('torch/include/'));
    const from = archive(Object.fromEntries(files));
    const { dir } = await fetched({ from });
    const before = statSync(dir).ino;
    assert.equal(statSync((await fetched({ from })).dir).ino, before, 'it was unpacked again');
  });

  it('a folder, by copying it', async () => {
    const folder = writeTree(join(root, 'site-packages'), wheelTree());
    const { dir } = await fetched({ from: folder });
    rmSync(folder, { recursive: true });
    assert.ok(statSync(join(dir, 'libtorch_cpu.so')).isFile());
    assert.ok(!existsSync(join(dir, '../nn')));
  });

  it('an archive of its own where the python3 on PATH is none that may be run', async () => {
    const bin = writeTree(join(root, 'bin'), { python3: 'no program' });
    machine.env['PATH'] = bin;
    assert.equal(await findPip(machine.env), null);
  });

  it('a URL', async () => {
    const wheel = readFileSync(archive(wheelTree()));
    const server = createServer((request, response) => {
      response.statusCode = request.url === '/torch.whl' ? 200 : 404;
      response.end(request.url === '/torch.whl' ? wheel : 'no');
    }).listen(0, '127.0.0.1');
    try {
      await new Promise((resolve) => server.once('listening', resolve));
      const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      await refused({ from: `${base}/other.whl` }, 'ERR_CLIPN_FETCH', /the server answered 404/);
      assert.equal((await fetched({ from: `${base}/torch.whl` })).version, '2.13.0');
    } finally {
      server.close();
    }
  });

  it('pip, asking for the CPU build and passing on what pip says', async () => {
    const wheel = archive(wheelTree());
    fakePip(`echo "$@" > ${root}/arguments; while [ "$1" != -d ]; do shift; done
      echo "Downloading torch (1 kB)"; cp ${wheel} "$2"/`);
    const said: string[] = [];
    await fetched({ onProgress: ({ message }) => said.push(message) });
    assert.deepEqual(cached(), ['2.13.0+cpu']);
    assert.match(
      readFileSync(join(root, 'arguments'), 'utf8'),
      /^-m pip download --no-deps --only-binary=:all: --python-version 3\.11 --platform manylinux_2_28_x86_64 .*torch==2\.13\.0\+cpu$/m,
    );
    assert.ok(said.includes('Downloading torch (1 kB)'), said.join('\n'));
  });

  it('pip, the CUDA build: its size is said first, torch/ and nvidia/ lie side by side', async () => {
    fakeCudaPip({});
    const said: string[] = [];
    const { dir, ...rest } = await fetched({ variant: 'cu130', onProgress: ({ message }) => said.push(message) });
    assert.match(said[0]!, /^libtorch 2\.14\.1\+cu130: 2\.6 GB to download, 4\.2 GB on disk$/);
    assert.deepEqual(rest, { version: '2.14.1', flavour: 'cu130' });
    assert.equal(dir, join(root, 'cache/libtorch/2.14.1+cu130/torch/lib'));
    assert.ok(existsSync(join(dir, '../../nvidia/cu13/lib/libcusparse.so.12')));
    assert.ok(!existsSync(join(dir, '../../nvidia/cu13/include')), 'headers of CUDA stay behind');
    const [first, second] = readFileSync(join(root, 'arguments'), 'utf8').trim().split('\n');
    assert.match(
      first!,
      /--no-deps .*--extra-index-url https:\/\/download\.pytorch\.org\/whl\/cu130 .*torch==2\.14\.1$/,
    );
    assert.match(second!, /cuda-toolkit\[cusparse\]==13\.0\.3$/);
    assert.doesNotMatch(second!, /--no-deps/);
    machine.env['CLIPN_LIBTORCH_MIRROR'] = 'http://mirror.invalid'; // of the CPU's wheel: nothing to this one
    await fetched({ variant: 'cu130' });
    assert.equal(readFileSync(join(root, 'arguments'), 'utf8').trim().split('\n').length, 2, 'pip was asked again');
    assert.deepEqual(cached(), ['2.14.1+cu130']);
  });

  it('the cache at once when it is there: nothing is unpacked and pip is not asked', async () => {
    const from = archive(wheelTree());
    const { dir } = await fetched({ from });
    const before = statSync(join(dir, 'libtorch_cpu.so')).ino;
    await fetched({ from });
    await fetched({});
    assert.equal(statSync(join(dir, 'libtorch_cpu.so')).ino, before);
  });

  it('the file again when the copy in the cache is damaged', async () => {
    const from = archive(wheelTree());
    const { dir } = await fetched({ from });
    rmSync(join(dir, 'libc10.so'));
    await fetched({ from });
    assert.ok(existsSync(join(dir, 'libc10.so')));
    assert.deepEqual(cached(), ['2.13.0+cpu']);
  });
});

/** A pip that has torch 2.14.1+cu130, which requires `requires`, and for that a wheel with one library. */
function fakeCudaPip({
  requires = 'cuda-toolkit[cusparse]==13.0.3; platform_system == "Linux"',
  library = 'libcusparse.so.12',
}) {
  const metadata = `Name: torch\nRequires-Dist: sympy>=1.13\n${requires === '' ? '' : `Requires-Dist: ${requires}\n`}`;
  const tree = { ...wheelTree('2.14.1+cu130', { cuda: true }), 'torch-2.14.1.dist-info/METADATA': metadata };
  const torch = archive(tree, 'torch-2.14.1-cp311-test.whl');
  const nvidia = archive(
    { [`nvidia/cu13/lib/${library}`]: elf(), 'nvidia/cu13/include/x.h': '' },
    'nvidia_cusparse-1-test.whl',
  );
  fakePip(`echo "$@" >> ${root}/arguments
    case "$*" in *torch==*) wheel=${torch};; *) wheel=${nvidia};; esac
    while [ "$1" != -d ]; do shift; done
    echo "Downloading $(basename $wheel)"; cp $wheel "$2"/`);
}

/** A python3 on PATH whose pip runs this shell script. */
function fakePip(script: string): void {
  const bin = writeTree(join(root, 'bin'), { python3: `#!/bin/sh\n[ "$3" = --version ] && exit 0\n${script}\n` });
  chmodSync(join(bin, 'python3'), 0o755);
  machine.env['PATH'] = `${bin}:/usr/bin:/bin`;
}

describe('fetch refuses, leaving nothing behind,', () => {
  it('a CUDA wheel for the variant cpu, by its libraries', async () => {
    const from = archive(wheelTree('2.13.0', { cuda: true }));
    await refused({ variant: 'cpu', from }, 'ERR_CLIPN_FETCH', /not a CPU build .*torch\/lib\/libtorch_cuda\.so/);
  });

  it('a CUDA wheel for the variant cpu, by its version', async () => {
    await refused({ from: archive(wheelTree('2.13.0+cu130')) }, 'ERR_CLIPN_FETCH', /not a CPU build .*cu130/);
  });

  it('a folder with a CUDA build', async () => {
    const from = writeTree(join(root, 'site-packages'), wheelTree('2.13.0+cu130', { cuda: true }));
    await refused({ from }, 'ERR_CLIPN_FETCH', /not a CPU build .*libtorch_cuda\.so/);
  });

  it('files of the user for the variant cu130, and variants that there are not', async () => {
    const message = /many files, which pip collects/;
    await refused({ variant: 'cu130', from: archive(wheelTree()) }, 'ERR_CLIPN_INVALID_ARG', message);
    await refused({ variant: 'cu130', sha256: '0'.repeat(64) }, 'ERR_CLIPN_INVALID_ARG', message);
    await refused({ variant: 'cu121' }, 'ERR_CLIPN_INVALID_ARG', /no variant 'cu121'/);
  });

  it('a wheel of pip that is no CUDA build, and nvidia wheels that lack a library', async () => {
    fakeCudaPip({ requires: '' });
    await refused({ variant: 'cu130' }, 'ERR_CLIPN_FETCH', /requires no nvidia package/);
    fakeCudaPip({ library: 'libother.so.1' });
    await refused({ variant: 'cu130' }, 'ERR_CLIPN_FETCH', /libcusparse\.so\.12 not found/);
  });

  it('an unknown variant and a malformed hash', async () => {
    await refused({ variant: 'gpu' }, 'ERR_CLIPN_INVALID_ARG', /no variant 'gpu'/);
    await refused({ sha256: 'abc' }, 'ERR_CLIPN_INVALID_ARG', /sha256 is 'abc'/);
  });

  it('what looks like a URL and is none, without telling its password', async () => {
    for (const from of ['http://', 'https://[x', 'file://host/a.whl', 'https://user:a%zz@host/x.whl']) {
      await refused({ from }, 'ERR_CLIPN_INVALID_ARG', /^from is '[^@]*', which is no address of a file\.$/);
    }
    await refused({ mirror: 'https://a:b@[x' }, 'ERR_CLIPN_INVALID_ARG', /^mirror is 'https:\/\/\[x'\.$/);
  });

  it('a hash for a folder, which has none', async () => {
    const from = writeTree(join(root, 'site-packages'), wheelTree());
    await refused({ from, sha256: '0'.repeat(64) }, 'ERR_CLIPN_INVALID_ARG', /site-packages is a folder/);
  });

  it('a file with another hash than the one given; the right one passes', async () => {
    const from = archive(wheelTree());
    await refused({ from, sha256: '0'.repeat(64) }, 'ERR_CLIPN_FETCH_HASH', new RegExp(sha256(from)));
    await fetched({ from, sha256: sha256(from).toUpperCase() });
    assert.deepEqual(cached(), ['2.13.0+cpu']);
  });

  it('a file that bears the name of a published one but not its content', async () => {
    const from = archive(wheelTree(), 'torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl');
    await refused({ from }, 'ERR_CLIPN_FETCH_HASH', /was expected/);
  });

  it('another minor version, unless it is asked for', async () => {
    const from = archive(wheelTree('2.14.1+cpu'));
    await refused({ from }, 'ERR_CLIPN_LIBTORCH_VERSION', /holds libtorch 2\.14\.1; 2\.13\.x was expected/);
    assert.equal((await fetched({ from, version: '2.14.1' })).version, '2.14.1');
  });

  for (const path of ['../outside.so', 'torch/lib/../../../../outside.so', '/tmp/clipn-outside.so']) {
    it(`an archive that would write to ${path}`, async () => {
      const from = archive({ ...wheelTree(), [path]: 'evil' });
      await refused({ from }, 'ERR_CLIPN_FETCH', /cannot be unpacked: (invalid relative path|absolute path)/);
      assert.ok(!readdirSync(root).includes('outside.so') && !existsSync('/tmp/clipn-outside.so'));
    });
  }

  it('a cut wheel, a damaged one, a text file, an archive without libtorch, and a missing file', async () => {
    const whole = zip(wheelTree());
    writeFileSync(join(root, 'cut.whl'), whole.subarray(0, whole.length / 2));
    await refused({ from: join(root, 'cut.whl') }, 'ERR_CLIPN_FETCH', /cannot be unpacked/);
    const damaged = Buffer.from(whole);
    damaged.fill(0, 0, 4); // signature of the first entry
    writeFileSync(join(root, 'damaged.whl'), damaged);
    await refused({ from: join(root, 'damaged.whl') }, 'ERR_CLIPN_FETCH', /cannot be unpacked/);
    const flipped = Buffer.from(whole);
    flipped[whole.indexOf('__version__') + 15]! ^= 1; // a digit of the version, inside an uncompressed entry
    writeFileSync(join(root, 'flipped.whl'), flipped);
    await refused({ from: join(root, 'flipped.whl') }, 'ERR_CLIPN_FETCH', /checksum of torch\/version\.py is wrong/);
    writeFileSync(join(root, 'text.whl'), 'not a zip');
    await refused({ from: join(root, 'text.whl') }, 'ERR_CLIPN_FETCH', /cannot be unpacked/);
    await refused({ from: archive({ 'numpy/a.py': '' }) }, 'ERR_CLIPN_FETCH', /no torch\/lib/);
    await refused({ from: join(root, 'nowhere.whl') }, 'ERR_CLIPN_FETCH', /does not exist/);
  });

  it('to go on when pip fails, with pip’s last words', async () => {
    fakePip('echo "Looking in indexes"; echo "ERROR: No matching distribution found" >&2; exit 1');
    await refused(
      {},
      'ERR_CLIPN_FETCH',
      /pip could not download torch==2\.13\.0\+cpu:[\s\S]*ERROR: No matching distribution/,
    );
    await refused(
      { variant: 'cu130' },
      'ERR_CLIPN_FETCH',
      /^pip could not download torch==[^ ]+: Looking in indexes; ERROR: No matching distribution found$/,
    );
  });

  it('to go on when aborted, while unpacking and while pip runs, with the signal’s reason', async () => {
    const reason = new Error('enough');
    const unpacking = new AbortController();
    const onProgress: FetchOptions['onProgress'] = ({ phase }) => {
      if (phase === 'unpack') unpacking.abort(reason);
    };
    await assert.rejects(fetched({ from: archive(wheelTree()), onProgress, signal: unpacking.signal }), reason);
    assert.deepEqual(cached(), []);

    fakePip('echo "Downloading torch"; exec sleep 60');
    const waiting = new AbortController();
    const stop: FetchOptions['onProgress'] = ({ message }) => {
      if (message === 'Downloading torch') waiting.abort(reason);
    };
    await assert.rejects(fetched({ onProgress: stop, signal: waiting.signal }), reason);
    assert.deepEqual(cached(), []);
  });
});
