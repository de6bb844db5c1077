// The pictures whose resized bytes test/golden/resize.h holds.
#ifndef CLIPN_TEST_PICTURES_H_
#define CLIPN_TEST_PICTURES_H_

#include <cstdint>
#include <vector>

namespace clipn {

using Bytes = std::vector<uint8_t>;

// The formula of test/reference/make_resize_golden.py; rows `stride` bytes apart, the gap filled with 0xAA.
inline Bytes picture(uint32_t width, uint32_t height, uint32_t channels, uint64_t stride) {
  Bytes data(stride * height, 0xAA);
  for (uint64_t y = 0; y < height; ++y) {
    for (uint64_t x = 0; x < width; ++x) {
      for (uint64_t c = 0; c < channels; ++c) {
        const uint64_t sample = x * x * 13 + y * y * 7 + x * y * 5 + c * 91 + x * c * 3;
        data[y * stride + x * channels + c] = static_cast<uint8_t>((sample >> 3) & 255);
      }
    }
  }
  return data;
}

inline uint64_t fnv1a(const Bytes& data) {
  uint64_t value = 0xcbf29ce484222325u;
  for (const uint8_t byte : data) value = (value ^ byte) * 0x100000001b3u;
  return value;
}

}  // namespace clipn

#endif  // CLIPN_TEST_PICTURES_H_
