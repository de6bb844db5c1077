// One number as rows have it, fp32 or the bits of a bf16, and as fp32.
#ifndef CLIPN_TOWER_ELEMENT_H_
#define CLIPN_TOWER_ELEMENT_H_

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <type_traits>

namespace clipn {

inline float to_float(float value) { return value; }
inline float to_float(uint16_t bits) { return c10::BFloat16(bits, c10::BFloat16::from_bits()); }

template <typename T>
T element(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    return c10::BFloat16(value).x;
  }
}

}  // namespace clipn

#endif  // CLIPN_TOWER_ELEMENT_H_
