import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seenSquare } from '../../lib/images/seen-square';

const seen = (width: number, height: number, side: number, covered?: number) => {
  const { left, top, width: across, height: down } = seenSquare({ width, height }, side, covered);
  return [left, top, across, down];
};

test('of a square image all of it', () => {
  assert.deepEqual(seen(500, 500, 224), [0, 0, 500, 500]);
});

test('of a wide image its middle', () => {
  // 640 × 480 becomes 298 × 224; the crop begins at (298 − 224) / 2 = 37.
  assert.deepEqual(seen(640, 480, 224), [(37 * 640) / 298, 0, (224 * 640) / 298, 480]);
});

test('of a tall image its middle', () => {
  assert.deepEqual(seen(480, 640, 224), [0, (37 * 640) / 298, 480, (224 * 640) / 298]);
});

test('halves of pixels go to the even side, as the crop does', () => {
  // 7 × 4 and 9 × 4 at side 4: 1.5 goes to 2, 2.5 goes to 2.
  assert.equal(seen(7, 4, 4)[0], 2);
  assert.equal(seen(9, 4, 4)[0], 2);
});

test('where patches leave a rim of the square, what they cover', () => {
  assert.deepEqual(seen(100, 100, 50, 48), [0, 0, 96, 96]);
});
