/**
 * Evaluates in a process of its own, which may kill itself on the way: `node evaluate-child.cjs DIST JSON`.
 * Prints the result.
 */
const [, , library, argument] = process.argv;
const { evaluate, loadModel } = require(library);

async function main() {
  const { killAt, model: path, ...options } = JSON.parse(argument);
  const model = await loadModel(path, { threads: 1 });
  const onProgress = ({ stage, done }) => {
    if (stage === 'features' && done === killAt) process.kill(process.pid, 'SIGKILL');
  };
  const result = await evaluate({ ...options, model, onProgress });
  await model.close();
  process.stdout.write(JSON.stringify(result));
}

main();
