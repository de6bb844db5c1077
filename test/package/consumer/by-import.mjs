import { loadDetector } from 'clipn-native';

const [model, labels, ...photos] = process.argv.slice(2);
const detector = await loadDetector({ model, labels: labels.split(',') });
console.log(JSON.stringify(await detector.check(photos)));
await detector.close();
