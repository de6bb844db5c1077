// Pixels as the towers want them (spec 4.2).
#ifndef CLIPN_IMAGE_RESIZE_H_
#define CLIPN_IMAGE_RESIZE_H_

#include <cstdint>

#include "clipn/core.h"
#include "cpu/kernels.h"

namespace clipn {

// Shorter side to `side` with Pillow's 8-bit bicubic, byte for byte; longer side trunc(side * long / short); centre
// crop at round-half-to-even((length - side) / 2). Grey becomes RGB, alpha is ignored. Only the crop window is
// computed. out: uint8 [side, side, 3]. Memory beyond `out`: about 3 * side * (shorter side) bytes and a strip of 32
// rows. Throws Error(CLIPN_INVALID_ARG). Any thread.
void resize_crop(const clipn_image& image, uint32_t side, uint8_t* out);

// The same with the kernels of a given target.
void resize_crop(const cpu::Kernels& kernels, const clipn_image& image, uint32_t side, uint8_t* out);

}  // namespace clipn

#endif  // CLIPN_IMAGE_RESIZE_H_
