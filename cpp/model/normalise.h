#ifndef CLIPN_MODEL_NORMALISE_H_
#define CLIPN_MODEL_NORMALISE_H_

#include <array>
#include <cstddef>

#include "clipn/core.h"

namespace clipn {

/// ((v / 255) - mean) / std for every byte v, by channel, in the float arithmetic of torchvision's ToTensor and
/// Normalize (spec 4.2).
inline std::array<std::array<float, 256>, 3> normalisation_table(const clipn_image_batch& batch) {
  std::array<std::array<float, 256>, 3> table;
  for (size_t c = 0; c < 3; ++c) {
    for (size_t v = 0; v < 256; ++v) {
      table[c][v] = (static_cast<float>(v) / 255.0F - batch.mean[c]) / batch.std[c];
    }
  }
  return table;
}

}  // namespace clipn

#endif  // CLIPN_MODEL_NORMALISE_H_
