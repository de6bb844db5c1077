/** POST an image as the body, get its verdict as JSON:  node server.js MODEL LABEL… */
const { createServer } = require('node:http');
const { PassThrough } = require('node:stream');
const { loadDetector } = require('clipn-native');

const LIMITS = { limitBytes: 20e6, limitPixels: 50e6, queue: { max: 64, whenFull: 'reject' } };
const STATUS = {
  ERR_CLIPN_IMAGE_DECODE: 422,
  ERR_CLIPN_IMAGE_TOO_LARGE: 413,
  ERR_CLIPN_QUEUE_FULL: 503,
  ERR_CLIPN_IO: 503,
};

async function judge(detector, request, response) {
  const answer = (status, body) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  if (request.method !== 'POST') return answer(405, { error: 'POST an image' });
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  try {
    const body = request.pipe(new PassThrough()); // a refused body is destroyed, and the request's socket with it
    const { verdict, label, scores } = await detector.check(body, { signal: gone.signal });
    answer(200, { verdict, label, score: scores.atd });
  } catch (error) {
    request.unpipe().resume(); // the rest is read and dropped: who still sends would not get the answer
    if (gone.signal.aborted) return;
    const status = STATUS[error.code];
    if (status === undefined) console.error(error);
    answer(status ?? 500, status === undefined ? { error: 'internal' } : { code: error.code, error: error.message });
  }
}

async function main([model, ...labels]) {
  const detector = await loadDetector({ model, labels, ...LIMITS });
  const server = createServer((request, response) => judge(detector, request, response));
  server.maxConnections = 200;
  process.once('SIGTERM', () => server.close(() => detector.close()));
  server.listen(process.env.PORT ?? 8080, () => console.log(`listening on port ${server.address().port}`));
}

main(process.argv.slice(2));
