// bf16 for kernels that run on the CPU: rounded to nearest, ties to even.
#ifndef CLIPN_TEST_CUDA_ON_CPU_BF16_H_
#define CLIPN_TEST_CUDA_ON_CPU_BF16_H_

#include <stdint.h>

#include <cstring>

struct __nv_bfloat16 {
  uint16_t bits;
  __nv_bfloat16() = default;
  explicit __nv_bfloat16(float value) {
    uint32_t whole;
    std::memcpy(&whole, &value, sizeof whole);
    bits = static_cast<uint16_t>(value != value ? 0x7fff : (whole + 0x7fff + (whole >> 16 & 1)) >> 16);
  }
  explicit operator float() const {
    const uint32_t whole = uint32_t{bits} << 16;
    float value;
    std::memcpy(&value, &whole, sizeof value);
    return value;
  }
};

#endif  // CLIPN_TEST_CUDA_ON_CPU_BF16_H_
