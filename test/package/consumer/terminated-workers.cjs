/** Ends workers that hold a model, one after another; prints how many MB this process grew from the second to the last. */
const { isMainThread, parentPort, Worker } = require('node:worker_threads');

const [model] = process.argv.slice(2);
const WORKERS = 6;

async function main() {
  const sizes = [];
  for (let i = 0; i < WORKERS; i++) {
    const worker = new Worker(__filename, { argv: [model] });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await worker.terminate();
    sizes.push(process.memoryUsage().rss / 1e6);
  }
  console.log(sizes.at(-1) - sizes[1]);
}

if (isMainThread) main();
else require('clipn-native').loadModel(model).then(() => parentPort.postMessage('loaded'));
