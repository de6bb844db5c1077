// Numbers to give the row kernels, and what they should make of them, in double precision.
#ifndef CLIPN_TEST_ROWS_REFERENCE_H_
#define CLIPN_TEST_ROWS_REFERENCE_H_

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "cpu/kernels.h"

namespace clipn::reference {

// In [-scale, scale], the same on each call, others for another seed.
inline std::vector<float> numbers(size_t count, float scale, uint32_t seed = 7) {
  std::vector<float> out(count);
  for (float& value : out) {
    seed = seed * 1664525u + 1013904223u;
    value = (static_cast<float>(seed >> 8) / (1 << 23) - 1) * scale;
  }
  return out;
}

inline double value(float number) { return number; }
inline double value(uint16_t bits) { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }

template <typename T>
const cpu::RowKernels<T>& row_kernels(const cpu::Kernels& kernels) {
  if constexpr (std::is_same_v<T, float>) {
    return kernels.fp32;
  } else {
    return kernels.bf16;
  }
}

inline double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
inline double quick_gelu(double x) { return x / (1 + std::exp(-1.702 * x)); }
inline double identity(double x) { return x; }

// LayerNorm of one row.
inline std::vector<double> layer_norm(const float* x, const std::vector<float>& weight,
                                      const std::vector<float>& bias) {
  const size_t width = weight.size();
  double mean = 0, variance = 0;
  for (size_t j = 0; j < width; ++j) mean += x[j] / static_cast<double>(width);
  for (size_t j = 0; j < width; ++j) variance += std::pow(x[j] - mean, 2) / static_cast<double>(width);
  std::vector<double> out(width);
  for (size_t j = 0; j < width; ++j) out[j] = (x[j] - mean) / std::sqrt(variance + 1e-5) * weight[j] + bias[j];
  return out;
}

}  // namespace clipn::reference

#endif  // CLIPN_TEST_ROWS_REFERENCE_H_
