/**
 * What can be checked of the CUDA side without a GPU: the kernels compile, none spills, the from-features kernel uses the
 * tensor cores, and where a CUDA libtorch is, the core compiles against it and the plugin links.
 *   node scripts/check-cuda.mjs [--all]      --all: for every GPU that is shipped for, and the plugin holds code for each of
 *                                            them and PTX; else for sm_90a alone
 * A disassembler (cuobjdump) is looked for beside nvcc, on PATH and in Triton's Python package. When CI=true pip fetches what
 * is missing but nvcc; else it is named.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { ownUnits } from './compile-database.mjs';
import { compileJobs, inCi, main, output, require, root, run, runAside, runQuietly, Stop } from './steps.mjs';

const KERNELS = ['normalise', 'resize', 'score_features', 'score_fold', 'score_logits'];
const ALL = ['75', '80', '86', '89', '90a', '100', '120'];
const FLAGS = ['-std=c++20', '-O3', '-fmad=false', '-Icpp', '-Icpp/include', '-Icpp/cuda', '-Xptxas', '-v'];

function find(tool) {
  const folders = [process.env.CUDA_HOME, process.env.CUDA_PATH, '/usr/local/cuda'].filter(Boolean);
  const candidates = [tool, ...folders.map((folder) => join(folder, 'bin', tool))];
  return candidates.find((path) => output(path, ['--version']) !== null) ?? null;
}

/** Installs one package without what it needs; our few retries unless the user has set a number. */
function pipInstall(what, folder) {
  const patience = process.env.PIP_RETRIES === undefined ? ['--retries', '2'] : [];
  const quiet = ['-q', '--no-compile', '--disable-pip-version-check', '--root-user-action=ignore', ...patience];
  runQuietly('python3', ['-m', 'pip', 'install', ...quiet, '--no-deps', '--target', folder, what]);
}

/** cuobjdump, with nvdisasm in the same folder; Triton's wheel (250 MB) has both. */
function findDisassembler() {
  const found = find('cuobjdump');
  if (found !== null) return found;
  const inTriton = 'triton/backends/nvidia/bin/cuobjdump';
  const own = 'build/cuda-disassembler';
  if (inCi && !existsSync(join(root, own, inTriton))) pipInstall('triton', own);
  const installed = output('python3', ['-c', 'import importlib.util as u; print(u.find_spec("triton").origin)']);
  const candidates = [join(root, own), ...(installed === null ? [] : [dirname(dirname(installed.trim()))])];
  return (
    candidates.map((folder) => join(folder, inTriton)).find((path) => output(path, ['--version']) !== null) ?? null
  );
}

/** Compiles one kernel file; a spill, a stack frame or a warning is an error. Returns what ptxas says of registers. */
async function compile(nvcc, kernel, architecture, object) {
  const target = `-gencode=arch=compute_${architecture},code=sm_${architecture}`;
  const source = `cpp/cuda/${kernel}.cu`;
  const { status, said: stderr } = await runAside(nvcc, [...FLAGS, target, '-c', source, '-o', object]);
  if (status !== 0) throw new Stop(`${source} does not compile for sm_${architecture}:\n${stderr}`);
  const spilling = [...stderr.matchAll(/(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/g)];
  if (spilling.length === 0) throw new Stop(`ptxas said nothing of ${source}:\n${stderr}`);
  if (spilling.some(([, ...bytes]) => bytes.some((each) => each !== '0')) || /\bwarning\b/.test(stderr)) {
    throw new Stop(`${source} spills or warns for sm_${architecture}:\n${stderr}`);
  }
  const registers = [...stderr.matchAll(/Used (\d+) registers/g)].map(([, count]) => Number(count));
  return `${spilling.length} kernels, at most ${Math.max(...registers)} registers`;
}

/** What cuobjdump, which calls nvdisasm beside it, says of a file. */
function dump(cuobjdump, flag, file) {
  const env = { ...process.env, PATH: `${dirname(cuobjdump)}:${process.env.PATH}` };
  const options = { cwd: root, encoding: 'utf8', env, maxBuffer: 1 << 28 };
  const { status, stdout, stderr } = spawnSync(cuobjdump, [flag, file], options);
  if (status !== 0) throw new Stop(`${cuobjdump} cannot read ${file}: ${stderr}`);
  return stdout;
}

/** Counts instructions of an object file by their first word. */
function instructions(cuobjdump, object) {
  const counts = {};
  for (const [, name] of dump(cuobjdump, '-sass', object).matchAll(
    /^\s+\/\*[0-9a-f]{4,}\*\/\s+(?:@!?U?P\w+\s+)?([A-Z0-9]+)/gm,
  )) {
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

function disassemble(cuobjdump, objectOf, architecture) {
  for (const kernel of KERNELS) {
    const counts = instructions(cuobjdump, objectOf(kernel));
    if (!(counts.EXIT > 0)) throw new Stop(`${cuobjdump} shows no code of ${kernel} for sm_${architecture}`);
    const local = (counts.LDL ?? 0) + (counts.STL ?? 0);
    if (local > 0) throw new Stop(`${kernel} uses local memory on sm_${architecture}: ${local} instructions`);
    if (kernel !== 'score_features') continue;
    // Products: matrix instructions from Ampere on; their operands by way of shared memory, filled asynchronously.
    const expected = architecture === '75' ? ['FFMA'] : ['HMMA', 'LDSM', 'LDGSTS'];
    for (const name of expected) {
      if (!(counts[name] > 0)) throw new Stop(`the from-features kernel has no ${name} on sm_${architecture}`);
    }
    const found = expected.map((name) => `${counts[name]} ${name}`);
    console.log(`  score_features sm_${architecture}: ${found.join(', ')}, no LDL or STL`);
  }
}

/**
 * A torch folder with CUDA's headers and libraries: one that is found, else torch's wheel alone, which is enough to link
 * (550 MB; pip fetches it when CI=true). Null when there is none.
 */
function torchToLink() {
  const { listCandidates } = require('./dist/libtorch/find.js');
  const { CUDA_LIBTORCH_VERSION } = require('./dist/libtorch/release.js');
  const found = listCandidates({ supported: 'any', headers: true }).find(
    ({ usable, flavour }) => usable && flavour.startsWith('cu'),
  );
  if (found !== undefined) return dirname(found.path);
  const own = 'build/cuda-libtorch';
  const complete = existsSync(join(root, own, 'torch/lib/libtorch_cuda.so'));
  if (!complete && inCi) {
    pipInstall(`torch==${CUDA_LIBTORCH_VERSION}`, own);
  }
  return complete || inCi ? join(root, own, 'torch') : null;
}

/** The core's own build for that libtorch takes minutes; that its sources fit is seen by reading them once. */
async function readCore(torch) {
  const { directory, command } = ownUnits().unit;
  const [, used] = /-isystem (\S+)\/include\/torch\/csrc\/api\/include/.exec(command);
  const reading = command
    .replaceAll(used, torch)
    .replace(/ -o \S+/, '')
    .replace(' -c ', ' -fsyntax-only ');
  const { status, said } = await runAside('sh', ['-c', reading], { cwd: directory });
  if (status !== 0) throw new Stop(`the core's sources do not compile against ${torch}:\n${said}`);
  console.log(`  the core's sources compile against ${torch}`);
}

/** Builds the plugin; returns its path. */
function linkPlugin(torch, architectures) {
  const folder = 'build/cuda-plugin';
  const define = (name, value) => `-D${name}=${value}`;
  runQuietly('cmake', [
    '-S',
    '.',
    '-B',
    folder,
    define('CMAKE_BUILD_TYPE', 'Release'),
    define('CLIPN_TORCH', torch),
    define('CLIPN_CUDA_ONLY', 'ON'),
    define('CLIPN_CUDA_ARCHITECTURES', architectures.join(';')),
  ]);
  run('cmake', ['--build', folder, '--parallel', String(compileJobs())]);
  const library = readdirSync(join(root, folder)).find((name) => /^libclipn_cuda-.*\.so$/.test(name));
  if (library === undefined) throw new Stop('the plugin was not built');
  const exported = output('nm', ['-D', '--defined-only', join(folder, library)]) ?? '';
  if (!exported.includes(' clipn_cuda_plugin')) throw new Stop(`${library} does not export clipn_cuda_plugin`);
  console.log(`  ${library} links against ${torch}`);
  return join(folder, library);
}

/** Each kernel file leaves code for every architecture, and PTX of the last for GPUs newer than that. */
function checkFat(cuobjdump, plugin, architectures) {
  const count = (flag, pattern) => [...dump(cuobjdump, flag, plugin).matchAll(pattern)].length;
  for (const architecture of architectures) {
    const found = count('--list-elf', new RegExp(`\\.sm_${architecture}\\.cubin`, 'g'));
    if (found !== KERNELS.length)
      throw new Stop(`${plugin} has ${found} of ${KERNELS.length} kernels for sm_${architecture}`);
  }
  const newest = architectures.at(-1);
  const ptx = count('--list-ptx', new RegExp(`\\.sm_${newest}\\.ptx`, 'g'));
  if (ptx !== KERNELS.length) throw new Stop(`${plugin} has PTX of ${ptx} of ${KERNELS.length} kernels`);
  console.log(`  ${basename(plugin)}: code for sm_${architectures.join(', ')} and PTX of compute_${newest}`);
}

await main(async () => {
  const { values } = parseArgs({ options: { all: { type: 'boolean', default: false } } });
  const nvcc = find('nvcc');
  if (nvcc === null) {
    console.log(
      'SKIPPED: the CUDA kernels are not compiled, for there is no nvcc (CUDA 13) on PATH, in CUDA_HOME or in /usr/local/cuda',
    );
    return;
  }
  const cuobjdump = findDisassembler();
  if (cuobjdump === null) {
    console.log('SKIPPED: the disassembly, for there is no cuobjdump (CUDA toolkit, or `pip install triton`)');
  }
  const folder = 'build/cuda-check';
  mkdirSync(join(root, folder), { recursive: true });
  const architectures = values.all ? ALL : ['90a'];
  for (const architecture of architectures) {
    const objectOf = (kernel) => join(folder, `${kernel}-${architecture}.o`);
    const said = await Promise.all(KERNELS.map((kernel) => compile(nvcc, kernel, architecture, objectOf(kernel))));
    for (const [i, kernel] of KERNELS.entries()) console.log(`  ${kernel} sm_${architecture}: ${said[i]}, no spills`);
    if (cuobjdump !== null) disassemble(cuobjdump, objectOf, architecture);
  }
  const torch = torchToLink();
  if (torch === null) {
    console.log(
      'SKIPPED: linking the plugin, for there is no CUDA libtorch (`npx clipn-native fetch --variant cu130`)',
    );
    return;
  }
  const core = readCore(torch); // one process beside the plugin's
  const plugin = linkPlugin(torch, architectures);
  await core;
  if (values.all && cuobjdump !== null) checkFat(cuobjdump, plugin, architectures);
});
