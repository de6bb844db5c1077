/** `collect`: results of all shards to one table. */
import { Command } from 'commander';
import { ServeError } from '../errors';
import { collect, type Part } from './collect';
import { readManifest } from './manifest';
import { isS3 } from './s3';
import { openStorage } from './storage';

export function collectCommand(): Command {
  return new Command('collect')
    .description(
      'Write results.parquet, a row for each distinct image, and dead.parquet, those that could not be judged.',
    )
    .argument('<batch>', 'as for enqueue')
    .option('--out <dir>', 'folder for them; the batch itself when absent')
    .option('--part <i/n>', 'only the images whose SHA-256 falls into this one of n equal parts', partOf)
    .action(run);
}

/** @throws ERR_SERVE_USAGE unless it is i/n */
function partOf(text: string): Part {
  const [, part, of] = (/^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? []).map(Number);
  if (part !== undefined && of !== undefined && part >= 1 && part <= of) return { part, of };
  throw new ServeError('ERR_SERVE_USAGE', `--part is i/n, such as 1/16, not '${text}'`);
}

async function run(address: string, { out, part }: { out?: string; part?: Part }): Promise<void> {
  const storage = openStorage(address);
  if (out === undefined && isS3(address)) {
    throw new ServeError('ERR_SERVE_USAGE', 'a batch in a store is collected into a folder: --out DIR');
  }
  const { listed, rows, dead, files } = await collect(storage, await readManifest(storage), out ?? address, part);
  process.stdout.write(
    `${listed} images listed: ${rows} rows in ${files.results}, ${dead} dead letters in ${files.dead}\n`,
  );
}
