/** `fetch`: libtorch, or a model of the Hugging Face hub, into the cache folder. */
import { shownName } from '../../hub/name';
import { fetchLibtorch } from '../../libtorch/fetch';
import { fetchModel } from '../../weights/fetch-model';
import { describeFetched } from '../../weights/model-cache';
import { STORED_DTYPES, type StoredDtype } from '../../weights/model-config';
import { type Args, type Command, UsageError } from '../command';
import { showFetch } from '../fetch-progress';
import { Progress, say, sayJson } from '../terminal';

const LIBTORCH_FLAGS = {
  variant: { value: 'V', doc: 'libtorch: cpu, the default, or cu130: 2.6 GB to download, 4.2 GB on disk' },
  from: { value: 'PATH|URL', doc: 'libtorch: a wheel, zip or folder of it, instead of the published one' },
  mirror: { value: 'URL', doc: 'libtorch: instead of https://download.pytorch.org/whl; CLIPN_LIBTORCH_MIRROR too' },
  sha256: { value: 'H', doc: 'libtorch: expected SHA-256 of the file' },
};

const MODEL_FLAGS = {
  revision: { value: 'R', doc: 'model: branch, tag or commit, default main; also as OWNER/NAME@R' },
  dtype: { value: 'T', choices: STORED_DTYPES, doc: 'model: precision of the stored weights, default fp32' },
};

export const fetchCommand: Command = {
  summary: 'Put libtorch, or a CLIP of the Hugging Face hub, into the cache folder; what is there is reused.',
  usage: '[libtorch] [--variant cpu|cu130] [--from PATH|URL] | model OWNER/NAME [--revision R] [--dtype T]',
  operands: 'any',
  flags: { ...LIBTORCH_FLAGS, ...MODEL_FLAGS, json: { doc: 'one JSON object' } },
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const [what = 'libtorch', name, ...more] = args.operands;
  const foreign = Object.keys(what === 'model' ? LIBTORCH_FLAGS : MODEL_FLAGS).find(
    (flag) => args.text(flag) !== undefined,
  );
  if (what !== 'libtorch' && what !== 'model') {
    throw new UsageError(
      `fetch takes libtorch or model, not ${what}${what.includes('/') ? `; did you mean: fetch model ${what}` : ''}`,
    );
  }
  if (foreign !== undefined) throw new UsageError(`--${foreign} is not for fetch ${what}`);
  if (what === 'model' && name === undefined) throw new UsageError('give the name of a model: OWNER/NAME');
  const unexpected = what === 'model' ? more[0] : name;
  if (unexpected !== undefined) throw new UsageError(`unexpected argument ${unexpected}`);
  const progress = new Progress();
  await (what === 'model' ? model(name!, args, progress, signal) : libtorch(args, progress, signal));
  return 0;
}

async function libtorch(args: Args, progress: Progress, signal: AbortSignal): Promise<void> {
  const fetched = await fetchLibtorch({
    variant: args.text('variant'),
    from: args.text('from'),
    mirror: args.text('mirror'),
    sha256: args.text('sha256'),
    signal,
    onProgress: showFetch(progress),
  });
  progress.done();
  if (args.on('json')) sayJson(fetched);
  else say(`libtorch ${fetched.version}+${fetched.flavour} in ${fetched.dir}`);
}

async function model(name: string, args: Args, progress: Progress, signal: AbortSignal): Promise<void> {
  const fetched = await fetchModel(name, {
    revision: args.text('revision'),
    dtype: args.text('dtype') as StoredDtype | undefined,
    signal,
    onProgress: showFetch(progress),
  });
  progress.done();
  if (args.on('json')) {
    sayJson(fetched);
    return;
  }
  const told = describeFetched(fetched) + (fetched.alreadyThere ? ': already there' : '');
  say(`${told}\n${fetched.path}\nUse it by its name: --model ${shownName(fetched)}`);
}
