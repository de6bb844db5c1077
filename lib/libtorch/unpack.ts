/** Takes out of a torch wheel, a libtorch zip or an installed torch what running and compiling need, and nothing else. */
import { createWriteStream, existsSync, statSync } from 'node:fs';
import { cp, readdir } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import { ClipnError } from '../base/errors';
import { makeFolder } from '../base/make-folder';
import { openZip, type ZipEntry, type ZipFile } from '../base/zip-file';

/** How much is done, and of how much: bytes of an archive, parts of a folder. */
export type OnBytes = (done: number, total: number) => void;

/** Far above any libtorch for a CPU, which has 13,000 files and unpacks 190 MB to 510 MB. */
const MAX_ENTRIES = 100_000;
const MAX_BYTES = 4 * 2 ** 30;
const MAX_RATIO = 100;

/** Libraries, headers, CMake files and the file that tells the version; the Python sources stay behind. */
const NEEDED =
  /^(?:(?:torch|libtorch)\/(?:lib\/[^/]+\.(?:so[.\d]*|dylib)|include\/.+|share\/cmake\/.+|version\.py|build-version)|torch\.libs\/[^/]+)$/;

export function notCpu(source: string, why: string): ClipnError {
  return new ClipnError(
    'ERR_CLIPN_FETCH',
    `${source} is not a CPU build of libtorch: ${why}; but variant 'cpu' was asked for.`,
    {
      hint: 'Pass a wheel or zip whose version ends in +cpu, or run `npx clipn-native fetch --variant cpu` without --from.',
    },
  );
}

/**
 * Unpacks a wheel or zip into `target`, keeping its layout.
 *
 * @throws ERR_CLIPN_FETCH when it is no zip, holds no libtorch or a CUDA one, or is what no packer of libtorch writes
 *   (`hostility`), all before anything is written; when it is damaged.
 */
export async function unpackLibtorch(
  archive: string,
  target: string,
  report: OnBytes,
  signal?: AbortSignal,
): Promise<void> {
  await unpack(archive, target, { wanted: NEEDED, cuda: false }, report, signal);
}

/** Libraries of NVIDIA's wheels; what torch/ finds beside itself. */
const NVIDIA = /^nvidia\/.+\.so[.\d]*$/;

/** As `unpackLibtorch`, for torch's CUDA wheel and the nvidia wheels that it requires. @throws ERR_CLIPN_FETCH */
export async function unpackCudaWheel(
  archive: string,
  target: string,
  report: OnBytes,
  signal?: AbortSignal,
): Promise<void> {
  const wanted = new RegExp(`${NEEDED.source}|${NVIDIA.source}`);
  await unpack(archive, target, { wanted, cuda: true }, report, signal);
}

/** The text of the first entry whose name matches; null when none does. @throws ERR_CLIPN_FETCH */
export async function readEntry(archive: string, pattern: RegExp): Promise<string | null> {
  let text: string | null = null;
  await visit(archive, async (entries, openStream) => {
    const entry = entries.find(({ fileName }) => pattern.test(fileName));
    if (entry === undefined || entry.uncompressedSize > 1 << 20) return;
    text = '';
    for await (const chunk of await openStream(entry)) text += (chunk as Buffer).toString('utf8');
  });
  return text;
}

type Visit = (
  entries: ZipEntry[],
  openStream: (entry: ZipEntry) => Promise<Readable>,
  broken: (error: unknown) => ClipnError,
) => Promise<void>;

/** Opens a zip, judges its directory and hands it over. */
async function visit(archive: string, use: Visit): Promise<void> {
  const broken = (error: unknown) =>
    new ClipnError('ERR_CLIPN_FETCH', `${archive} cannot be unpacked: ${(error as Error).message}`, {
      cause: error,
      hint: 'Pass a torch wheel (.whl) or a libtorch zip; if it is one, it is damaged: fetch it again.',
    });
  // Entries are streamed later than they are listed, so the file must stay open. yauzl refuses absolute paths, '..',
  // and, when strict, backslashes; and it ends a stream that is longer or shorter than its entry says.
  const options = { lazyEntries: true, autoClose: false, strictFileNames: true };
  const zip = await openZip(archive, options).catch((error: unknown) => {
    throw (error as NodeJS.ErrnoException).code === undefined ? broken(error) : error;
  });
  try {
    const entries = await listEntries(zip).catch((error: unknown) => {
      throw broken(error);
    });
    const reason = hostility(entries, zip.fileSize);
    if (reason !== null) throw broken(new Error(reason));
    await use(entries, (entry) => zip.openReadStreamPromise(entry), broken);
  } finally {
    zip.close();
  }
}

async function unpack(
  archive: string,
  target: string,
  { wanted, cuda }: { wanted: RegExp; cuda: boolean },
  report: OnBytes,
  signal?: AbortSignal,
): Promise<void> {
  await visit(archive, async (entries, openStream, broken) => {
    const foreign = entries.find((entry) => /(^|\/)libtorch_(cuda|hip)\.so$/.test(entry.fileName));
    if (foreign !== undefined && !cuda) throw notCpu(archive, `it holds ${foreign.fileName}`);
    const needed = entries.filter((entry) => wanted.test(entry.fileName) && !entry.fileName.endsWith('/'));
    if (needed.length === 0 && !cuda) throw broken(new Error('it holds no torch/lib or libtorch/lib'));

    const total = needed.reduce((sum, entry) => sum + entry.uncompressedSize, 0);
    let done = 0;
    for (const entry of needed) {
      signal?.throwIfAborted();
      const path = resolve(target, entry.fileName);
      if (!path.startsWith(resolve(target) + sep)) throw broken(new Error(`${entry.fileName} lies outside`));
      await makeFolder(dirname(path)).catch((error: NodeJS.ErrnoException) => {
        throw isCollision(error) ? broken(error) : error;
      });
      const stream = await openStream(entry).catch((error: unknown) => {
        throw broken(error);
      });
      let checksum = 0; // yauzl checks sizes only
      const counted = async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          checksum = crc32(chunk, checksum);
          done += chunk.length;
          report(done, total);
          yield chunk;
        }
      };
      const file = createWriteStream(path, { flags: 'wx' });
      await pipeline(stream, counted, file, { signal }).catch((error: NodeJS.ErrnoException) => {
        // A system error of the writing side (a full disk) is not the archive's fault; zlib's codes start with Z_.
        const ofSystem = error.code !== undefined && !error.code.startsWith('Z_') && !isCollision(error);
        throw signal?.aborted || ofSystem ? error : broken(error);
      });
      if (checksum !== entry.crc32) throw broken(new Error(`the checksum of ${entry.fileName} is wrong`));
    }
  });
}

/** What makes the archive one to refuse, judged by its directory alone; null when nothing does. */
function hostility(entries: ZipEntry[], fileSize: number): string | null {
  const names = new Set<string>();
  let packed = 0;
  let unpacked = 0;
  for (const { fileName, generalPurposeBitFlag, externalFileAttributes, compressedSize, uncompressedSize } of entries) {
    if (names.has(fileName)) return `it holds ${fileName} twice`;
    names.add(fileName);
    if (fileName.includes('\0')) return `a file name holds a NUL: ${JSON.stringify(fileName)}`;
    if ((generalPurposeBitFlag & 1) !== 0) return `${fileName} is encrypted`;
    // Upper half: Unix mode, 0 when the packer gave none. Links and devices have no place here.
    const type = (externalFileAttributes >>> 16) & 0o170000;
    if (![0, 0o100000, 0o040000].includes(type))
      return `${fileName} is neither a file nor a folder, but a link or device`;
    packed += compressedSize;
    unpacked += uncompressedSize;
  }
  if (packed > fileSize) return 'its entries overlap: together they are longer than the file';
  if (unpacked > MAX_BYTES) return `it would unpack to ${unpacked} bytes; at most ${MAX_BYTES} are taken`;
  if (unpacked > MAX_RATIO * fileSize) return `it would unpack to ${unpacked} bytes, over ${MAX_RATIO} times its size`;
  return null;
}

/** Whether a path is taken already, e.g. by a name that differs in case or by a file where a folder should be. */
function isCollision(error: NodeJS.ErrnoException): boolean {
  return ['EEXIST', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG'].includes(error.code ?? '');
}

async function listEntries(zip: ZipFile): Promise<ZipEntry[]> {
  if (zip.entryCount > MAX_ENTRIES) throw new Error(`it says that it holds ${zip.entryCount} entries`);
  return await new Promise((resolveEntries, reject) => {
    const entries: ZipEntry[] = [];
    zip.on('entry', (entry: ZipEntry) => {
      entries.push(entry);
      zip.readEntry();
    });
    zip.on('end', () => resolveEntries(entries));
    zip.on('error', reject);
    zip.readEntry();
  });
}

/**
 * Copies the same parts of an unpacked libtorch or an installed torch folder into `target`, in a wheel's layout.
 *
 * @throws ERR_CLIPN_FETCH when the folder holds no libtorch or a CUDA one.
 */
export async function copyLibtorch(
  folder: string,
  target: string,
  report: OnBytes,
  signal?: AbortSignal,
): Promise<void> {
  const candidates = [
    folder,
    join(folder, 'torch'),
    join(folder, 'libtorch'),
    ...(basename(folder) === 'lib' ? [dirname(folder)] : []),
  ];
  const root = candidates.find((path) => existsSync(join(path, 'lib')) && statSync(join(path, 'lib')).isDirectory());
  if (root === undefined) {
    throw new ClipnError('ERR_CLIPN_FETCH', `${folder} holds no libtorch: there is no lib folder in it.`, {
      hint: 'Pass a libtorch root or a wheel’s torch folder.',
    });
  }
  const names = await readdir(join(root, 'lib'));
  const cuda = names.find((name) => /^libtorch_(cuda|hip)\.so$/.test(name));
  if (cuda !== undefined) throw notCpu(folder, `it holds lib/${cuda}`);

  const parts = [
    ...names.map((name) => [join(root, 'lib', name), `torch/lib/${name}`] as const),
    ...['include', 'share/cmake', 'version.py', 'build-version'].map(
      (part) => [join(root, part), `torch/${part}`] as const,
    ),
    [join(dirname(root), 'torch.libs'), 'torch.libs'] as const,
  ].filter(([from, to]) => existsSync(from) && (!to.startsWith('torch/lib/') || NEEDED.test(to)));
  let done = 0;
  for (const [from, to] of parts) {
    signal?.throwIfAborted();
    await makeFolder(dirname(join(target, to)));
    await cp(from, join(target, to), { recursive: true, dereference: true });
    done += 1;
    report(done, parts.length);
  }
}
