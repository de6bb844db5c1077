/** `triton`: a detector as a model repository. */
import { Command, Option } from 'commander';
import { type ClassFlags, detectorFrom, numberWithin, withClassFlags } from '../detector-flags';
import { writeRepository } from './repository';

/** Triton's integers have 32 bits. */
const MOST = 2 ** 31 - 1;

interface TritonFlags extends ClassFlags {
  out: string;
  name: string;
  modelVersion: number;
  input: 'pixels' | 'normalised';
  instanceDevice: 'cpu' | 'gpu';
  instances: number;
  maxBatch: number;
  queueDelay: number;
}

export function tritonCommand(): Command {
  return withClassFlags(new Command('triton'))
    .description('Write a model repository for Triton: model, labels and configuration, ready to mount.')
    .requiredOption('--out <folder>', 'the repository; a model is a folder in it')
    .option('--name <name>', "the model's name in Triton", 'clipn')
    .option('--model-version <n>', 'version folder; Triton serves the highest', numberWithin(1, MOST), 1)
    .addOption(
      new Option('--input <kind>', 'RGB bytes, or numbers that are normalised')
        .choices(['pixels', 'normalised'])
        .default('pixels'),
    )
    .addOption(new Option('--instance-device <d>', 'where Triton runs it').choices(['cpu', 'gpu']).default('cpu'))
    .option('--instances <n>', 'copies that run at the same time; on GPUs on each', numberWithin(1, MOST), 1)
    .option('--max-batch <n>', 'images in one run at most', numberWithin(1, MOST), 16)
    .option('--queue-delay <µs>', 'how long a request waits for others, in µs', numberWithin(0, MOST), 2000)
    .action(run);
}

async function run(flags: TritonFlags): Promise<void> {
  const { out, name, modelVersion: version, input, instanceDevice: device, instances, maxBatch, queueDelay } = flags;
  // Only labels are encoded here.
  await using detector = await detectorFrom({ ...flags, device: 'cpu' });
  for (const warning of detector.warnings) process.stderr.write(`note: ${warning}\n`);
  const options = { name, version, device, instances, maxBatch, queueDelay };
  const written = await writeRepository(detector, out, options, { input, trustedSha256: flags.trustedSha256 });
  process.stdout.write(written.map((file) => `${file}\n`).join(''));
}
