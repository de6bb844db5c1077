/**
 * Evaluates in a process of its own, which may kill itself on the way: `node --import tsx evaluate-child.ts JSON`.
 * Prints the result.
 */
import { type EvalOptions, evaluate, loadModel } from '../../lib';

async function main(): Promise<void> {
  const {
    killAt,
    model: path,
    ...options
  } = JSON.parse(process.argv[2]!) as EvalOptions & {
    model: string;
    killAt?: number;
  };
  await using model = await loadModel(path, { threads: 1 });
  const result = await evaluate({
    ...options,
    model,
    onProgress: ({ stage, done }) => {
      if (stage === 'features' && done === killAt) process.kill(process.pid, 'SIGKILL');
    },
  });
  process.stdout.write(JSON.stringify(result));
}

main();
