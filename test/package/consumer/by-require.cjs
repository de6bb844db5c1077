const { loadDetector } = require('clipn-native');

const [model, labels, ...photos] = process.argv.slice(2);
loadDetector({ model, labels: labels.split(',') }).then(async (detector) => {
  console.log(JSON.stringify(await detector.check(photos)));
  await detector.close();
});
