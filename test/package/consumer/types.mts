import { type CheckResult, ClipnError, type ClipnErrorCode, type Detector, loadDetector } from 'clipn-native';

const detector: Detector = await loadDetector({ model: 'model.pt', labels: ['cat', 'dog'] });
const result: CheckResult = await detector.check('photo.jpg');
const verdict: 'in' | 'out' | 'review' = result.verdict;
const atd: number = result.scores.atd;
// @ts-expect-error there is no such option
await loadDetector({ model: 'model.pt', lables: ['cat'] });
try {
  await detector.close();
} catch (error) {
  const code: ClipnErrorCode | undefined = error instanceof ClipnError ? error.code : undefined;
  // @ts-expect-error codes are a closed set
  if (code === 'ERR_CLIPN_NO_SUCH_CODE') console.log(verdict, atd);
}
