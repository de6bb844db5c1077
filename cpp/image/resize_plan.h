// Which samples make up which pixel, and by which weights (spec 4.2): what the resizes on CPU and GPU have in common.
#ifndef CLIPN_IMAGE_RESIZE_PLAN_H_
#define CLIPN_IMAGE_RESIZE_PLAN_H_

#include <cstdint>
#include <vector>

#include "clipn/core.h"

namespace clipn {

// One axis of the resized image, restricted to the crop: output i is the sum over t < taps[i] of
// weights[i * capacity + t] * input[begin + first[i] + t], in units of 2^-22.
struct Axis {
  std::vector<int32_t> first, taps, weights;
  int32_t capacity = 0;
  int32_t begin = 0, end = 0;  // inputs that the crop needs

  int32_t length() const { return end - begin; }
};

struct ResizePlan {
  Axis x, y;
  bool copies = false;  // the image has the size already: a crop is all
  // Pillow filters a shrinking image vertically first when it is more than 100 times as high as wide, else horizontally
  // first; the rounding to bytes in between makes the order visible.
  bool vertical_first = false;
};

// Whether the image can be resized to `side`; throws Error(CLIPN_INVALID_ARG) that says why not.
void check_image(const clipn_image& image, uint32_t side);

// Shorter side to `side` with Pillow's 8-bit bicubic; longer side trunc(side * long / short); centre crop at
// round-half-to-even((length - side) / 2).
ResizePlan plan_resize(uint32_t width, uint32_t height, uint32_t side);

}  // namespace clipn

#endif  // CLIPN_IMAGE_RESIZE_PLAN_H_
