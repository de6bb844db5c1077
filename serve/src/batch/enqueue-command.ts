/** `enqueue`: lists of images to a batch. */
import { Command, Option } from 'commander';
import { type DetectorFlags, numberWithin, withDetectorFlags } from '../detector-flags';
import { ServeError } from '../errors';
import { REDIS_OPTION } from './batch-flags';
import { createBatch } from './enqueue';
import { FEATURES, type FeatureType, type Manifest, readManifest, unfinishedShards } from './manifest';
import { addShards, forgetFailed, parseRedis, withQueue } from './queue';
import { openStorage } from './storage';

const DEFAULT_SHARD = 1024;

interface Flags extends Partial<DetectorFlags> {
  redis: string;
  shard: number;
  column?: string;
  setColumn?: string;
  features?: FeatureType;
}

export function enqueueCommand(): Command {
  const command = new Command('enqueue')
    .description(
      'Make a batch of lists of images and put its shards into the queue; without a list: put them there again.',
    )
    .argument('<batch>', 'folder that all workers see, or s3://BUCKET/PREFIX')
    .argument('[lists...]', 'text file with an address a line, .csv file, folder of images, or s3://BUCKET/PREFIX/')
    .addOption(REDIS_OPTION())
    .option('--shard <n>', 'images in a shard', numberWithin(1), DEFAULT_SHARD)
    .option('--column <name>', 'column of .csv files that has the address (default: image)')
    .option(
      '--set-column <name>',
      'column of .csv files that tells what an image belongs to; a column `set` of the results',
    )
    .addOption(new Option('--features <type>', 'also keep features').choices(FEATURES));
  // The model is needed only where there is a list.
  const withFlags = withDetectorFlags(command);
  const model = withFlags.options.find(({ long }) => long === '--model');
  if (model) model.mandatory = false;
  return withFlags.action(run);
}

async function run(address: string, lists: string[], flags: Flags): Promise<void> {
  const redis = parseRedis(flags.redis);
  const storage = openStorage(address);
  let manifest: Manifest;
  if (lists.length === 0) manifest = await readManifest(storage);
  else {
    if (flags.model === undefined) throw new ServeError('ERR_SERVE_USAGE', 'a new batch needs --model');
    const made = await createBatch(storage, flags as DetectorFlags, {
      lists,
      shardImages: flags.shard,
      column: flags.column,
      setColumn: flags.setColumn,
      features: flags.features,
      onOther: (list, count) =>
        process.stderr.write(`note: ${list}: ${count} left out, for their names are not those of images\n`),
    });
    for (const warning of made.warnings) process.stderr.write(`warning: ${warning}\n`);
    manifest = made.manifest;
  }
  const missing = await unfinishedShards(storage, manifest);
  await withQueue(manifest, redis, async (queue) => {
    await forgetFailed(queue);
    await addShards(queue, missing);
  });
  const { images, shards, id } = manifest;
  process.stdout.write(`batch ${id}: ${images} images, ${shards} shards, ${missing.length} of them to be done\n`);
}
