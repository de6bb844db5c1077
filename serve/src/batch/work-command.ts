/** `work`: a worker of a batch. */
import { Command, Option } from 'commander';
import { numberWithin } from '../detector-flags';
import { loadBatchDetector } from './batch-detector';
import { REDIS_OPTION } from './batch-flags';
import { readManifest } from './manifest';
import { parseRedis } from './queue';
import { openStorage } from './storage';

interface Flags {
  model: string;
  redis: string;
  device: 'auto' | 'cpu' | 'cuda';
  threads: number;
  atOnce: number;
  lock: number;
  grace: number;
  trustedSha256?: string;
  libtorch?: string;
}

export function workCommand(): Command {
  return new Command('work')
    .description('Judge the images of a batch, shard by shard, until all are done; on any number of machines.')
    .argument('<batch>', 'as for enqueue')
    .requiredOption('--model <m>', 'model file, or name of a fetched model: the one that the batch was enqueued for')
    .addOption(REDIS_OPTION())
    .addOption(new Option('--device <device>', 'where to compute').choices(['auto', 'cpu', 'cuda']).default('auto'))
    .option('--threads <n>', 'threads of the model; libtorch chooses when absent', numberWithin(1))
    .option('--at-once <n>', 'shards at the same time', numberWithin(1), 1)
    .option(
      '--lock <seconds>',
      "without a sign of life for this long, a worker's shard goes to others",
      numberWithin(1),
      30,
    )
    .option(
      '--grace <seconds>',
      'on SIGTERM shards may end for this long; then they are handed back',
      numberWithin(0, undefined, false),
      20,
    )
    .option('--trusted-sha256 <hex>', 'refuse the model file unless this is its SHA-256')
    .option('--libtorch <dir>', 'folder of libtorch; found by itself when absent')
    .action(run);
}

const say = (line: string) => process.stderr.write(`${line}\n`);

async function run(address: string, flags: Flags): Promise<void> {
  const redis = parseRedis(flags.redis);
  const storage = openStorage(address);
  const manifest = await readManifest(storage);
  const stop = new AbortController();
  const onSignal = (name: string) => {
    // A second time: at once. Others take its shard when the lock has run out.
    if (stop.signal.aborted) process.exit(1);
    say(`${name}: no more shards are begun`);
    stop.abort();
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  const { model, device, threads, trustedSha256, libtorch } = flags;
  await using batch = await loadBatchDetector(storage, manifest, model, { device, threads, trustedSha256, libtorch });
  say(`batch ${manifest.id}: ${manifest.images} images, ${manifest.shards} shards`);
  // Connections that wait for a Redis that is away keep no process that is done.
  const leave = () => setTimeout(() => process.exit(), 1000).unref();
  const outcome = await (await import('./worker.js'))
    .work({
      storage,
      manifest,
      redis,
      batch,
      atOnce: flags.atOnce,
      lockSeconds: flags.lock,
      graceSeconds: flags.grace,
      stop: stop.signal,
      say,
    })
    .finally(leave);
  const { state, shards, images } = outcome;
  say(`${state === 'done' ? 'the batch is done' : 'stopped'}: ${images} images in ${shards} shards here`);
}
