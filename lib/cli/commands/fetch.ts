/** `fetch`: libtorch into the cache folder. */
import { fetchLibtorch } from '../../libtorch/fetch';
import type { Args, Command } from '../command';
import { Progress } from '../terminal';

export const fetchCommand: Command = {
  summary: 'Put a libtorch into the cache folder; a copy that is there is reused.',
  usage: '[--variant cpu|cu130] [--from PATH|URL] [--mirror URL] [--sha256 H]',
  operands: 'none',
  flags: {
    variant: { value: 'V', doc: 'cpu, the default, or cu130: 2.6 GB to download, 4.2 GB on disk' },
    from: { value: 'PATH|URL', doc: 'a wheel, zip or folder of libtorch, instead of the published one' },
    mirror: { value: 'URL', doc: 'instead of https://download.pytorch.org/whl; CLIPN_LIBTORCH_MIRROR too' },
    sha256: { value: 'H', doc: 'expected SHA-256 of the file' },
    json: { doc: 'one JSON object' },
  },
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const progress = new Progress();
  const fetched = await fetchLibtorch({
    variant: args.text('variant'),
    from: args.text('from'),
    mirror: args.text('mirror'),
    sha256: args.text('sha256'),
    signal,
    onProgress: ({ message, done, total }) =>
      progress.show(done && total ? `${message} ${Math.floor((100 * done) / total)} %` : message),
  });
  progress.done();
  process.stdout.write(
    args.on('json')
      ? `${JSON.stringify(fetched)}\n`
      : `libtorch ${fetched.version}+${fetched.flavour} in ${fetched.dir}\n`,
  );
  return 0;
}
