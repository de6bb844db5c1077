/** The tests of jest.test.cjs and vitest.test.mjs, with what each brought in its own way. */
module.exports = ({ loadDetector, loadModel }, { test, expect }) => {
  const { model, labels, photos, verdicts } = JSON.parse(process.env.GIVEN);

  test('photos get their verdicts', async () => {
    const detector = await loadDetector({ model, labels: labels.split(',') });
    const results = await detector.check(photos);
    await detector.close();
    expect(results.map(({ image, verdict, label }) => ({ image, verdict, label }))).toEqual(verdicts);
  }, 60_000);

  test('an error keeps its code', async () => {
    await expect(loadModel('absent')).rejects.toMatchObject({ code: 'ERR_CLIPN_MODEL_NOT_FOUND' });
  });
};
