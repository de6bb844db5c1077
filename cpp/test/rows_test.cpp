// The row kernels of a transformer against double precision, on every CPU target.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "rows_reference.h"
#include "targets.h"

namespace clipn {
namespace {

using namespace reference;

// bf16 keeps 8 bits: half a unit in the last place is 2^-9.
template <typename T>
double tolerance(double expected) {
  return std::is_same_v<T, float> ? 4e-7 + 4e-7 * std::abs(expected) : 4e-7 + std::abs(expected) / 256;
}

class Rows : public PerTarget {
 public:
  template <typename T>
  const cpu::RowKernels<T>& kernels() const {
    return row_kernels<T>(*GetParam());
  }

  template <typename T>
  void check_layer_norm() {
    constexpr int64_t kRows = 3, kWidth = 77;
    const auto x = numbers(kRows * kWidth, 3), weight = numbers(kWidth, 2), bias = numbers(kWidth, 1);
    std::vector<T> out(kRows * kWidth);
    kernels<T>().layer_norm(x.data(), kRows, kWidth, weight.data(), bias.data(), out.data());
    for (int64_t r = 0; r < kRows; ++r) {
      const std::vector<double> row = layer_norm(x.data() + r * kWidth, weight, bias);
      for (int64_t j = 0; j < kWidth; ++j) {
        const double expected = row[j];
        ASSERT_NEAR(value(out[r * kWidth + j]), expected, tolerance<T>(expected) * 4);
      }
    }
  }

  template <typename T>
  void check_activation(cpu::Activation activation, double (*exact)(double)) {
    constexpr int64_t kRows = 5, kColumns = 61, kLd = 64;
    const auto tile = numbers(kRows * kColumns, 9), bias = numbers(kColumns, 3);
    std::vector<T> out(kRows * kLd, T{1});
    kernels<T>().store_linear(tile.data(), kRows, kColumns, bias.data(), activation, out.data(), kLd);
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t j = 0; j < kColumns; ++j) {
        const double expected = exact(static_cast<double>(tile[r * kColumns + j]) + bias[j]);
        ASSERT_NEAR(value(out[r * kLd + j]), expected, tolerance<T>(expected) * 3);
      }
      ASSERT_EQ(out[r * kLd + kColumns], T{1}) << "wrote past the row";
    }
  }

  template <typename T>
  void check_softmax(int64_t visible, int64_t step) {
    constexpr int64_t kRows = 6, kLd = 48, kLdP = 64;
    auto s = numbers(kRows * kLd, 40);
    std::vector<T> p(kRows * kLdP, T{1});
    std::vector<float> inverse(kRows);
    kernels<T>().softmax(s.data(), kRows, kLd, visible, step, 0.5F, p.data(), kLdP, inverse.data());
    for (int64_t r = 0; r < kRows; ++r) {
      const int64_t seen = visible + r * step;
      double sum = 0;
      for (int64_t j = 0; j < seen; ++j) sum += std::exp(0.5 * s[r * kLd + j]);
      for (int64_t j = 0; j < kLdP; ++j) {
        const double expected = j < seen ? std::exp(0.5 * s[r * kLd + j]) / sum : 0;
        ASSERT_NEAR(value(p[r * kLdP + j]) * inverse[r], expected, tolerance<T>(expected) * 10) << r << ", " << j;
      }
    }
  }
};

TEST_P(Rows, LayerNormIsTheFormula) {
  check_layer_norm<float>();
  check_layer_norm<uint16_t>();
}

TEST_P(Rows, BiasAndActivationAreTheFormulas) {
  check_activation<float>(cpu::Activation::kNone, identity);
  check_activation<uint16_t>(cpu::Activation::kNone, identity);
  check_activation<float>(cpu::Activation::kGelu, gelu);
  check_activation<uint16_t>(cpu::Activation::kGelu, gelu);
  check_activation<float>(cpu::Activation::kQuickGelu, quick_gelu);
  check_activation<uint16_t>(cpu::Activation::kQuickGelu, quick_gelu);
}

TEST_P(Rows, SoftmaxSeesWhatItMaySee) {
  check_softmax<float>(45, 0);
  check_softmax<uint16_t>(45, 0);
  check_softmax<float>(1, 1);
  check_softmax<uint16_t>(9, 1);
}

TEST_P(Rows, WhatIsNotANumberIsNoneInBf16) {
  const std::vector<uint32_t> bits = {0x7fc00000, 0x7f800001, 0x7fffffff, 0xffffffff, 0xffff8000, 0x7fff7fff};
  std::vector<float> tile(bits.size());
  for (size_t i = 0; i < bits.size(); ++i) tile[i] = std::bit_cast<float>(bits[i]);
  const std::vector<float> factor = {1.0F};
  std::vector<uint16_t> out(tile.size());
  const auto columns = static_cast<int64_t>(tile.size());
  kernels<uint16_t>().store_scaled(tile.data(), 1, columns, factor.data(), out.data(), columns);
  for (const uint16_t stored : out) EXPECT_TRUE(std::isnan(value(stored))) << std::hex << stored;
}

TEST_P(Rows, KeysAreTransposedAndPadded) {
  constexpr int64_t kRowCount = 37, kLd = 40, kPadded = 48;
  // None, one and two whole squares, and what is left beside them.
  for (const int64_t columns : {5, 16, 37}) {
    std::vector<uint32_t> in(kRowCount * kLd), out(columns * kPadded, 1);
    for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint32_t>(i + 1);
    GetParam()->transpose_words(in.data(), kRowCount, kLd, columns, out.data(), kPadded);
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t i = 0; i < kPadded; ++i) ASSERT_EQ(out[j * kPadded + i], i < kRowCount ? in[i * kLd + j] : 0u);
    }
  }
}

TEST_P(Rows, ValuesAreInterleavedAndPadded) {
  constexpr int64_t kColumns = 6, kLd = 9, kPadded = 8;
  for (const int64_t rows : {4, 5, 8}) {
    std::vector<uint16_t> in(rows * kLd), out(kColumns * kPadded, 1);
    for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint16_t>(i + 1);
    GetParam()->interleave_pairs(in.data(), rows, kLd, kColumns, out.data(), kPadded);
    for (int64_t i = 0; i < kPadded; ++i) {
      for (int64_t j = 0; j < kColumns; ++j) {
        ASSERT_EQ(out[(i / 2 * kColumns + j) * 2 + i % 2], i < rows ? in[i * kLd + j] : 0) << i << ", " << j;
      }
    }
  }
}

CLIPN_FOR_EVERY_TARGET(Rows);

}  // namespace
}  // namespace clipn
