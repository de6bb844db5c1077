import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { trainingCrop } from '../../lib/teach/crop';
import { below, bits, DRAW, shuffled } from '../../lib/teach/draw';
import { learningRate } from '../../lib/teach/sampler';

describe('draws of a training', () => {
  test('are those of the reference (test/reference/teach_reference.py)', () => {
    const words = [[0], [1, 2, 3], [3, 0, 0, 0], [3, 4294967295, 17, 5]];
    assert.deepEqual(
      words.map((each) => bits(...each)),
      [33350994, 1328893328, 3558791295, 2931976639],
    );
    assert.deepEqual([...shuffled(10, 0, 0)], [5, 2, 3, 6, 7, 9, 4, 1, 8, 0]);
    assert.deepEqual([...shuffled(10, 7, 3)], [5, 3, 0, 4, 1, 9, 7, 6, 2, 8]);
    const prompts = Array.from({ length: 12 }, (_, i) => below(17, DRAW.prompt, 0, 0, i));
    assert.deepEqual(prompts, [14, 1, 7, 1, 7, 9, 5, 11, 3, 9, 2, 3]);
  });

  test('take each of the 17 prompts alike: chi-square of 170,000 draws below its 0.999999 quantile', () => {
    const counts = new Array<number>(17).fill(0);
    for (let step = 0; step < 100; step++) {
      for (let i = 0; i < 1700; i++) counts[below(17, DRAW.prompt, 5, step, i)]!++;
    }
    const chiSquare = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
    assert.ok(chiSquare < 59.5, String(chiSquare)); // 16 degrees of freedom
  });

  test('order every sample once an epoch, and each epoch anew', () => {
    const [first, second] = [shuffled(1000, 3, 0), shuffled(1000, 3, 1)];
    for (const order of [first, second])
      assert.deepEqual(
        [...order].sort((a, b) => a - b),
        [...Array(1000).keys()],
      );
    const same = first.filter((sample, i) => sample === second[i]).length;
    assert.ok(same < 10, `${same} samples kept their place`);
  });
});

describe('the training crop', () => {
  test('has 90 to 100 % of the area, a ratio of 3/4 to 4/3, and lies in the image', () => {
    for (let i = 0; i < 2000; i++) {
      const [width, height] = [200 + (i % 60), 200 + (i % 31)];
      const { left, top, width: w, height: h } = trainingCrop(width, height, [1, i]);
      assert.ok(left >= 0 && top >= 0 && left + w <= width && top + h <= height);
      const area = (w * h) / (width * height);
      assert.ok(area > 0.89 && area <= 1.001, `area ${area}`);
      assert.ok(w / h > 0.74 && w / h < 1.345, `ratio ${w / h}`);
    }
  });

  test('of an image that is far from square is the largest box in the middle, as torchvision has it', () => {
    assert.deepEqual(trainingCrop(900, 300, [0]), { left: 250, top: 0, width: 400, height: 300 });
    assert.deepEqual(trainingCrop(300, 900, [0]), { left: 0, top: 250, width: 300, height: 400 });
    assert.deepEqual(trainingCrop(1, 1000, [0]), { left: 0, top: 499, width: 1, height: 1 });
  });
});

test('the learning rate falls from its start to 0 by half a cosine', () => {
  assert.equal(learningRate(0, 100, 3e-4), 3e-4);
  assert.ok(Math.abs(learningRate(50, 100, 3e-4) - 1.5e-4) < 1e-18);
  assert.ok(Math.abs(learningRate(25, 100, 1) - (1 + Math.SQRT1_2) / 2) < 1e-15);
  assert.ok(learningRate(99, 100, 1) < 3e-4);
});
