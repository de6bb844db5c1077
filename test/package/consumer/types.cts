import clipn = require('clipn-native');

async function judge(): Promise<'in' | 'out' | 'review'> {
  await using detector: clipn.Detector = await clipn.loadDetector({ model: 'model.pt', labels: ['cat', 'dog'] });
  // @ts-expect-error a photo is not a number
  await detector.check(1);
  const results: (clipn.CheckResult | clipn.CheckFailure)[] = await detector.check(['photo.jpg']);
  const [first] = results;
  if (first === undefined || 'error' in first) throw new clipn.ClipnError('ERR_CLIPN_IMAGE_DECODE', 'no photo');
  return first.verdict;
}

judge();
