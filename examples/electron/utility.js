/** Start of the utility process: the worker, with Electron's port to the main process as its line out. */
const { createWorker } = require('./worker');

const work = createWorker((event) => process.parentPort.postMessage(event));
process.parentPort.on('message', ({ data }) => work(data));
