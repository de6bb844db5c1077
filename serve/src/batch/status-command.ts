/** `status`: how far a batch is. */
import { Command } from 'commander';
import { ServeError } from '../errors';
import { REDIS_OPTION } from './batch-flags';
import { finishedShards, readManifest } from './manifest';
import { countsOf, parseRedis, type QueueCounts, withQueue } from './queue';
import { openStorage } from './storage';

export interface Status {
  images: number;
  shards: number;
  done: number;
  /** Of the queue; null when Redis cannot be reached. */
  queue: (QueueCounts & { failures: { shard: number; why: string }[] }) | null;
}

/** Failed shards that are told one by one. */
const TOLD = 10;

export function statusCommand(): Command {
  return new Command('status')
    .description('Tell how far a batch is.')
    .argument('<batch>', 'as for enqueue')
    .addOption(REDIS_OPTION())
    .option('--json', 'one JSON object')
    .action(run);
}

async function run(address: string, flags: { redis: string; json?: boolean }): Promise<void> {
  const storage = openStorage(address);
  const manifest = await readManifest(storage);
  const { images, shards } = manifest;
  let away: string | undefined;
  const queue = await withQueue(manifest, parseRedis(flags.redis), async (open) => {
    const failed = await open.getFailed(0, TOLD - 1);
    const failures = failed.map(({ data, failedReason }) => ({ shard: data.shard, why: failedReason }));
    return { ...(await countsOf(open)), failures };
  }).catch((error: unknown) => {
    if (!(error instanceof ServeError) || error.code !== 'ERR_SERVE_REDIS') throw error;
    away = error.message;
    return null;
  });
  const status: Status = { images, shards, done: (await finishedShards(storage)).size, queue };
  process.stdout.write(`${flags.json ? JSON.stringify(status) : textOf(status, away)}\n`);
}

function textOf({ images, shards, done, queue }: Status, away: string | undefined): string {
  const lines = [`${done} of ${shards} shards done (${images} images listed)`];
  if (queue === null) lines.push(`the queue is unknown: ${away}`);
  else {
    const { waiting, running, failed, failures } = queue;
    lines.push(`waiting ${waiting}, running ${running}, failed ${failed}`);
    for (const { shard, why } of failures) lines.push(`shard ${shard} failed: ${why}`);
  }
  return lines.join('\n');
}
